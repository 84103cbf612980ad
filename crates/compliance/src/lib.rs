//! Basic compliance: checks computed from data, each with the objects behind it; how long data is kept;
//! and when the audit log was last checked.

use aim_platform::{Job, Kernel, Module, Retained, ServiceConfig, console::ConsoleRegistry};

mod pages;
pub mod retention;
pub mod schema;
pub mod status;
pub mod verification;

pub use retention::RetentionService;
pub use status::StatusService;

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Compliance {
    kernel: Kernel,
    retention: RetentionService,
    status: StatusService,
}

impl Compliance {
    /// The capability of this installation; `retained` is what the others say that retention trims.
    #[must_use]
    pub fn new(kernel: &Kernel, retained: Vec<Retained>) -> Self {
        let retention = RetentionService::new(kernel, retained);
        Self {
            status: StatusService::new(kernel, retention.retained()),
            retention,
            kernel: kernel.clone(),
        }
    }

    /// Settings, holds and trimming.
    #[must_use]
    pub fn retention(&self) -> RetentionService {
        self.retention.clone()
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusService {
        self.status.clone()
    }
}

impl Module for Compliance {
    fn name(&self) -> &'static str {
        "compliance"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        status::routes::register(config, &self.status);
        retention::routes::register(config, &self.retention);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console);
    }

    fn jobs(&self) -> Vec<Job> {
        vec![
            verification::job(&self.kernel),
            retention::jobs::job(&self.retention),
        ]
    }
}
