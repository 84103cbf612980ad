//! The routes, with the key itself as a credential; and the marks of the edition.

use std::sync::Arc;

use actix_web::{App, middleware::from_fn, test};
use aim_core::{Actor, ApiKeyId, Code, Error, OrganizationId, Role};
use aim_key_vault::KeyVault;
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture, configure, openapi_of, shell, shell_state,
};
use aim_premium::EDITION_MARKER;
use serde_json::{Value, json};

use crate::bed::Bed;

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
        let mut modules: Vec<Arc<dyn Module>> = vec![
            Arc::new(Callers(Arc::new(Believing($bed.organization)))),
            Arc::new(KeyVault::new(&$bed.kernel)),
        ];
        modules.extend(aim_premium::modules(
            &$bed.kernel,
            aim_violations::VerificationService::new(&$bed.kernel),
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
    ($app:expr, $method:ident, $path:expr, $header:expr, $body:expr) => {{
        let header: (&str, &str) = $header;
        let mut request = test::TestRequest::$method()
            .uri(AsRef::<str>::as_ref(&$path))
            .insert_header(header);
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

#[actix_web::test]
async fn a_key_lives_and_dies_over_http() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let app = app!(bed);
        let path = format!("/api/v1/agents/{}/api-keys", bed.agent.id);
        let body = json!({"name": "nightly", "capabilities": ["db:read"], "expires_in_days": 30});
        let (status, created) = call!(app, post, path, ("x-test-role", "manager"), Some(body));
        assert_eq!(status, 201);
        let text = created["api_key"].as_str().unwrap().to_owned();

        let vault = format!("/api/v1/agents/{}/key-vault", bed.agent.id);
        let (status, view) = call!(app, get, vault, ("x-api-key", text.as_str()), None);
        assert_eq!((status, view["agent_name"].as_str()), (200, Some("reader")));
        let bearer = format!("Bearer {text}");
        let (status, _) = call!(app, get, vault, ("authorization", bearer.as_str()), None);
        assert_eq!(status, 200);
        let (status, _) = call!(app, get, path, ("authorization", bearer.as_str()), None);
        assert_eq!(status, 403);

        let (status, list) = call!(app, get, path, ("x-test-role", "member"), None);
        assert_eq!((status, list["total"].as_i64()), (200, Some(1)));
        assert_eq!(list["api_keys"][0]["last_used_at"], json!(bed.now()));
        assert!(!list.to_string().contains(&text));

        let one = format!("{path}/{}", created["id"].as_str().unwrap());
        let (status, _) = call!(app, delete, one, ("x-test-role", "manager"), None);
        assert_eq!(status, 204);
        let (status, problem) = call!(app, get, vault, ("authorization", bearer.as_str()), None);
        assert_eq!(
            (status, problem["code"].as_str()),
            (401, Some("auth.credentials_invalid"))
        );
    }
}

#[actix_web::test]
async fn each_route_wants_its_permission_and_names_the_field_at_fault() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let app = app!(bed);
        let path = format!("/api/v1/agents/{}/api-keys", bed.agent.id);
        let one = format!("{path}/{}", bed.agent.id);
        let (status, problem) = call!(app, get, path, ("x-test-role", "viewer"), None);
        assert_eq!(
            (status, problem["field"].as_str()),
            (403, Some("agent_api_keys:read"))
        );
        let (status, problem) = call!(app, post, path, ("x-test-role", "member"), Some(json!({})));
        assert_eq!(
            (status, problem["field"].as_str()),
            (403, Some("agent_api_keys:write"))
        );
        let (status, problem) = call!(app, delete, one, ("x-test-role", "member"), None);
        assert_eq!(
            (status, problem["field"].as_str()),
            (403, Some("agent_api_keys:write"))
        );
        let (status, _) = call!(app, get, path, ("x-nothing", "at all"), None);
        assert_eq!(status, 401);
        let (status, _) = call!(app, delete, one, ("x-test-role", "manager"), None);
        assert_eq!(status, 404);

        for (body, field) in [
            (json!({"capabilities": ["db:read"]}), "name"),
            (json!({"name": " ", "capabilities": ["db:read"]}), "name"),
            (json!({"name": "x", "capabilities": []}), "capabilities"),
            (
                json!({"name": "x", "capabilities": ["db:read", "mail:send"]}),
                "capabilities[1]",
            ),
            (
                json!({"name": "x", "capabilities": ["db:read", 7]}),
                "capabilities[1]",
            ),
            (
                json!({"name": "x", "capabilities": ["db:read"], "expires_in_days": 366}),
                "expires_in_days",
            ),
            (
                json!({"name": "x", "capabilities": ["db:read"], "expires_at": "2020-01-01T00:00:00Z"}),
                "expires_at",
            ),
            (
                json!({"name": "x", "capabilities": ["db:read"], "surprise": 1}),
                "surprise",
            ),
        ] {
            let (status, problem) = call!(app, post, path, ("x-test-role", "manager"), Some(body.clone()));
            let named = problem["field"].as_str().and_then(|path| path.rsplit('.').next());
            assert_eq!((status, named), (422, Some(field)), "{body}: {problem}");
        }
    }
}

#[actix_web::test]
async fn a_key_used_from_elsewhere_opens_no_route_and_leaves_a_record() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let app = app!(bed);
        let mut request = crate::bed::wish(&["db:read"]);
        request.addresses = Some(vec!["192.0.2.0/24".to_owned()]);
        let key = bed.key_of(request).await;
        let vault = format!("/api/v1/agents/{}/key-vault", bed.agent.id);
        let from = async |peer: &str| {
            let request = test::TestRequest::get()
                .uri(&vault)
                .peer_addr(format!("{peer}:4711").parse().unwrap())
                .insert_header(("x-api-key", key.as_str()));
            test::call_service(&app, request.to_request())
                .await
                .status()
                .as_u16()
        };
        assert_eq!((from("192.0.2.7").await, from("198.51.100.7").await), (200, 403));
        assert!(bed.audited().await.contains(&"authentication.refused".to_owned()));
    }
}

#[actix_web::test]
async fn rotation_listing_and_recognition_work_over_http() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let app = app!(bed);
        let path = format!("/api/v1/agents/{}/api-keys", bed.agent.id);
        let body = json!({"name": "nightly", "capabilities": ["db:read"], "secret_paths": ["a/*"], "addresses": ["::1"]});
        let (status, made) = call!(app, post, path, ("x-test-role", "manager"), Some(body));
        assert_eq!((status, &made["addresses"]), (201, &json!(["::1"])));
        let rotate = format!("{path}/{}/rotate", made["id"].as_str().unwrap());
        let (status, new) = call!(
            app,
            post,
            rotate,
            ("x-test-role", "manager"),
            Some(json!({"overlap_seconds": 5}))
        );
        assert_eq!((status, &new["rotated_from"]), (201, &made["id"]));
        let list = "/api/v1/agent-api-keys?status=rotating";
        let (status, list) = call!(app, get, list, ("x-test-role", "member"), None);
        assert_eq!(
            (status, &list["api_keys"][0]["id"], &list["total"]),
            (200, &made["id"], &json!(1))
        );
        let ask = json!({"token": new["api_key"]});
        let at = "/api/v1/agent-api-keys/recognise";
        let (status, said) = call!(app, post, at, ("x-test-role", "manager"), Some(ask.clone()));
        assert_eq!(
            (status, &said["known"], &said["key"]["id"]),
            (200, &json!(true), &new["id"])
        );
        assert!(!said.to_string().contains(new["api_key"].as_str().unwrap()));
        let (status, _) = call!(app, post, at, ("x-test-role", "member"), Some(ask));
        assert_eq!(status, 403);
        let (status, problem) = call!(
            app,
            post,
            at,
            ("x-test-role", "manager"),
            Some(json!({"token": " "}))
        );
        assert_eq!((status, problem["field"].as_str()), (422, Some("token")));
        let (status, _) = call!(
            app,
            get,
            "/api/v1/agent-api-keys?status=x",
            ("x-test-role", "member"),
            None
        );
        assert!(status == 400 || status == 422);
    }
}

#[actix_web::test]
async fn every_operation_of_a_premium_module_carries_the_editions_mark() {
    let bed = Bed::all().await.remove(0);
    let premium = aim_premium::modules(&bed.kernel, aim_violations::VerificationService::new(&bed.kernel));
    let document = serde_json::to_value(openapi_of(&premium, &edition())).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let own = paths.iter().filter(|(path, _)| path.contains("/agents/"));
    let marks: Vec<_> = own
        .flat_map(|(_, item)| item.as_object().unwrap().values())
        .map(|operation| &operation["x-aim-edition"])
        .collect();
    assert_eq!(marks, [EDITION_MARKER; 4]);
    let community: Vec<Arc<dyn Module>> = vec![Arc::new(KeyVault::new(&bed.kernel))];
    let document = serde_json::to_string(&openapi_of(&community, &edition())).unwrap();
    assert!(!document.contains(EDITION_MARKER) && !document.contains("/api-keys"));
}
