//! An agent whose private key the test has.

use std::ops::Deref;

use aim_core::{AgentId, Role};
use aim_crypto::{
    keys::{PublicKey, SigningKey},
    possession::{Purpose, possession_message, rotation_message},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    caller::{Answer, Caller, Credential},
    request::Prepared,
    tenant::TenantOf,
};

/// A new key.
#[must_use]
pub fn fresh_key() -> SigningKey {
    SigningKey::generate().expect("randomness")
}

/// The proof that `key` is at hand, as the routes take it.
#[must_use]
pub fn possession_proof(purpose: Purpose, challenge: &str, key: &SigningKey) -> String {
    STANDARD.encode(key.sign(&possession_message(purpose, challenge, &key.public())))
}

/// An agent that signs its requests.
#[derive(Clone)]
pub struct TestAgent<'a> {
    /// Its id.
    pub id: AgentId,
    /// Its key.
    pub key: SigningKey,
    tenant: TenantOf<'a>,
    caller: Caller<'a>,
}

impl<'a> Deref for TestAgent<'a> {
    type Target = Caller<'a>;

    fn deref(&self) -> &Caller<'a> {
        &self.caller
    }
}

impl<'a> TestAgent<'a> {
    pub(crate) async fn register(tenant: TenantOf<'a>, name: &str) -> Self {
        let key = fresh_key();
        let registrar = tenant.user(Role::Admin).await;
        let body = Self::registration(&registrar, name, &key).await;
        let answer = registrar.post("/api/v1/agents", &body).await;
        let _ = answer.expect(201);
        let id = answer.member("id").parse().expect("the agent's id");
        Self {
            id,
            caller: tenant.app().caller(Credential::Key(key.clone())),
            key,
            tenant,
        }
    }

    /// The body that registers `key` under `name`, with a fresh challenge.
    pub async fn registration(registrar: &Caller<'_>, name: &str, key: &SigningKey) -> Value {
        let challenge = registrar
            .send(Method::POST, "/api/v1/agents/challenges", None)
            .await;
        let _ = challenge.expect(201);
        let challenge = challenge.member("challenge");
        json!({
            "name": name,
            "description": format!("{name}, for a test"),
            "public_key": key.public().spki_base64(),
            "challenge": challenge,
            "proof": possession_proof(Purpose::Register, &challenge, key),
        })
    }

    /// The path of the agent, and what follows it.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/agents/{}{rest}", self.id)
    }

    /// The organisation's administrator makes a grant; answers its id.
    pub async fn grant(&self, grant: Value) -> String {
        let answer = self
            .tenant
            .user(Role::Admin)
            .await
            .post(&self.path("/capabilities"), &grant)
            .await;
        let _ = answer.expect(201);
        answer.member("id")
    }

    /// Asks for an action.
    pub async fn act(&self, action: &str, resource: Option<&str>) -> Answer {
        self.ask(&json!({"action": action, "resource": resource})).await
    }

    /// Asks for an action, with a body of the test's choice.
    pub async fn ask(&self, body: &Value) -> Answer {
        self.post("/api/v1/verifications", body).await
    }

    /// The signed request for an action, not yet sent.
    #[must_use]
    pub fn action(&self, action: &str) -> Prepared {
        self.prove(Self::unsigned_action(action))
    }

    /// The request for an action, not yet signed.
    #[must_use]
    pub fn unsigned_action(action: &str) -> Prepared {
        Prepared::new(Method::POST, "/api/v1/verifications").json(&json!({"action": action}))
    }

    /// The body that rotates to `new`, with a fresh challenge and the present key's consent.
    pub async fn rotation(&self, new: &SigningKey, grace_hours: i64) -> Value {
        let challenge = self
            .send(Method::POST, &self.path("/key-vault/challenges"), None)
            .await;
        let _ = challenge.expect(201);
        let challenge = challenge.member("challenge");
        json!({
            "public_key": new.public().spki_base64(),
            "proof": possession_proof(Purpose::Rotate, &challenge, new),
            "previous_signature": self.consent(&challenge, &new.public()),
            "challenge": challenge,
            "grace_hours": grace_hours,
        })
    }

    /// The present key's signature that brings `new` in.
    #[must_use]
    pub fn consent(&self, challenge: &str, new: &PublicKey) -> String {
        STANDARD.encode(
            self.key
                .sign(&rotation_message(&self.id.to_string(), challenge, new)),
        )
    }

    /// Rotates the key; answers the agent as it signs from now on. The old value goes on signing with the old
    /// key.
    pub async fn rotate(&self, grace_hours: i64) -> Self {
        let key = fresh_key();
        let body = self.rotation(&key, grace_hours).await;
        let _ = self
            .post(&self.path("/key-vault/rotate"), &body)
            .await
            .expect(200);
        self.signing_with(key)
    }

    /// The same agent, signing with another key.
    #[must_use]
    pub fn signing_with(&self, key: SigningKey) -> Self {
        let caller = self.tenant.app().caller(Credential::Key(key.clone()));
        Self {
            key,
            caller,
            ..self.clone()
        }
    }
}
