//! What was handed over, and what was not: over HTTP, as the published SDK and the makers of wrap tokens do it.

use aim_core::Role;
use aim_tests::{TestAgent, TestApp};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

/// The public key of RFC 9180 appendix A.1.1: nobody opens what is sealed to it.
const SEAL_TO: &str = "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0";

/// A resolve, as the published SDK asks for it.
fn resolve(app: &TestApp, agent: &TestAgent<'_>, namespace: &str, unique: u128) -> Value {
    let nonce = format!("{}:{}", app.now(), uuid::Uuid::from_u128(unique));
    let signature = agent.key.sign(format!("{namespace}|read|{nonce}").as_bytes());
    json!({
        "namespace": namespace, "operation": "read", "nonce": nonce,
        "signature": STANDARD.encode(signature), "agentPublicKey": agent.key.public().raw_base64(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_and_not_handed_over_is_listed_as_nothing() {
    for app in TestApp::on_each().await {
        let administrator = app.user(Role::Admin).await;
        let agent = app.agent("reader", &["secret:read"]).await;
        let new = json!({"agentId": agent.id, "namespace": "creds", "operations": ["read"]});
        let made = administrator.post("/api/v1/secrets/namespaces", &new).await;
        let target = format!("/api/v1/secrets/namespaces/{}/credentials", made.member("id"));
        let _ = administrator
            .post(&target, &json!({"encryptedBlob": "AAEC"}))
            .await
            .expect(201);
        let credential = format!("sdk/{}/creds", agent.id);
        let ask = async |namespace: &str, unique| {
            let body = resolve(&app, &agent, namespace, unique);
            agent.post("/api/v1/secrets/resolve", &body).await
        };
        let _ = ask("creds", 1).await.expect(200);
        let _ = administrator
            .delete(&format!("/api/v1/vault/secrets/{credential}"))
            .await
            .expect(200);
        let _ = ask("creds", 2).await.expect(404);
        let _ = ask("no-such", 3).await.expect(404);
        let wrap = async |path: &str| agent.post("/api/v1/vault/wrap", &json!({"path": path})).await;
        let _ = wrap("payments/nothing").await.expect(404);
        let secret = json!({"kind": "api_key", "fields": {"value": "a value"}});
        let _ = administrator
            .put("/api/v1/vault/secrets/payments/key", &secret)
            .await
            .expect(201);
        let _ = wrap("payments/key").await.expect(201);

        app.catch_up().await;
        let list = format!("/api/v1/vault/access?agent_id={}", agent.id);
        let list = administrator.get(&list).await.expect(200);
        let mut seen: Vec<(&str, &str, &str)> = list["accesses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|access| {
                let text = |name: &str| access[name].as_str().unwrap_or_default();
                (text("path"), text("outcome"), text("delivery"))
            })
            .collect();
        seen.sort_unstable();
        let unknown = format!("sdk/{}/no-such", agent.id);
        let mut expected = [
            ("payments/key", "approved", "wrap"),
            ("payments/nothing", "approved", "nothing"),
            (credential.as_str(), "approved", "nothing"),
            (credential.as_str(), "approved", "sdk"),
            (unknown.as_str(), "approved", "nothing"),
        ];
        expected.sort_unstable();
        assert_eq!(seen, expected, "{list}");
        assert!(app.audit().await.intact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_token_for_an_agent_opens_by_its_signature_once_and_by_no_key_for_programs() {
    for app in TestApp::on_each().await {
        let administrator = app.user(Role::Admin).await;
        let agent = app.agent("starter", &["secret:read"]).await;
        let secret = json!({"kind": "api_key", "fields": {"value": "a value"}});
        let _ = administrator
            .put("/api/v1/vault/secrets/payments/key", &secret)
            .await
            .expect(201);
        let wish = json!({"path": "payments/key", "reason": "the first start", "for_agent": agent.id});
        let wrapped = administrator.post("/api/v1/vault/wrap", &wish).await;
        let token = wrapped.member("token");
        let new = json!({"name": "ci", "capabilities": ["secret:read"], "expires_in_days": 3});
        let key = administrator.post(&agent.path("/api-keys"), &new).await;
        let key = app.bearer(&key.member("api_key"));
        let (lookup, unwrap) = ("/api/v1/vault/wrap/lookup", "/api/v1/vault/wrap/unwrap");
        let (token, sealed) = (
            json!({"token": token}),
            json!({"token": token, "seal_to": SEAL_TO}),
        );
        let _ = key.post(lookup, &token).await.expect(404);
        let _ = key.post(unwrap, &sealed).await.expect(404);
        let _ = agent.post(lookup, &token).await.expect(200);

        let signed = agent.prove(aim_tests::Prepared::new(Method::POST, unwrap).json(&sealed));
        let _ = app.send(&signed).await.expect(200);
        let again = app.send(&signed).await;
        assert_eq!(
            (again.status, again.code().as_str()),
            (401, "auth.signature_replayed"),
            "{}",
            again.text
        );
        app.catch_up().await;
        let threats = format!("/api/v1/threats?agent_id={}", agent.id);
        let threats = administrator.get(&threats).await.expect(200);
        let said = threats.to_string();
        assert!(!said.contains("secret_wrap_reused"), "{said}");
        let _ = agent.post(unwrap, &sealed).await.expect(410);
    }
}
