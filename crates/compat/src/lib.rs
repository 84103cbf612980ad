//! The published AIM SDKs as clients: aim-sdk 2.x as it is on PyPI, and the generation before it.
//!
//! Their wire forms are turned into our own requests here, and nowhere else: their three signatures
//! ([`signatures`], over Python's way of writing JSON, [`python_json`]) become the same authentication as any
//! other, their two spellings ([`wire`]) the same calls of the same services. No rule of a capability stands
//! here, and the native API knows nothing of it. docs/COMPATIBILITY.md says what works, and where we differ.

pub mod authenticate;
pub mod python_json;
mod routes;
pub mod signatures;
pub mod wire;

use std::sync::Arc;

use aim_core::{Error, Result};
use aim_identity::{AgentService, Identity};
use aim_mcp::McpServers;
use aim_platform::{Authenticator, Kernel, Module, NonceClaim, ServiceConfig};
use aim_store::{Scope, Store};
use aim_violations::{VerificationService, Violations, capabilities::CapabilityService};
use serde_json::{Map, Value, json};

use authenticate::{Signers, VERIFICATIONS};
use wire::ENFORCEMENT_MODE;

/// The paths whose refusals the SDKs read.
const PATHS: [&str; 3] = [
    "/api/v1/sdk-api/",
    "/api/v1/public/agents/register",
    "/api/v1/detection/",
];

/// The capability. Cloning is cheap.
///
/// List it before [`Identity`]: an SDK that has an organisation key as well sends it beside its poll
/// signature, and the first authenticator that recognises a request decides.
#[derive(Clone)]
pub struct Compat {
    store: Store,
    public_url: String,
    signers: Signers,
    agents: AgentService,
    verifications: VerificationService,
    capabilities: CapabilityService,
    mcp: McpServers,
}

impl Compat {
    /// The capability, on the services that it speaks to.
    #[must_use]
    pub fn new(kernel: &Kernel, identity: &Identity, violations: &Violations, mcp: &McpServers) -> Self {
        Self {
            store: kernel.store.clone(),
            public_url: kernel.config.public_url.clone(),
            signers: Signers::new(kernel, identity.directory()),
            agents: identity.agents(),
            verifications: violations.verifications(),
            capabilities: violations.capabilities(),
            mcp: mcp.clone(),
        }
    }

    /// Uses up a signature. `false`: it was used before.
    async fn claim(&self, nonce: Option<NonceClaim>) -> Result<bool> {
        let Some(nonce) = nonce else { return Ok(true) };
        self.store
            .write(Scope::Organization(nonce.organization), move |db| {
                aim_store::nonces::claim(db, nonce.organization, &nonce.digest, nonce.expires_at)
            })
            .await
    }
}

impl Module for Compat {
    fn name(&self) -> &'static str {
        "compat"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, self);
    }

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        self.signers.authenticators()
    }

    /// The SDKs show `error`, and take the enforcement mode from any answer about a verification.
    fn extend_problem(&self, path: &str, error: &Error, members: &mut Map<String, Value>) {
        if !PATHS.iter().any(|start| path.starts_with(start)) {
            return;
        }
        members.insert("error".to_owned(), json!(error_text(error)));
        if path.starts_with(VERIFICATIONS) {
            members.insert("enforcementMode".to_owned(), json!(ENFORCEMENT_MODE));
        }
    }
}

/// One line for a terminal, without what only the log may know.
fn error_text(error: &Error) -> String {
    let detail = if error.detail.is_empty() {
        error.code.title()
    } else {
        &error.detail
    };
    match &error.field {
        Some(field) if !detail.contains(field.as_str()) => format!("{field}: {detail}"),
        _ => detail.to_owned(),
    }
}
