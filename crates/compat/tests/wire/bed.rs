//! One database, two nodes with a clock each, an organisation with an agent that may do `db:read`.

use std::sync::Arc;

use aim_compat::{
    Compat,
    python_json::{self, NameOrder, Separators},
    signatures::{header_message, poll_message},
};
use aim_core::{AgentId, ManualClock, OrganizationId, Timestamp};
use aim_crypto::keys::SigningKey;
use aim_identity::Identity;
use aim_platform::{Kernel, Module, PlatformConfig};
use aim_store::Store;
use aim_testkit::{SeededAgent, TestDatabase, databases, kernel, seed_agent, seed_organization};
use aim_violations::{Violations, capabilities::NewGrant};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use serde_json::{Value, json, value::RawValue};

pub(crate) const VERIFICATIONS: &str = "/api/v1/sdk-api/verifications";

pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) organization: OrganizationId,
    pub(crate) agent: SeededAgent,
    pub(crate) here: Node,
    pub(crate) there: Node,
}

/// A node, as the composition root makes one.
pub(crate) struct Node {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) violations: Violations,
    pub(crate) modules: Vec<Arc<dyn Module>>,
}

impl Node {
    pub(crate) fn new(store: &Store, config: PlatformConfig) -> Self {
        let (mut kernel, clock) = kernel(store);
        kernel.config = Arc::new(config);
        let identity = Identity::new(&kernel);
        let violations = Violations::new(&kernel);
        let compat = Compat::new(
            &kernel,
            &identity,
            &violations,
            &aim_mcp::McpServers::new(&kernel),
        );
        let modules: Vec<Arc<dyn Module>> =
            vec![Arc::new(compat), Arc::new(identity), Arc::new(violations.clone())];
        Self {
            kernel,
            clock,
            violations,
            modules,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.kernel.now()
    }
}

impl Bed {
    pub(crate) async fn all() -> Vec<Self> {
        let mut beds = Vec::new();
        for database in databases().await {
            let here = Node::new(&database.store, PlatformConfig::default());
            let there = Node::new(&database.another_node().await, PlatformConfig::default());
            let organization = seed_organization(&database.store).await.organization;
            let agent = seed_agent(&database.store, organization, "reader").await;
            let bed = Self {
                database,
                organization,
                agent,
                here,
                there,
            };
            bed.grant("db:read").await;
            beds.push(bed);
        }
        beds
    }

    pub(crate) async fn grant(&self, capability: &str) {
        let ctx = aim_core::Ctx::system("test", self.organization, self.here.now());
        let new = NewGrant {
            capability: capability.to_owned(),
            ..NewGrant::default()
        };
        self.here
            .violations
            .capabilities()
            .grant(&ctx, self.agent.id, new)
            .await
            .unwrap();
    }

    /// What the agent asks for, signed at the moment of this node.
    pub(crate) fn action(&self) -> Value {
        action(self.agent.id, &self.agent.key, self.here.now(), json!({}))
    }

    /// The agent's poll of a decision.
    pub(crate) fn poll(&self, key: &SigningKey, decision: &Value) -> Raw {
        poll(self.agent.id, key, self.here.now(), decision.as_str().unwrap())
    }
}

/// A request, byte for byte.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

fn base64_of(signature: [u8; 64]) -> String {
    STANDARD.encode(signature)
}

/// A verification of aim-sdk 2.x for `db:read`.
pub(crate) fn action(agent: AgentId, key: &SigningKey, at: Timestamp, context: Value) -> Value {
    let timestamp = at.to_text();
    let signed = json!({
        "action_type": "db:read", "agent_id": agent, "context": context, "resource": null, "timestamp": timestamp,
    });
    let raw = RawValue::from_string(signed.to_string()).unwrap();
    let signed = python_json::sorted(&raw, Separators::Spaced, NameOrder::CodePoint).unwrap();
    json!({
        "agentId": agent, "capability": "db:read", "resource": null, "context": context, "timestamp": timestamp,
        "signature": base64_of(key.sign(signed.as_bytes())), "publicKey": key.public().raw_base64(),
    })
}

/// The same in the names of the generation before.
pub(crate) fn older(mut action: Value) -> Value {
    for (newer, older) in [
        ("agentId", "agent_id"),
        ("capability", "action_type"),
        ("publicKey", "public_key"),
    ] {
        let value = action[newer].take();
        action.as_object_mut().unwrap().remove(newer);
        action[older] = value;
    }
    action
}

pub(crate) fn verification(action: &Value) -> Raw {
    Raw {
        method: "POST",
        target: VERIFICATIONS.to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: action.to_string(),
    }
}

/// A request with a header signature.
pub(crate) fn header_signed(
    agent: AgentId,
    key: &SigningKey,
    at: Timestamp,
    method: &'static str,
    target: &str,
    body: &str,
) -> Raw {
    let timestamp = at.timestamp().to_string();
    let signature = key.sign(&header_message(method, target, &timestamp, body.as_bytes()));
    Raw {
        method,
        target: target.to_owned(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-agent-id", agent.to_string()),
            ("x-timestamp", timestamp),
            ("x-public-key", key.public().raw_base64()),
            ("x-signature", base64_of(signature)),
        ],
        body: body.to_owned(),
    }
}

pub(crate) fn poll(agent: AgentId, key: &SigningKey, at: Timestamp, decision: &str) -> Raw {
    let target = format!("{VERIFICATIONS}/{decision}");
    let timestamp = at.timestamp().to_string();
    let signature = key.sign(&poll_message(&target, &agent.to_string(), &timestamp));
    Raw {
        method: "GET",
        target,
        headers: vec![
            ("x-aim-agent-id", agent.to_string()),
            ("x-aim-timestamp", timestamp),
            ("x-aim-signature", base64_of(signature)),
        ],
        body: String::new(),
    }
}

pub(crate) const fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// The node's application, in its shell.
macro_rules! app {
    ($node:expr) => {{
        let node: &$crate::bed::Node = $node;
        let state = aim_platform::shell_state(&node.kernel, &node.modules);
        let edition = aim_platform::EditionInfo {
            edition: "test".to_owned(),
            version: "0".to_owned(),
            features: Vec::new(),
        };
        let document = aim_platform::OpenApiDocument("{}".into());
        actix_web::test::init_service(
            actix_web::App::new()
                .wrap(actix_web::middleware::from_fn(
                    aim_platform::shell::<actix_web::body::BoxBody>,
                ))
                .configure(|config| {
                    aim_platform::configure(config, &node.kernel, &node.modules, &state, &edition, &document)
                }),
        )
        .await
    }};
}

/// Sends a request; answers its status and JSON.
macro_rules! send {
    ($app:expr, $raw:expr) => {{
        let raw: &$crate::bed::Raw = $raw;
        let mut request = actix_web::test::TestRequest::with_uri(&raw.target)
            .method(raw.method.parse().unwrap())
            .set_payload(raw.body.clone());
        for (name, value) in &raw.headers {
            request = request.insert_header((*name, value.as_str()));
        }
        let response = actix_web::test::call_service(&$app, request.to_request()).await;
        let status = response.status().as_u16();
        let bytes = actix_web::test::read_body(response).await;
        (
            status,
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_default(),
        )
    }};
}

pub(crate) use {app, send};
