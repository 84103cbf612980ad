//! Input that cannot be accepted is refused with a problem that names what is wrong (RFC 9457).

use aim_core::Role;
use aim_tests::{Prepared, TestApp};
use reqwest::Method;
use serde_json::json;

use super::traces;

/// A body for a path, and the refusal that it gets: status and field.
const BODIES: &[(&str, &str, u16, &str)] = &[
    ("/api/v1/verifications", "{}", 422, "action"),
    ("/api/v1/verifications", r#"{"action": 7}"#, 422, "action"),
    ("/api/v1/verifications", r#"{"action": ""}"#, 422, "action"),
    ("/api/v1/verifications", r#"{"action": "db:*"}"#, 422, "action"),
    (
        "/api/v1/verifications",
        r#"{"action": "db:read", "actoin": "x"}"#,
        422,
        "actoin",
    ),
    (
        "/api/v1/verifications",
        r#"{"action": "db:read", "context": []}"#,
        422,
        "context",
    ),
    ("/api/v1/verifications", r#"{"action": "db:read"}, {}"#, 400, ""),
    ("/api/v1/verifications", r#"{"action": "db:read""#, 400, ""),
    ("/api/v1/verifications", "[]", 422, ""),
    ("/api/v1/verifications", "\u{0}", 400, ""),
    ("/api/v1/verifications", "", 400, ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_action_is_refused_by_field_and_leaves_no_decision() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let decisions = traces(&app).await.0;
        for (path, body, status, field) in BODIES {
            let request =
                Prepared::new(Method::POST, *path).body("application/json", body.as_bytes().to_vec());
            let answer = app.send(&agent.prove(request)).await;
            let said = format!("{body}: {} {}", answer.status, answer.text);
            assert_eq!(answer.status, *status, "{said}");
            assert!(field.is_empty() || answer.field() == *field, "{said}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{said}"
            );
            let problem = answer.json();
            assert_eq!(problem["status"], *status, "{said}");
            assert_eq!(
                problem["request_id"].as_str(),
                answer.header("x-request-id"),
                "{said}"
            );
            for member in ["type", "title", "detail", "code", "remedy"] {
                assert!(
                    problem[member].as_str().is_some_and(|text| !text.is_empty()),
                    "{member}: {said}"
                );
            }
        }
        assert_eq!(traces(&app).await.0, decisions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_other_bodies_and_queries_are_named_as_well() {
    let app = TestApp::builder().start_on_sqlite().await;
    let administrator = app.user(Role::Admin).await;
    let agent = app.agent("reader", &[]).await;
    for (path, body, field) in [
        (
            "/api/v1/users".to_owned(),
            json!({"email": "x", "name": "X", "role": "viewer", "password": "short"}),
            "email",
        ),
        (
            "/api/v1/users".to_owned(),
            json!({"email": "x@y.z", "name": "X", "role": "king", "password": "x"}),
            "role",
        ),
        (
            "/api/v1/api-keys".to_owned(),
            json!({"name": "k", "expires_at": "2001-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            agent.path("/capabilities"),
            json!({"capability": "db read"}),
            "capability",
        ),
        (
            agent.path("/capabilities"),
            json!({"capability": "db:read", "scope": {"resources": [""]}}),
            "scope.resources[0]",
        ),
        (agent.path("/suspend"), json!({"reason": ""}), "reason"),
        (agent.path("/key-vault/revoke"), json!({}), "reason"),
        (
            "/api/v1/policies".to_owned(),
            json!({"name": "p", "effect": "allow", "capability": "x:y"}),
            "effect",
        ),
    ] {
        let answer = administrator.post(&path, &body).await;
        assert_eq!(
            (answer.status, answer.field().as_str()),
            (422, field),
            "{path} {body}: {}",
            answer.text
        );
    }
    for (target, field) in [
        ("/api/v1/agents?limit=0", "limit"),
        ("/api/v1/agents?limit=101", "limit"),
        ("/api/v1/agents?cursor=x", "cursor"),
        ("/api/v1/agents?sort=age", "sort"),
        ("/api/v1/violations?severity=awful", "severity"),
        ("/api/v1/violations?from=yesterday", "from"),
        ("/api/v1/violations?format=xml", "format"),
        ("/api/v1/audit-logs?kind=rumour", "kind"),
    ] {
        let answer = administrator.get(target).await;
        assert!(
            [400, 422].contains(&answer.status),
            "{target}: {} {}",
            answer.status,
            answer.text
        );
        assert_eq!(answer.field(), field, "{target}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_more_than_one_mebibyte_is_refused_whoever_sends_it() {
    let app = TestApp::builder().start_on_sqlite().await;
    let agent = app.agent("reader", &["db:read"]).await;
    let of_size = |size: usize| {
        Prepared::new(Method::POST, "/api/v1/verifications").body("application/json", vec![b' '; size])
    };
    let limit = 1024 * 1024;
    let fits = app.send(&agent.prove(of_size(limit))).await;
    assert_eq!(fits.status, 400, "{}", fits.text);
    let signed = app.send(&agent.prove(of_size(limit + 1))).await;
    assert_eq!(
        (signed.status, signed.code().as_str()),
        (413, "request.too_large"),
        "{}",
        signed.text
    );
    let person = Prepared {
        target: "/api/v1/agents".to_owned(),
        ..of_size(limit + 1)
    };
    let person = app.send(&app.user(Role::Admin).await.prove(person)).await;
    assert_eq!(
        (person.status, person.code().as_str()),
        (413, "request.too_large"),
        "{}",
        person.text
    );
    let nobody = app.send(&of_size(limit + 1)).await;
    assert_eq!(nobody.code(), "auth.credentials_missing", "{}", nobody.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_media_types_and_methods_are_refused_as_such() {
    let app = TestApp::builder().start_on_sqlite().await;
    let agent = app.agent("reader", &["db:read"]).await;
    for media_type in ["text/plain", "application/xml", "multipart/form-data; boundary=x"] {
        let body = json!({"action": "db:read"}).to_string().into_bytes();
        let request = Prepared::new(Method::POST, "/api/v1/verifications").body(media_type, body);
        let answer = app.send(&agent.prove(request)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (415, "request.media_type"),
            "{media_type}: {}",
            answer.text
        );
    }
    let viewer = app.user(Role::Viewer).await;
    for (method, target, allowed) in [
        (Method::DELETE, "/api/v1/edition".to_owned(), "GET"),
        (Method::PUT, "/api/v1/verifications".to_owned(), "GET, POST"),
        (Method::PATCH, agent.path(""), "DELETE, GET, PUT"),
        (Method::POST, "/api/v1/audit-logs".to_owned(), "GET"),
    ] {
        let answer = viewer.send(method.clone(), &target, None).await;
        let said = format!("{method} {target}: {}", answer.text);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (405, "request.method_not_allowed"),
            "{said}"
        );
        let mut methods: Vec<&str> = answer.header("allow").unwrap_or_default().split(", ").collect();
        methods.sort_unstable();
        assert_eq!(methods.join(", "), allowed, "{said}");
        let nobody = app.anonymous().send(method, &target, None).await;
        assert_eq!(nobody.code(), "auth.credentials_missing", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_when_to_come_back_and_use_up_no_signature() {
    let builder = TestApp::builder().config(|config| config.requests_per_second = 1);
    let app = builder.start_on_sqlite().await;
    let agent = app.agent("reader", &["db:read"]).await;
    let requests: Vec<Prepared> = (0..12).map(|_| agent.action("db:read")).collect();
    let mut refused = 0;
    for request in &requests {
        let (_, nonces) = traces(&app).await;
        let answer = app.send(request).await;
        if answer.status == 429 {
            refused += 1;
            assert_eq!(answer.code(), "limit.requests");
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
            assert_eq!(traces(&app).await.1, nonces, "the signature can still be used");
        } else {
            assert_eq!(answer.status, 201, "{}", answer.text);
        }
    }
    assert!(
        refused > 0,
        "twelve requests at once were let through at one a second"
    );
    assert_eq!(
        app.anonymous().get("/health/live").await.status,
        200,
        "each caller has its own limit"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_credentials_are_limited_by_address() {
    let app = TestApp::builder()
        .config(|config| config.anonymous_requests_per_second = 1)
        .start_on_sqlite()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(app.bearer("aim_live_guess").get("/api/v1/agents").await.status);
    }
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
}
