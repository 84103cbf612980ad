//! The secrets calls of the published AIM SDK (aim-sdk 2.x), turned into our own: namespaces whose credential is a secret
//! of the vault, at a path that follows from agent and namespace.
//!
//! No rule of the vault stands here. A credential is written as any secret is, with versions, envelope and records; a
//! resolve is the action `secret:read` on its path, decided as every read is. What is the SDK's own is the form: a second
//! signature inside of the body, and the way the credential is sealed to the agent's registered key.

mod model;
mod pages;
mod resolve;
mod routes;
mod service;
mod store;

use aim_core::Error;
use aim_platform::{Kernel, Module, ServiceConfig, console::ConsoleRegistry};
use serde_json::{Map, Value, json};

use crate::vault::VaultService;

pub use model::path_of;
pub use service::SdkSecretsService;

/// As [`crate::EDITION_MARKER`]: stands in every binary that has these calls.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-SDK-SECRETS-MARKER-4be2";

/// The paths whose refusals the SDK reads.
const PATHS: &str = "/api/v1/secrets/";

/// The module.
#[derive(Clone)]
pub struct SdkSecrets {
    service: SdkSecretsService,
}

impl SdkSecrets {
    /// The calls on this kernel; `vault` holds the credentials.
    #[must_use]
    pub fn new(kernel: &Kernel, vault: VaultService) -> Self {
        Self {
            service: SdkSecretsService::new(kernel, vault),
        }
    }
}

impl Module for SdkSecrets {
    fn name(&self) -> &'static str {
        "sdk_secrets"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console);
    }

    /// The SDK looks for `error`.
    fn extend_problem(&self, path: &str, error: &Error, members: &mut Map<String, Value>) {
        if path.starts_with(PATHS) {
            members.insert("error".to_owned(), json!(error.to_string()));
        }
    }
}
