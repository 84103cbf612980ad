//! An agent that signs, and what it is told.

use aim_client::{AgentIdentity, Client, Clock, PreparedRequest, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::AUTHORITY;

/// An agent as its own process would be: it signs requests, for whichever node will get them.
#[derive(Clone)]
pub struct Signer {
    /// Who it is.
    pub id: Uuid,
    client: Client,
}

impl Signer {
    /// The agent of this identity.
    pub fn new(identity: AgentIdentity) -> Self {
        let id = identity.agent_id;
        let client = Client::builder()
            .server(format!("http://{AUTHORITY}"))
            .agent(identity)
            .build()
            .expect("a client");
        Self { id, client }
    }

    /// A signed request for a decision.
    pub fn wants(&self, action: &str) -> PreparedRequest {
        self.wants_with(action, json!({}))
    }

    /// A signed request for a decision with a context.
    pub fn wants_with(&self, action: &str, context: Value) -> PreparedRequest {
        let body = json!({"action": action, "resource": "customers/42", "context": context});
        self.signed(Method::POST, "/api/v1/verifications", Some(&body))
    }

    /// A signed request with a body that may be anything.
    pub fn signed_bytes(&self, method: Method, target: &str, body: Vec<u8>) -> PreparedRequest {
        let mut request = self.signed(Method::GET, "/", None);
        request.method = method;
        request.url = format!("http://{AUTHORITY}{target}").parse().expect("a target");
        request.set_header("content-type", "application/json");
        request.body = body;
        let key = self.client.identity().expect("an agent").key();
        request
            .sign(key, Clock::system().seconds())
            .expect("a signed request");
        request
    }

    /// Its public key, as the published SDKs send it.
    pub fn public_key(&self) -> String {
        self.client
            .identity()
            .expect("an agent")
            .public_key()
            .spki_base64()
    }

    /// The present second, as text.
    pub fn seconds(&self) -> String {
        Clock::system().seconds().to_string()
    }

    /// Any signed request.
    pub fn signed(&self, method: Method, path: &str, body: Option<&Value>) -> PreparedRequest {
        self.client.prepare(method, path, body).expect("a signed request")
    }
}

/// What a node said to a request for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A decision and its verdict.
    Decided(Uuid, String),
    /// A refusal: HTTP status and code.
    Refused(u16, String),
}

impl Said {
    /// Reads an answer. A decision counts only if the HTTP status says the same.
    pub fn by(reply: &Reply) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        if let Some(code) = body["code"].as_str() {
            return Self::Refused(reply.status, code.to_owned());
        }
        let (id, status) = (
            body["id"].as_str().and_then(|id| id.parse().ok()),
            body["status"].as_str(),
        );
        let expected = match reply.status {
            201 => "approved",
            202 => "pending",
            403 => "denied",
            _ => "",
        };
        match (id, status) {
            (Some(id), Some(status)) if status == expected => Self::Decided(id, status.to_owned()),
            _ => panic!("neither a decision nor a problem: {} {body}", reply.status),
        }
    }

    /// Whether it is the refusal of a request that was used before.
    pub fn is_replay(&self) -> bool {
        *self == Self::Refused(401, "auth.signature_replayed".to_owned())
    }

    /// Whether nothing could be written, and so nothing was allowed.
    pub fn is_unavailable(&self) -> bool {
        *self == Self::Refused(503, "server.unavailable".to_owned())
    }

    /// Whether the action was approved.
    pub fn is_approval(&self) -> bool {
        matches!(self, Self::Decided(_, status) if status == "approved")
    }

    /// Whether it was denied, with evidence.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Decided(_, status) if status == "denied")
    }
}
