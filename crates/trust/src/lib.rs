//! Trust: what an agent has earned, as a pure function of recorded events.

use aim_platform::{Kernel, Module, ServiceConfig};

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Trust {
    kernel: Kernel,
}

impl Trust {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }
}

impl Module for Trust {
    fn name(&self) -> &'static str {
        "trust"
    }

    fn routes(&self, _config: &mut ServiceConfig<'_>) {
        let _ = &self.kernel;
    }
}
