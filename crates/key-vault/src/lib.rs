//! The key vault: the agents' own public keys, and nothing else.
//!
//! It knows every key an agent ever had: who brought it, when and why it ended. It never holds a
//! private key. What a key is worth at an instant is decided by [`aim_decision::KeyFact::state`].
//!
//! A key ends in one of three ways. **Rotation**: the current key signs the new one in, and works on
//! until its grace period ends. **Replacement** and **revocation**, by a manager: at once, from the
//! commit on. Each change bumps the agent's epoch, so that no node goes on with what it remembers.

use std::sync::Arc;

use aim_platform::{Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry};

pub mod challenge;
pub mod jobs;
pub mod model;
mod pages;
mod routes;
pub mod service;
pub mod store;
mod warnings;

pub use service::KeyVaultService;

/// The module.
#[derive(Clone)]
pub struct KeyVault {
    kernel: Arc<Kernel>,
    service: KeyVaultService,
}

impl KeyVault {
    /// The key vault on this kernel.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: Arc::new(kernel.clone()),
            service: KeyVaultService::new(kernel),
        }
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> KeyVaultService {
        self.service.clone()
    }
}

impl Module for KeyVault {
    fn name(&self) -> &'static str {
        "key_vault"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, &self.service);
    }

    fn jobs(&self) -> Vec<Job> {
        jobs::all(&self.kernel)
    }
}
