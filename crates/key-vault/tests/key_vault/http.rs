//! The routes: statuses, shapes and permissions.

use std::sync::Arc;

use actix_web::{App, middleware::from_fn, test};
use aim_core::{Actor, AgentCredential, ApiKeyId, Code, Error, OrganizationId, Role};
use aim_crypto::keys::PublicKey;
use aim_key_vault::KeyVault;
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture, configure, shell, shell_state,
};
use serde_json::{Value, json};

use crate::bed::{Agent, Bed, fingerprint, fresh_key};

/// Believes the header `x-test-caller`: a role, or `agent:<id>:<fingerprint>`.
struct Believing(OrganizationId);

impl Authenticator for Believing {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.header("x-test-caller").is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move {
            let caller = head.header("x-test-caller").unwrap_or_default();
            let actor = match caller
                .strip_prefix("agent:")
                .and_then(|agent| agent.split_once(':'))
            {
                Some((id, fingerprint)) => Actor::Agent {
                    id: id.parse().unwrap(),
                    credential: AgentCredential::Key {
                        fingerprint: fingerprint.to_owned(),
                    },
                },
                None => {
                    let role =
                        Role::parse(caller).ok_or_else(|| Error::new(Code::CredentialsInvalid, "who?"))?;
                    Actor::ApiKey {
                        id: ApiKeyId::generate(head.now),
                        role,
                    }
                }
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

fn signed_by(agent: &Agent) -> String {
    format!("agent:{}:{}", agent.id, fingerprint(&agent.key))
}

macro_rules! app {
    ($bed:expr) => {{
        let modules: Vec<Arc<dyn Module>> = vec![
            Arc::new(Callers(Arc::new(Believing($bed.organization)))),
            Arc::new(KeyVault::new(&$bed.kernel)),
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
        if let Some(caller) = $caller {
            request = request.insert_header(("x-test-caller", caller));
        }
        if let Some(body) = $body {
            let body: Value = body;
            request = request.set_json(body);
        }
        let response = test::call_service(&$app, request.to_request()).await;
        let status = response.status().as_u16();
        let bytes = test::read_body(response).await;
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    }};
}

#[actix_web::test]
async fn a_whole_rotation_over_http() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let app = app!(bed);
        let (caller, base) = (
            signed_by(&agent),
            format!("/api/v1/agents/{}/key-vault", agent.id),
        );

        let (status, view) = call!(app, get, base, Some(caller.as_str()), None);
        assert_eq!(status, 200);
        let mut members: Vec<_> = view.as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(
            members,
            [
                "agent_id",
                "agent_name",
                "fingerprint",
                "has_previous_public_key",
                "key_algorithm",
                "key_created_at",
                "key_expires_at",
                "key_rotation_grace_until",
                "public_key",
                "rotation_count",
            ]
        );
        assert_eq!(view["key_rotation_grace_until"], Value::Null);

        let (status, challenge) = call!(
            app,
            post,
            format!("{base}/challenges"),
            Some(caller.as_str()),
            None
        );
        assert_eq!(
            (status, challenge["challenge"].as_str().map(str::len)),
            (201, Some(43))
        );

        let new = fresh_key();
        let request = bed.rotation_to(&agent, &new, Some(0)).await;
        let body = json!({
            "public_key": new.public().pem(), "challenge": request.challenge, "proof": request.proof,
            "previous_signature": request.previous_signature, "grace_hours": 0,
        });
        let (status, view) = call!(
            app,
            post,
            format!("{base}/rotate"),
            Some(caller.as_str()),
            Some(body)
        );
        assert_eq!(
            (status, view["fingerprint"].as_str()),
            (200, Some(fingerprint(&new).as_str()))
        );

        let (status, history) = call!(app, get, format!("{base}/history"), Some("viewer"), None);
        assert_eq!((status, history["total"].as_i64()), (200, Some(2)));
        assert_eq!(history["keys"][1]["status"], "retired");

        let (status, _) = call!(app, get, base, Some(caller.as_str()), None);
        assert_eq!(status, 401, "without grace the former key counts no more");
        let renewed = signed_by(&Agent {
            id: agent.id,
            key: new,
        });
        let (status, _) = call!(app, get, base, Some(renewed.as_str()), None);
        assert_eq!(status, 200);

        let (status, view) = call!(
            app,
            post,
            format!("{base}/revoke"),
            Some("manager"),
            Some(json!({"reason": "leaked"}))
        );
        assert_eq!((status, &view["public_key"]), (200, &Value::Null));
        let (status, _) = call!(app, get, base, Some(renewed.as_str()), None);
        assert_eq!(status, 401, "a revoked key is refused on the next request");
    }
}

#[actix_web::test]
async fn the_current_key_is_written_in_every_form_and_read_back_as_the_same_key() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let app = app!(bed);
        let base = format!("/api/v1/agents/{}/key-vault", agent.id);
        let path = format!("{base}/formats");
        let (caller, key) = (signed_by(&agent), agent.key.public());
        for reader in [caller.as_str(), "viewer"] {
            let (status, forms) = call!(app, get, path, Some(reader), None);
            assert_eq!(status, 200);
            for form in ["spki_base64", "raw_base64", "pem"] {
                let text = forms[form].as_str().unwrap();
                assert_eq!(PublicKey::parse(text).unwrap(), key, "{form}");
            }
            assert_eq!(PublicKey::parse(&forms["jwk"].to_string()).unwrap(), key);
            assert!(
                forms["spki_base64"]
                    .as_str()
                    .unwrap()
                    .starts_with("MCowBQYDK2VwAyEA")
            );
            assert!(forms["multibase"].as_str().unwrap().starts_with("z6Mk"));
            assert_eq!(forms["fingerprint"], fingerprint(&agent.key));
        }
        let stranger = bed.agent("stranger").await;
        let (status, _) = call!(app, get, path, Some(signed_by(&stranger).as_str()), None);
        assert_eq!(status, 404, "an agent sees its own key only");
        let reason = json!({"reason": "leaked"});
        let (status, _) = call!(app, post, format!("{base}/revoke"), Some("manager"), Some(reason));
        assert_eq!(status, 200);
        let (status, problem) = call!(app, get, path, Some("viewer"), None);
        assert_eq!((status, problem["code"].as_str()), (409, Some("resource.state")));
    }
}

#[actix_web::test]
async fn each_route_wants_its_permission_and_credentials_first() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let app = app!(bed);
        let base = format!("/api/v1/agents/{}/key-vault", agent.id);
        let signed = signed_by(&agent);
        for (path, below, permission) in [
            ("challenges", "viewer", "keys:rotate"),
            ("rotate", "viewer", "keys:rotate"),
            ("replace", "member", "keys:revoke"),
            ("replace", signed.as_str(), "keys:revoke"),
            ("revoke", "member", "keys:revoke"),
            ("revoke", signed.as_str(), "keys:revoke"),
        ] {
            let (status, problem) = call!(app, post, format!("{base}/{path}"), Some(below), Some(json!({})));
            assert_eq!(
                (status, problem["field"].as_str()),
                (403, Some(permission)),
                "{path} as {below}"
            );
            let (status, _) = call!(app, post, format!("{base}/{path}"), None::<&str>, Some(json!({})));
            assert_eq!(status, 401, "{path} as nobody");
        }
        let (status, _) = call!(app, get, "/api/v1/agents/none/key-vault", None::<&str>, None);
        assert_eq!(status, 401, "credentials before ids");
        let (status, _) = call!(app, get, "/api/v1/key-warnings", Some(signed.as_str()), None);
        assert_eq!(status, 403, "agents are not warned of others' keys");
        let (status, list) = call!(app, get, "/api/v1/key-warnings", Some("viewer"), None);
        assert_eq!(
            (status, &list),
            (
                200,
                &json!({"warnings": [], "total": 0, "limit": 20, "offset": 0, "next_cursor": null})
            )
        );
    }
}

#[actix_web::test]
async fn bad_input_names_the_field() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let app = app!(bed);
        let base = format!("/api/v1/agents/{}/key-vault", agent.id);
        let right = bed.rotation_to(&agent, &fresh_key(), None).await;
        let body = json!({
            "public_key": right.public_key, "challenge": right.challenge, "proof": right.proof,
            "previous_signature": right.previous_signature,
        });
        for (field, value) in [
            ("public_key", json!("AAAA")),
            (
                "public_key",
                json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ),
            ("public_key", json!(7)),
            ("proof", json!("not base64!")),
            ("previous_signature", json!("AAAA")),
            ("grace_hours", json!(169)),
            ("grace_hours", json!(-1)),
            ("reason", json!("")),
            ("surprise", json!(1)),
        ] {
            let mut wrong = body.clone();
            wrong[field] = value.clone();
            let (status, problem) = call!(app, post, format!("{base}/rotate"), Some("member"), Some(wrong));
            let named = problem["field"].as_str().and_then(|path| path.rsplit('.').next());
            assert_eq!((status, named), (422, Some(field)), "{value}: {problem}");
        }
        let (status, problem) = call!(
            app,
            post,
            format!("{base}/revoke"),
            Some("manager"),
            Some(json!({}))
        );
        assert_eq!((status, problem["field"].as_str()), (422, Some("reason")));
        for path in [
            "/api/v1/agents/none/key-vault",
            "/api/v1/agents/0190f3a0-0000-7000-8000-000000000000/key-vault",
        ] {
            let (status, problem) = call!(app, get, path, Some("viewer"), None);
            assert_eq!(
                (status, problem["code"].as_str()),
                (404, Some("resource.not_found"))
            );
        }
        let (status, problem) = call!(app, get, "/api/v1/key-warnings?limit=0", Some("viewer"), None);
        assert_eq!((status, problem["field"].as_str()), (422, Some("limit")));
    }
}
