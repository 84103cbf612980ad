//! Monitoring: the live feed, activity, alerts and their delivery.

use aim_platform::{Kernel, Module, ServiceConfig};

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Monitoring {
    kernel: Kernel,
}

impl Monitoring {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }
}

impl Module for Monitoring {
    fn name(&self) -> &'static str {
        "monitoring"
    }

    fn routes(&self, _config: &mut ServiceConfig<'_>) {
        let _ = &self.kernel;
    }
}
