//! Basic compliance status: checks computed from data, each with the objects behind it.

use aim_platform::{Kernel, Module, ServiceConfig};

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Compliance {
    kernel: Kernel,
}

impl Compliance {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }
}

impl Module for Compliance {
    fn name(&self) -> &'static str {
        "compliance"
    }

    fn routes(&self, _config: &mut ServiceConfig<'_>) {
        let _ = &self.kernel;
    }
}
