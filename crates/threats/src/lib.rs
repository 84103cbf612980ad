//! Threat detection: findings with their evidence, and what they lead to.

use aim_platform::{Kernel, Module, ServiceConfig};

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Threats {
    kernel: Kernel,
}

impl Threats {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }
}

impl Module for Threats {
    fn name(&self) -> &'static str {
        "threat_detection"
    }

    fn routes(&self, _config: &mut ServiceConfig<'_>) {
        let _ = &self.kernel;
    }
}
