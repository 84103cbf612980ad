//! Response wrapping: a token that hands one version of a secret over, once and soon, to whoever brings it. For
//! bootstrapping: the token travels where a secret should not, and that it was taken by somebody else is noticed, because
//! it works only once.
//!
//! The token stands for a permission that was decided when it was made; nothing of the secret is copied. Who makes one
//! could read: an agent by the verified action, a person by a permission of its own.

pub mod cli;
mod model;
mod pages;
mod routes;
mod service;
mod store;

use std::{sync::Arc, time::Duration};

use aim_core::Permission;
use aim_platform::{Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry};

use crate::vault::VaultService;

pub use model::{
    UnwrapReply, UnwrapRequest, WrapId, WrapList, WrapListed, WrapLookup, WrapQuery, WrapRequest, WrapState,
    WrapView,
};
pub use service::{SecretWrapsService, WrapReply};
pub(crate) use {model::TOKEN_KIND, store::known};

/// As [`crate::EDITION_MARKER`]: stands in every binary that has wrapping.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-SECRET-WRAPS-MARKER-2c07";

/// How often what ended long ago is forgotten.
const TIDY: Duration = Duration::from_secs(3600);

/// Permissions of this module.
pub mod permission {
    aim_core::permissions! { WRAPS:
        SecretsWrap = "secrets:wrap", Admin, "Make, see and revoke tokens that hand a secret over once";
    }
}

/// The module.
#[derive(Clone)]
pub struct SecretWraps {
    service: SecretWrapsService,
}

impl SecretWraps {
    /// Wrapping on this kernel; `vault` holds the secrets.
    #[must_use]
    pub fn new(kernel: &Kernel, vault: VaultService) -> Self {
        Self {
            service: SecretWrapsService::new(kernel, vault),
        }
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> SecretWrapsService {
        self.service.clone()
    }
}

impl Module for SecretWraps {
    fn name(&self) -> &'static str {
        "secret_wraps"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console);
    }

    fn permissions(&self) -> &'static [Permission] {
        permission::WRAPS
    }

    fn jobs(&self) -> Vec<Job> {
        let service = Arc::new(self.service.clone());
        vec![Job::new("secret_wraps.tidy", TIDY, move |now| {
            let service = Arc::clone(&service);
            async move { service.tidy(now).await }
        })]
    }
}
