//! The vault: secrets of others (API keys, passwords, certificates) at paths, in versions, encrypted in an envelope, and
//! handed over to nobody but the agent that may read them, sealed to a key that it signed.
//!
//! [`envelope`] encrypts, [`root`] and [`keys`] hold the keys, [`service`] and [`lifecycle`] are for people, who never get a
//! value, [`reads`] is for agents. Nothing here decides whether an agent may read: that is the verified action.

pub mod cli;
pub mod envelope;
mod key_store;
mod keys;
pub mod kinds;
pub mod lifecycle;
pub mod model;
mod pages;
pub mod passphrase;
pub mod past;
pub mod path;
pub mod provider;
pub mod reads;
pub mod refresh;
pub mod root;
mod routes;
pub mod service;
mod store;
pub mod transfer;
pub mod tree;

use aim_core::Permission;
use aim_platform::{Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry};
use aim_violations::VerificationService;

pub use service::VaultService;

/// As [`crate::EDITION_MARKER`]: stands in every binary that has the vault.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-VAULT-MARKER-91d4";

/// Permissions of this module.
pub mod permission {
    aim_core::permissions! { SECRETS:
        SecretsRead = "secrets:read", Member, "See which secrets there are and their versions, never their values";
        SecretsWrite = "secrets:write", Manager, "Write, delete, destroy and roll back secrets, and look values up";
        VaultUnseal = "vault:unseal", Admin, "Give the vault its passphrase";
        SecretsExport = "secrets:export", Admin, "Export secrets with their values, sealed to a recipient's key";
    }
}

/// The module.
#[derive(Clone)]
pub struct Vault {
    service: VaultService,
}

impl Vault {
    /// The vault on this kernel; reads are decided by `verifications`.
    #[must_use]
    pub fn new(kernel: &Kernel, verifications: VerificationService) -> Self {
        Self {
            service: VaultService::new(kernel, verifications),
        }
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> VaultService {
        self.service.clone()
    }
}

impl Module for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
        past::routes::register(config);
        transfer::routes::register(config);
        refresh::routes::register(config);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, &self.service);
    }

    fn jobs(&self) -> Vec<Job> {
        vec![refresh::job(&self.service)]
    }

    fn permissions(&self) -> &'static [Permission] {
        permission::SECRETS
    }
}
