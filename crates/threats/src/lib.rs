//! Threat detection: it follows the audit log, compares what happened with what is usual and allowed, and
//! keeps what it finds with the evidence, where the public catalogues file it, and what it led to.
//!
//! The detectors are pure ([`detect`]): the same log gives the same hits. The follower ([`follow`]) feeds
//! them; what hits lead to (a finding, an alert, a restriction, a suspension) is written in the transaction
//! that moves the follower's place, so that each record takes effect once. It never decides an action:
//! `decide()` sees what it did as the agent's status, or as a policy for this agent.

use aim_platform::{Follower, Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry};

pub mod detect;
pub mod detector;
pub mod follow;
pub mod jobs;
pub mod model;
mod pages;
pub mod report;
mod respond;
mod routes;
pub mod schema;
pub mod service;
pub mod store;
pub mod words;

pub use detector::AddedDetector;
pub use report::report;
pub use service::ThreatService;

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Threats {
    kernel: Kernel,
    service: ThreatService,
}

impl Threats {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self::with(kernel, &[])
    }

    /// The same, with the detectors that an edition adds.
    #[must_use]
    pub fn with(kernel: &Kernel, added: &'static [AddedDetector]) -> Self {
        Self {
            kernel: kernel.clone(),
            service: ThreatService::with(kernel, added),
        }
    }

    /// Its use cases.
    #[must_use]
    pub fn service(&self) -> ThreatService {
        self.service.clone()
    }
}

impl Module for Threats {
    fn name(&self) -> &'static str {
        "threat_detection"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        routes::register(config, &self.service);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console);
    }

    fn jobs(&self) -> Vec<Job> {
        jobs::all(&self.kernel)
    }

    fn followers(&self) -> Vec<Follower> {
        vec![follow::follower(&self.kernel)]
    }
}
