//! Trust: what an agent has earned, as a pure function of recorded events.
//!
//! [`score`] is that function, and [`gather`] reads its inputs. [`follower`] follows the log and marks who was
//! touched; [`recompute`] computes those, stores the score with its inputs, publishes it where decide() reads
//! it, and acts where a [`policy`] says so. docs/TRUST.md has the formula for people.

use std::sync::Arc;

use aim_platform::{
    Follower, Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry, retention::Retained,
};

pub mod causes;
mod elsewhere;
pub mod follower;
pub mod gather;
pub mod jobs;
pub mod model;
mod pages;
pub mod policy;
pub mod recompute;
mod retention;
mod routes;
pub mod schema;
pub mod score;
pub mod service;
pub mod store;
pub mod trends;
pub mod words;

pub use service::TrustService;

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Trust {
    kernel: Arc<Kernel>,
    service: TrustService,
}

impl Trust {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: Arc::new(kernel.clone()),
            service: TrustService::new(kernel),
        }
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> TrustService {
        self.service.clone()
    }
}

impl Module for Trust {
    fn name(&self) -> &'static str {
        "trust"
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

    fn retained(&self) -> Vec<Retained> {
        retention::all()
    }

    fn followers(&self) -> Vec<Follower> {
        vec![follower::follower(&self.kernel)]
    }
}
