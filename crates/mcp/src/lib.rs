//! MCP servers: registry, manifests, attestations, and which agents use them.

use aim_platform::{Kernel, Module, ServiceConfig};

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct McpServers {
    kernel: Kernel,
}

impl McpServers {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }
}

impl Module for McpServers {
    fn name(&self) -> &'static str {
        "mcp_servers"
    }

    fn routes(&self, _config: &mut ServiceConfig<'_>) {
        let _ = &self.kernel;
    }
}
