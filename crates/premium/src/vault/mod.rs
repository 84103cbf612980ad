//! The vault: secrets of others (API keys, passwords, certificates) at paths, in versions, encrypted in an envelope, and
//! handed over to the agent that may read them, sealed to a key that it signed; and to a person only as [`reveals`] has it.
//!
//! [`envelope`] encrypts, [`root`] and [`keys`] hold the keys, [`service`] and [`lifecycle`] are for people and answer no
//! value, [`reads`], [`writes`] and [`lists`] are for agents. Nothing here decides whether an agent may: that is the verified action.

mod age;
mod agent_routes;
pub mod cli;
mod delivery;
pub mod envelope;
mod fail_point;
mod key_store;
mod keys;
pub mod kinds;
mod kms;
mod known;
pub mod lifecycle;
pub mod lists;
pub mod model;
mod operating;
mod pages;
pub mod passphrase;
pub mod past;
pub mod path;
pub mod provider;
pub mod reads;
pub(crate) mod recent;
pub mod refresh;
pub mod reveals;
pub mod root;
mod root_file;
pub mod rotation;
mod rotation_store;
mod routes;
pub(crate) mod sections;
pub mod service;
mod store;
pub mod transfer;
pub mod tree;
mod vault_page;
pub mod writes;

use aim_core::Permission;
use aim_platform::{Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry};
use aim_violations::VerificationService;

pub(crate) use delivery::{Delivery, parse_recipient, requires_covering, seal_as_hpke};
pub use service::VaultService;

/// As [`crate::EDITION_MARKER`]: stands in every binary that has the vault.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-VAULT-MARKER-91d4";

/// Permissions of this module.
pub mod permission {
    aim_core::permissions! { SECRETS:
        SecretsRead = "secrets:read", Member, "See which secrets there are and their versions, never their values";
        SecretsWrite = "secrets:write", Manager, "Write, delete, destroy and roll back secrets, and look values up";
        SecretsReveal = "secrets:reveal", Admin, "See a secret's value as a person, and approve that somebody else does";
        VaultRevealMode = "vault:reveal_mode", Admin, "Set whether people may see values";
        VaultUnseal = "vault:unseal", Admin, "Give the vault its passphrase";
        VaultKeys = "vault:keys", Admin, "Rotate the vault's keys, replace its root key, and seal it";
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

    fn carries_secrets(&self) -> bool {
        true
    }

    fn first_routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register_first(config);
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
        reveals::routes::register(config);
        agent_routes::register(config);
        past::routes::register(config);
        transfer::routes::register(config);
        refresh::routes::register(config);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, &self.service);
        reveals::pages::register(console, &self.service);
    }

    fn permissions(&self) -> &'static [Permission] {
        permission::SECRETS
    }

    fn tidy(&self) {
        self.service.tidy();
    }

    fn jobs(&self) -> Vec<Job> {
        vec![rotation::job(&self.service), refresh::job(&self.service)]
    }
}
