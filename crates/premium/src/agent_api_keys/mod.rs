//! Agent-scoped API keys: bearer keys that act for one agent, with a part of its capabilities, until
//! they expire or are revoked.
//!
//! A key grants nothing: what it may do is what the agent's grants allow **and** its own list
//! includes, at the secrets and from the addresses that it names, decided anew for every action. It is stored as a keyed hash and shown once. It has
//! nothing to do with the agent's identity: it cannot rotate the agent's key.

mod authenticator;
pub mod cli;
pub mod limits;
pub mod listing;
pub mod model;
mod pages;
pub mod recognition;
pub mod rotation;
mod routes;
pub mod service;
mod store;

use std::sync::Arc;

use aim_core::Permission;
use aim_platform::{Authenticator, Kernel, Module, ServiceConfig, console::ConsoleRegistry};
use aim_store::MigrationSet;

pub use authenticator::AgentApiKeyAuthenticator;
pub use service::AgentApiKeyService;

/// Permissions of this module.
pub mod permission {
    aim_core::permissions! { AGENT_API_KEYS:
        AgentApiKeysRead = "agent_api_keys:read", Member, "See agents' scoped API keys";
        AgentApiKeysWrite = "agent_api_keys:write", Manager, "Create, rotate, revoke and recognise agents' scoped API keys";
    }
}

/// The module.
#[derive(Clone)]
pub struct AgentApiKeys {
    kernel: Kernel,
    service: AgentApiKeyService,
}

impl AgentApiKeys {
    /// Agent-scoped API keys on this kernel.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            service: AgentApiKeyService::new(kernel),
        }
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> AgentApiKeyService {
        self.service.clone()
    }
}

impl Module for AgentApiKeys {
    fn name(&self) -> &'static str {
        "agent_api_keys"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, &self.service);
    }

    fn permissions(&self) -> &'static [Permission] {
        permission::AGENT_API_KEYS
    }

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(AgentApiKeyAuthenticator::new(&self.kernel))]
    }

    fn migrations(&self) -> Option<MigrationSet> {
        Some(crate::PREMIUM_MIGRATIONS)
    }
}
