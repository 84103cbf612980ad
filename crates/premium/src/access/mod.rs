//! The access audit: who took which secret, when, from where, by which grant and how it was delivered; what is out of the
//! ordinary in that; which secrets nobody uses, and which grants cover far more than what is read.
//!
//! All of it is made from the audit log by a [`follower`], after the decisions: a read waits for nothing here. The durable
//! record is the log; what stands in the tables of this module can be made from it again.

mod detect;
mod detectors;
pub mod follower;
pub mod honeytokens;
mod index;
pub(crate) mod lists;
pub mod model;
mod pages;
mod records;
mod retention;
mod review;
mod routes;
pub mod service;
pub mod settings;
pub(crate) mod store;

use aim_core::Permission;
use aim_platform::{Follower, Kernel, Module, Retained, ServiceConfig, console::ConsoleRegistry};

use crate::vault::{VaultService, recent::RecentReads};

pub use detectors::DETECTORS;
pub use index::Pace;
pub(crate) use pages::section;
pub use service::AccessService;

/// As [`crate::EDITION_MARKER`]: stands in every binary that has the access audit.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-ACCESS-MARKER-5c02";

/// Permissions of this module.
pub mod permission {
    aim_core::permissions! { ACCESS:
        SecretsAudit = "secrets:audit", Manager, "See who read which secret, unused secrets and broad grants";
        HoneytokensWrite = "honeytokens:write", Admin, "See and set honeytoken secrets, and the thresholds of the access audit";
    }
}

/// The module.
#[derive(Clone)]
pub struct Access {
    kernel: Kernel,
    service: AccessService,
    recent: RecentReads,
    pace: Pace,
}

impl Access {
    /// The access audit on this kernel. Honeytokens are written into `vault`.
    #[must_use]
    pub fn new(kernel: &Kernel, vault: VaultService) -> Self {
        Self {
            kernel: kernel.clone(),
            recent: vault.recent_reads(),
            service: AccessService::new(kernel, vault),
            pace: Pace::default(),
        }
    }

    /// The same, where the index on SQLite follows at another pace.
    #[must_use]
    pub const fn at_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> AccessService {
        self.service.clone()
    }
}

impl Module for Access {
    fn name(&self) -> &'static str {
        "access_audit"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, &self.service);
    }

    fn permissions(&self) -> &'static [Permission] {
        permission::ACCESS
    }

    fn followers(&self) -> Vec<Follower> {
        vec![follower::follower(&self.kernel, &self.recent, self.pace)]
    }

    fn retained(&self) -> Vec<Retained> {
        retention::retained()
    }
}
