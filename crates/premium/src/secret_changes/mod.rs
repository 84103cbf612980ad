//! Pushed changes: an agent that read secrets is told when one of them changes, and when what it may read does, so that what
//! it keeps in memory can be dropped.
//!
//! Made from the audit log, which every node reads for itself while it has listeners; so it does not matter which node a
//! change went through. A change is told within [`BOUND`] of its commit, or the heartbeats stop: one is sent only
//! when the log was read to its end.

mod frames;
mod hub;
mod listeners;
mod notices;
mod routes;
mod store;

use std::time::Duration;

use aim_platform::{Kernel, Module, ServiceConfig};

pub use hub::{Hub, Listening};

/// As [`crate::EDITION_MARKER`]: stands in every binary that pushes changes.
pub const EDITION_MARKER: &str = "AIM-PREMIUM-SECRET-CHANGES-MARKER-e519";

/// How soon after its commit a change is told, while the database answers.
pub const BOUND: Duration = Duration::from_millis(500);
/// How often somebody who hears nothing else hears a heartbeat.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// The module.
#[derive(Clone)]
pub struct SecretChanges {
    hub: Hub,
}

impl SecretChanges {
    /// Pushed changes on this kernel.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            hub: Hub::new(kernel),
        }
    }

    /// Who listens.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }
}

impl Module for SecretChanges {
    fn name(&self) -> &'static str {
        "secret_changes"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.hub);
    }
}
