//! The premium edition: modules that the composition root of `aim` appends to the community's.
//!
//! Nothing in the community names this crate but the binary, behind its feature `premium`. Its tables
//! are its own, and stay untouched when a community binary runs on the same database.
//! This folder is under its own licence: see `LICENSE`.

use std::sync::Arc;

use aim_platform::{Kernel, Module};
use aim_store::MigrationSet;
use aim_violations::VerificationService;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub mod access;
pub mod agent_api_keys;
mod agent_choice;
pub mod memory;
pub mod run;
pub mod schema;
pub mod sdk_secrets;
pub mod secret_changes;
pub mod secret_wraps;
pub mod vault;

/// A text that every premium module carries in what it registers (in the OpenAPI document, as the
/// extension `x-aim-edition` of its operations), so that it stands in every binary that has one of
/// them. A test searches both binaries for it: the premium one has it, the community one has not.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-EDITION-MARKER-7f3a";

static SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/premium/sqlite");
static POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/premium/postgres");

/// The premium edition's tables. They stand beside the community's and refer to them by ids only.
pub const PREMIUM_MIGRATIONS: MigrationSet = MigrationSet {
    sqlite: &SQLITE,
    postgres: &POSTGRES,
};

/// The premium modules, in the order in which they are appended to the community's. What agents read is decided by
/// `verifications`.
#[must_use]
pub fn modules(kernel: &Kernel, verifications: VerificationService) -> Vec<Arc<dyn Module>> {
    // Whoever has the modules holds secrets from now on.
    memory::protect();
    let vault = vault::Vault::new(kernel, verifications);
    vec![
        Arc::new(agent_api_keys::AgentApiKeys::new(kernel)),
        Arc::new(access::Access::new(kernel, vault.service())),
        Arc::new(sdk_secrets::SdkSecrets::new(kernel, vault.service())),
        Arc::new(secret_wraps::SecretWraps::new(kernel, vault.service())),
        Arc::new(secret_changes::SecretChanges::new(kernel)),
        Arc::new(vault),
    ]
}
