//! The routes: who may use them, what they answer, and what they refuse by name.

use std::sync::Arc;

use actix_web::{App, middleware::from_fn, test};
use aim_core::{Actor, ApiKeyId, Code, Error, OrganizationId, Role};
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture, configure, shell, shell_state,
};
use serde_json::{Value, json};

use crate::bed::{AWAY, Bed, HOME};

/// Believes the header `x-test-caller`: `home:<role>` or `away:<role>`.
struct Believing {
    home: OrganizationId,
    away: OrganizationId,
}

impl Authenticator for Believing {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.header("x-test-caller").is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move {
            let caller = head.header("x-test-caller").unwrap_or_default();
            let (place, role) = caller.split_once(':').unwrap_or_default();
            let role = Role::parse(role).ok_or_else(|| Error::new(Code::CredentialsInvalid, "who?"))?;
            Ok(Authenticated {
                actor: Actor::ApiKey {
                    id: ApiKeyId::generate(head.now),
                    role,
                },
                organization: if place == "home" { self.home } else { self.away },
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

macro_rules! app {
    ($bed:expr) => {{
        let callers = Believing {
            home: $bed.organization,
            away: $bed.other_organization,
        };
        let modules: Vec<Arc<dyn Module>> = vec![
            Arc::new(Callers(Arc::new(callers))),
            Arc::new($bed.threats.clone()),
        ];
        let state = shell_state(&$bed.kernel, &modules);
        let edition = EditionInfo {
            edition: "test".to_owned(),
            version: "0".to_owned(),
            features: Vec::new(),
        };
        let document = OpenApiDocument("{}".into());
        let kernel = $bed.kernel.clone();
        test::init_service(
            App::new()
                .wrap(from_fn(shell::<actix_web::body::BoxBody>))
                .configure(|config| configure(config, &kernel, &modules, &state, &edition, &document)),
        )
        .await
    }};
}

macro_rules! call {
    ($app:expr, $method:ident, $path:expr, $caller:expr, $body:expr) => {{
        let mut request = test::TestRequest::$method().uri(AsRef::<str>::as_ref(&$path));
        let caller: &str = $caller;
        if !caller.is_empty() {
            request = request.insert_header(("x-test-caller", caller));
        }
        let body: Value = $body;
        if !body.is_null() {
            request = request.set_json(body);
        }
        let response = test::call_service(&$app, request.to_request()).await;
        let status = response.status().as_u16();
        let bytes = test::read_body(response).await;
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    }};
}

#[actix_web::test]
async fn findings_are_listed_filtered_paged_and_reviewed() {
    for bed in Bed::all().await {
        bed.asks("db:read", HOME).await;
        bed.refused("signature.wrong", AWAY).await;
        bed.refused("auth.signature_replayed", HOME).await;
        bed.refused("key.ended", AWAY).await;
        bed.follow().await;
        let app = app!(bed);
        let (status, list) = call!(app, get, "/api/v1/threats", "home:viewer", Value::Null);
        assert_eq!(
            (status, list["threats"].as_array().unwrap().len()),
            (200, 3),
            "{list}"
        );
        for (query, count) in [
            ("severity=low", 1),
            ("severity=medium", 2),
            ("detector=ended_key", 1),
            ("status=open", 3),
            ("status=handled", 0),
            (&format!("agent_id={}", bed.agent.id), 3),
            ("agent_id=0198c000-0000-7000-8000-000000000000", 0),
            ("from=2026-11-23T10:00:00Z", 3),
            ("to=2026-11-23T10:00:00Z", 0),
        ] {
            let (status, list) = call!(
                app,
                get,
                format!("/api/v1/threats?{query}"),
                "home:viewer",
                Value::Null
            );
            assert_eq!(
                (status, list["threats"].as_array().unwrap().len()),
                (200, count),
                "{query}: {list}"
            );
        }
        let (_, page) = call!(app, get, "/api/v1/threats?limit=2", "home:viewer", Value::Null);
        let next = format!(
            "/api/v1/threats?limit=2&cursor={}",
            page["next_cursor"].as_str().unwrap()
        );
        let (_, rest) = call!(app, get, next, "home:viewer", Value::Null);
        assert_eq!(rest["threats"].as_array().unwrap().len(), 1);
        assert_eq!(rest["next_cursor"], Value::Null);

        let id = list["threats"][0]["id"].as_str().unwrap();
        let (status, one) = call!(
            app,
            get,
            format!("/api/v1/threats/{id}"),
            "home:viewer",
            Value::Null
        );
        assert_eq!((status, &one), (200, &list["threats"][0]));
        let path = format!("/api/v1/threats/{id}/review");
        let good = json!({"status": "handled", "note": "seen to"});
        for (body, field) in [
            (json!({"status": "open", "note": "x"}), "status"),
            (json!({"status": "handled", "note": " "}), "note"),
            (json!({"status": "handled", "note": "x".repeat(1_001)}), "note"),
            (json!({"status": "handled"}), "note"),
            (json!({"status": "handled", "note": "x", "more": 1}), "more"),
        ] {
            let (status, problem) = call!(app, post, path, "home:manager", body);
            assert_eq!((status, &problem["field"]), (422, &json!(field)), "{problem}");
        }
        let (status, _) = call!(app, post, path, "away:admin", good.clone());
        assert_eq!(status, 404);
        let (status, _) = call!(app, post, path, "home:member", good.clone());
        assert_eq!(status, 403);
        let (status, reviewed) = call!(app, post, path, "home:manager", good);
        assert_eq!(
            (status, &reviewed["status"]),
            (200, &json!("handled")),
            "{reviewed}"
        );
    }
}

#[actix_web::test]
async fn a_query_that_cannot_be_is_refused_by_name() {
    for bed in Bed::all().await {
        let app = app!(bed);
        for (query, field) in [
            ("status=gone", "status"),
            ("severity=worst", "severity"),
            ("detector=nobody", "detector"),
            ("agent_id=me", "agent_id"),
            ("from=yesterday", "from"),
            ("from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z", "from"),
            ("limit=0", "limit"),
            ("limit=many", "limit"),
            ("cursor=x", "cursor"),
        ] {
            let path = format!("/api/v1/threats?{query}");
            let (status, problem) = call!(app, get, path, "home:viewer", Value::Null);
            assert_eq!(
                (status, &problem["field"]),
                (422, &json!(field)),
                "{query}: {problem}"
            );
        }
        for path in [
            "/api/v1/threats",
            "/api/v1/threats/policies",
            "/api/v1/threats/honeytokens",
        ] {
            let (status, _) = call!(app, get, path, "", Value::Null);
            assert_eq!(status, 401, "{path}");
        }
    }
}

#[actix_web::test]
async fn policies_and_honeytokens_are_set_by_administrators_of_their_own_organisation() {
    for bed in Bed::all().await {
        let app = app!(bed);
        let path = "/api/v1/threats/policies";
        let (status, list) = call!(app, get, path, "home:viewer", Value::Null);
        assert_eq!(status, 200);
        let policies = list["policies"].as_array().unwrap();
        assert_eq!(policies.len(), 12);
        assert!(policies.iter().all(|policy| policy["response"] == "alert"));
        let change = json!({"responses": {"honeytoken": "suspend", "new_source": "off"}});
        let (status, _) = call!(app, put, path, "home:manager", change.clone());
        assert_eq!(status, 403);
        let (status, list) = call!(app, put, path, "home:admin", change);
        assert_eq!(status, 200);
        let of = |list: &Value, detector: &str| {
            let all = list["policies"].as_array().unwrap();
            all.iter().find(|policy| policy["detector"] == detector).unwrap()["response"].clone()
        };
        assert_eq!(
            (
                of(&list, "honeytoken"),
                of(&list, "new_source"),
                of(&list, "ended_key")
            ),
            (json!("suspend"), json!("off"), json!("alert"))
        );
        let (_, foreign) = call!(app, get, path, "away:viewer", Value::Null);
        assert_eq!(of(&foreign, "honeytoken"), json!("alert"));

        let path = "/api/v1/threats/honeytokens";
        let (status, _) = call!(app, get, path, "home:manager", Value::Null);
        assert_eq!(status, 403, "who may not set them may not see them");
        let tokens =
            json!({"honeytokens": [{"capability": "vault:*"}, {"capability": "admin:root", "note": "bait"}]});
        let (status, list) = call!(app, put, path, "home:admin", tokens);
        assert_eq!((status, list["honeytokens"].as_array().unwrap().len()), (200, 2));
        let (_, foreign) = call!(app, get, path, "away:admin", Value::Null);
        assert_eq!(foreign, json!({"honeytokens": []}));
        for (tokens, field) in [
            (json!([{"capability": "*"}]), "honeytokens[0].capability"),
            (
                json!([{"capability": "a:b"}, {"capability": "a:b"}]),
                "honeytokens[1].capability",
            ),
            (json!([{"capability": ""}]), "honeytokens[0].capability"),
            (json!(vec![json!({"capability": "a:b"}); 101]), "honeytokens"),
        ] {
            let (status, problem) = call!(app, put, path, "home:admin", json!({"honeytokens": tokens}));
            assert_eq!((status, &problem["field"]), (422, &json!(field)), "{problem}");
        }
        let (_, list) = call!(
            app,
            put,
            path,
            "home:admin",
            json!({"honeytokens": ["admin:root"]})
        );
        assert_eq!(
            list["honeytokens"].as_array().unwrap().len(),
            1,
            "those not named are gone"
        );
    }
}
