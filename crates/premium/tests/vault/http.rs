//! The routes: permissions, statuses, and the marks of the edition. That a read over HTTP is signed is tested with the
//! client, against a whole server.

use std::sync::Arc;

use actix_web::{App, middleware::from_fn, test};
use aim_core::{Actor, ApiKeyId, Code, Error, OrganizationId, Role};
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture, configure, openapi_of, shell, shell_state,
};
use aim_premium::vault::EDITION_MARKER;
use aim_violations::VerificationService;
use serde_json::{Value, json};

use crate::{
    bed::Bed,
    canary::{CANARY, Lines, holds},
};

/// Believes the header `x-test-role`.
struct Believing(OrganizationId);

impl Authenticator for Believing {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.header("x-test-role").is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move {
            let role = head
                .header("x-test-role")
                .and_then(Role::parse)
                .ok_or_else(|| Error::new(Code::CredentialsInvalid, "who?"))?;
            let actor = Actor::ApiKey {
                id: ApiKeyId::generate(head.now),
                role,
            };
            Ok(Authenticated {
                actor,
                organization: self.0,
                nonce: None,
                scheme: "test",
            })
        })
    }
}

struct Callers(Arc<Believing>);

impl Module for Callers {
    fn name(&self) -> &'static str {
        "test_callers"
    }
    fn routes(&self, _: &mut ServiceConfig<'_>) {}
    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![self.0.clone()]
    }
}

fn edition() -> EditionInfo {
    EditionInfo {
        edition: "test".to_owned(),
        version: "0".to_owned(),
        features: Vec::new(),
    }
}

macro_rules! app {
    ($bed:expr) => {{
        let mut modules: Vec<Arc<dyn Module>> =
            vec![Arc::new(Callers(Arc::new(Believing($bed.organization))))];
        modules.extend(aim_premium::modules(
            &$bed.kernel,
            VerificationService::new(&$bed.kernel),
        ));
        let state = shell_state(&$bed.kernel, &modules);
        let document = OpenApiDocument("{}".into());
        let kernel = $bed.kernel.clone();
        test::init_service(
            App::new()
                .wrap(from_fn(shell::<actix_web::body::BoxBody>))
                .configure(|config| configure(config, &kernel, &modules, &state, &edition(), &document)),
        )
        .await
    }};
}

macro_rules! call {
    ($app:expr, $method:ident, $path:expr, $role:expr, $body:expr) => {{
        let mut request = test::TestRequest::$method()
            .uri(AsRef::<str>::as_ref(&$path))
            .insert_header(("x-test-role", $role));
        if let Some(body) = $body {
            let body: Value = body;
            request = request.set_json(body);
        }
        let response = test::call_service(&$app, request.to_request()).await;
        let status = response.status().as_u16();
        let bytes = test::read_body(response).await;
        (
            status,
            serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
        )
    }};
}

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_default()
}

#[actix_web::test]
async fn a_secret_lives_and_dies_over_http() {
    for bed in Bed::all().await {
        let app = app!(bed);
        let path = "/api/v1/vault/secrets/payments/stripe/live";
        let body = json!({"kind": "api_key", "fields": {"value": "canary"}, "cas": 0});
        let (status, view) = call!(app, put, path, "manager", Some(body.clone()));
        assert_eq!((status, view["current_version"].as_i64()), (201, Some(1)));
        let (status, problem) = call!(app, put, path, "manager", Some(body));
        assert_eq!((status, code(&problem)), (409, "secret.version_conflict"));
        let (status, view) = call!(app, get, path, "member", None);
        assert_eq!(
            (status, view["path"].as_str()),
            (200, Some("payments/stripe/live"))
        );
        assert!(!view.to_string().contains("canary"));
        let encoded = "/api/v1/vault/secrets/payments%2Fstripe%2flive";
        let (status, _) = call!(app, get, encoded, "member", None);
        assert_eq!(status, 200, "a path encoded as one segment");
        let (status, list) = call!(app, get, "/api/v1/vault/secrets?prefix=payments/", "member", None);
        assert_eq!((status, list["secrets"].as_array().map(Vec::len)), (200, Some(1)));
        let (status, state) = call!(app, get, "/api/v1/vault/status", "member", None);
        assert_eq!((status, state["state"].as_str()), (200, Some("open")));

        let (status, _) = call!(app, delete, format!("{path}?version=1"), "manager", None);
        assert_eq!(status, 200);
        let one = || Some(json!({"path": "payments/stripe/live", "version": 1}));
        let (status, _) = call!(app, post, "/api/v1/vault/undelete", "manager", one());
        assert_eq!(status, 200);
        let (status, view) = call!(app, post, "/api/v1/vault/rollback", "manager", one());
        assert_eq!((status, view["current_version"].as_i64()), (201, Some(2)));
        let (status, view) = call!(app, post, "/api/v1/vault/destroy", "manager", one());
        assert_eq!(
            (status, view["versions"][1]["state"].as_str()),
            (200, Some("destroyed"))
        );
        let sought = json!({"value": "canary"});
        let (status, found) = call!(app, post, "/api/v1/vault/find-value", "manager", Some(sought));
        assert_eq!((status, found["places"].as_array().map(Vec::len)), (200, Some(1)));
    }
}

#[actix_web::test]
async fn each_route_wants_its_permission() {
    for bed in Bed::all().await {
        let app = app!(bed);
        let path = "/api/v1/vault/secrets/a";
        for (answer, permission) in [
            (
                call!(app, get, "/api/v1/vault/secrets", "viewer", None),
                "secrets:read",
            ),
            (
                call!(app, get, "/api/v1/vault/status", "viewer", None),
                "secrets:read",
            ),
            (call!(app, get, path, "viewer", None), "secrets:read"),
            (call!(app, put, path, "member", Some(json!({}))), "secrets:write"),
            (call!(app, delete, path, "member", None), "secrets:write"),
            (
                call!(app, post, "/api/v1/vault/undelete", "member", Some(json!({}))),
                "secrets:write",
            ),
            (
                call!(app, post, "/api/v1/vault/destroy", "member", Some(json!({}))),
                "secrets:write",
            ),
            (
                call!(app, post, "/api/v1/vault/rollback", "member", Some(json!({}))),
                "secrets:write",
            ),
            (
                call!(app, post, "/api/v1/vault/find-value", "member", Some(json!({}))),
                "secrets:write",
            ),
        ] {
            let (status, problem) = answer;
            assert_eq!((status, problem["field"].as_str()), (403, Some(permission)));
        }
        let unseal = || Some(json!({"passphrase": "six words that nobody else has"}));
        let (status, problem) = call!(app, post, "/api/v1/vault/unseal", "manager", unseal());
        assert_eq!((status, problem["field"].as_str()), (403, Some("vault:unseal")));
        let (status, problem) = call!(app, post, "/api/v1/vault/unseal", "admin", unseal());
        assert_eq!(
            (status, code(&problem)),
            (409, "resource.state"),
            "the key comes from a file"
        );
        let (status, problem) = call!(app, post, "/api/v1/vault/reads", "admin", Some(json!({})));
        assert_eq!((status, code(&problem)), (403, "auth.forbidden"));
        let (status, _) = call!(app, get, path, "nobody", None);
        assert_eq!(status, 401);
    }
}

#[actix_web::test]
async fn what_is_wrong_is_told_by_field_and_never_repeats_a_value() {
    for bed in Bed::all().await {
        let app = app!(bed);
        for path in [
            "a//b",
            "../a",
            "a/",
            "A",
            "a%20b",
            "%70ayments",
            "payments%2F%73tripe",
            "a%2Fb%2F",
            "a%2F%2Fb",
            "a%252Fb",
            "a%2F..%2Fb",
            "%2e%2e/a",
            "%C3%A4",
            "",
        ] {
            let path = format!("/api/v1/vault/secrets/{path}");
            let (status, problem) = call!(app, get, path, "member", None);
            assert_eq!((status, problem["field"].as_str()), (422, Some("path")), "{path}");
        }
        let path = "/api/v1/vault/secrets/a";
        for (body, field) in [
            (json!({"kind": "api_key", "fields": {"value": 4711}}), "fields"),
            (json!({"kind": "api_key", "fields": "4711"}), "fields"),
            (json!({"kind": "api_key", "fields": 4711}), "fields"),
            (
                json!({"kind": "api_key", "fields": {"value": {"x": "4711"}}}),
                "fields",
            ),
            (json!({"kind": "key", "fields": {}}), "kind"),
            (json!({"kind": "api_key"}), "fields"),
            (
                json!({"kind": "api_key", "fields": {"value": "4711"}, "more": 1}),
                "more",
            ),
        ] {
            let (status, problem) = call!(app, put, path, "manager", Some(body.clone()));
            let named = problem["field"].as_str().unwrap_or_default();
            assert_eq!(
                (status, named.split('.').next()),
                (422, Some(field)),
                "{body}: {problem}"
            );
            assert!(!problem.to_string().contains("4711"), "{problem}");
        }
        let (status, problem) = call!(
            app,
            post,
            "/api/v1/vault/find-value",
            "manager",
            Some(json!({"value": 4711}))
        );
        assert_eq!((status, problem["field"].as_str()), (422, Some("value")));
        assert!(!problem.to_string().contains("4711"), "{problem}");
        let large = json!({"kind": "api_key", "fields": {"value": "x".repeat(1024 * 1024)}});
        let (status, problem) = call!(app, put, path, "manager", Some(large));
        assert_eq!((status, code(&problem)), (413, "request.too_large"));
    }
}

#[actix_web::test]
async fn no_value_is_logged_at_any_level() {
    let lines = Lines::kept();
    for bed in Bed::all().await {
        let app = app!(bed);
        let path = "/api/v1/vault/secrets/payments/log-mark";
        let good = json!({"kind": "api_key", "fields": {"value": CANARY}});
        let (status, _) = call!(app, put, path, "manager", Some(good));
        assert_eq!(status, 201);
        let bad = json!({"kind": "api_key", "fields": {"value": CANARY, "more": CANARY}});
        let (status, _) = call!(app, put, path, "manager", Some(bad));
        assert_eq!(status, 422);
        let sought = json!({"value": CANARY});
        let (status, _) = call!(app, post, "/api/v1/vault/find-value", "manager", Some(sought));
        assert_eq!(status, 200);
        bed.database.sql("UPDATE vault_secrets SET changes = 99").await;
        let (status, problem) = call!(app, get, path, "manager", None);
        assert_eq!((status, code(&problem)), (409, "vault.integrity"));
        // What the server itself cannot do is logged with its cause.
        std::fs::remove_file(bed.key_file()).unwrap();
        let app = app!(bed);
        let good = json!({"kind": "api_key", "fields": {"value": CANARY}});
        let (status, _) = call!(app, put, path, "manager", Some(good));
        assert_eq!(status, 503);
    }
    let lines = lines.bytes();
    assert!(
        holds(&lines, b"/api/v1/vault/"),
        "{}",
        String::from_utf8_lossy(&lines)
    );
    assert!(!holds(&lines, CANARY.as_bytes()));
}

#[actix_web::test]
async fn a_sealed_vault_answers_503_with_the_reason() {
    for bed in Bed::all().await {
        bed.put("a", "v").await;
        std::fs::remove_file(bed.key_file()).unwrap();
        let app = app!(bed);
        let (status, problem) = call!(app, get, "/api/v1/vault/secrets/a", "member", None);
        assert_eq!((status, code(&problem)), (503, "vault.sealed"), "{problem}");
        let (status, state) = call!(app, get, "/api/v1/vault/status", "member", None);
        assert_eq!((status, state["state"].as_str()), (200, Some("sealed")));
        let (status, _) = call!(app, get, "/api/v1/vault/secrets", "member", None);
        assert_eq!(status, 200, "which secrets there are is no secret");
    }
}

#[actix_web::test]
async fn every_operation_of_the_vault_carries_the_editions_mark() {
    let bed = Bed::all().await.remove(0);
    let premium = aim_premium::modules(&bed.kernel, VerificationService::new(&bed.kernel));
    let document = serde_json::to_value(openapi_of(&premium, &edition())).unwrap();
    let paths = document["paths"].as_object().unwrap();
    // The access audit has its own mark.
    let is_audit = |path: &str| path.contains("/vault/access") || path.contains("/vault/honeytokens");
    let own = paths
        .iter()
        .filter(|(path, _)| path.contains("/vault/") && !is_audit(path));
    let marks: Vec<_> = own
        .flat_map(|(_, item)| item.as_object().unwrap().values())
        .map(|operation| &operation["x-aim-edition"])
        .collect();
    assert!(marks.len() >= 15, "{}", marks.len());
    assert!(marks.iter().filter(|mark| **mark == EDITION_MARKER).count() >= 15);
    let is_premium = |mark: &&&Value| mark.as_str().is_some_and(|mark| mark.starts_with("AIM-PREMIUM-"));
    assert_eq!(marks.iter().filter(is_premium).count(), marks.len(), "{marks:?}");
    let audits: Vec<_> = paths
        .iter()
        .filter(|(path, _)| is_audit(path))
        .flat_map(|(_, item)| item.as_object().unwrap().values())
        .map(|operation| &operation["x-aim-edition"])
        .collect();
    assert_eq!(audits, [aim_premium::access::EDITION_MARKER; 9]);
    assert!(
        paths.contains_key("/api/v1/vault/secrets/{path}"),
        "{:?}",
        paths.keys()
    );
}
