//! What an agent may do, and what it tried: capabilities and requests for them, policies, the
//! verified action, violations, and reading the audit log.
//!
//! The verified action ([`verification`]) is AIM's main job; the rest of the crate feeds it
//! (grants, policies) or shows what came of it (violations, the log). Nothing here knows how a
//! caller proved itself, nor any wire form but the native one.

pub mod audit_log;
pub mod capabilities;
pub mod export;
mod parameters;
pub mod policies;
mod retention;
pub mod schema;
pub mod verification;
pub mod violations;

use std::time::Duration;

use aim_platform::{Job, Kernel, Module, Retained, ServiceConfig, console::ConsoleRegistry};

pub use capabilities::CapabilityService;
pub use verification::VerificationService;

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Violations {
    verifications: VerificationService,
    capabilities: CapabilityService,
    policies: policies::PolicyService,
    reading: violations::ViolationService,
    triage: violations::TriageService,
    audit: audit_log::AuditLogService,
}

impl Violations {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            verifications: VerificationService::new(kernel),
            capabilities: CapabilityService::new(kernel),
            policies: policies::PolicyService::new(kernel),
            reading: violations::ViolationService::new(kernel),
            triage: violations::TriageService::new(kernel),
            audit: audit_log::AuditLogService::new(kernel),
        }
    }

    /// Verifying actions.
    #[must_use]
    pub fn verifications(&self) -> VerificationService {
        self.verifications.clone()
    }

    /// Grants and requests for them.
    #[must_use]
    pub fn capabilities(&self) -> CapabilityService {
        self.capabilities.clone()
    }
}

impl Module for Violations {
    fn name(&self) -> &'static str {
        "verified_actions"
    }

    fn first_routes(&self, config: &mut ServiceConfig<'_>) {
        verification::routes::register_first(config);
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        verification::routes::register(config, &self.verifications);
        capabilities::routes::register(config, &self.capabilities);
        policies::routes::register(config, &self.policies);
        violations::routes::register(config, &self.reading);
        violations::triage::routes::register(config, &self.triage);
        audit_log::routes::register(config, &self.audit);
    }

    fn retained(&self) -> Vec<Retained> {
        retention::retained()
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        capabilities::pages::register(console, &self.capabilities, &self.verifications);
        verification::pages::register(console, &self.verifications);
        policies::pages::register(console);
        violations::register_pages(console, &self.reading, &self.verifications);
        audit_log::pages::register(console, &self.audit);
    }

    fn jobs(&self) -> Vec<Job> {
        let verifications = self.verifications.clone();
        vec![Job::new(
            "verifications.tidy",
            Duration::from_secs(3600),
            move |now| {
                let verifications = verifications.clone();
                async move { verifications.tidy(now).await }
            },
        )]
    }
}
