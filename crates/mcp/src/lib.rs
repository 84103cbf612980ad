//! MCP servers: the registry, what each was seen to offer, who vouches for that, and which agents use them.
//!
//! A server is verified when it answers a challenge at its address with its registered key. What it offers is kept as
//! manifests, a version whenever that changed; agents that use it attest the present one with signed requests. A change
//! of what was attested is drift, and leaves a record that threat detection reads. What an agent may do with a server is
//! not decided here.

/// The row of a Diesel query that finds one at most. With `$locks`, PostgreSQL locks it until the transaction ends;
/// SQLite has one writer, and needs no lock.
macro_rules! one_row {
    ($db:expr, $locks:expr, $query:expr) => {
        match $db {
            aim_store::Db::Pg(c) if $locks => $query.for_update().get_result(&mut **c).optional(),
            aim_store::Db::Pg(c) => $query.get_result(&mut **c).optional(),
            aim_store::Db::Sqlite(c) => $query.get_result(&mut **c).optional(),
        }
    };
}

mod agent_table;
pub mod attestations;
pub mod connections;
pub mod detections;
pub mod manifests;
mod pages;
mod rules;
pub mod schema;
pub mod servers;

use aim_platform::{Kernel, Module, ServiceConfig, console::ConsoleRegistry};

pub use attestations::AttestationService;
pub use connections::ConnectionService;
pub use detections::DetectionService;
pub use manifests::ManifestService;
pub use servers::ServerService;

/// The capability: its services, shared by all that use them. Cloning is cheap.
#[derive(Clone)]
pub struct McpServers {
    servers: ServerService,
    manifests: ManifestService,
    attestations: AttestationService,
    connections: ConnectionService,
    detections: DetectionService,
}

impl McpServers {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            servers: ServerService::new(kernel),
            manifests: ManifestService::new(kernel),
            attestations: AttestationService::new(kernel),
            connections: ConnectionService::new(kernel),
            detections: DetectionService::new(kernel),
        }
    }

    /// The registry.
    #[must_use]
    pub fn servers(&self) -> ServerService {
        self.servers.clone()
    }

    /// What servers offer.
    #[must_use]
    pub fn manifests(&self) -> ManifestService {
        self.manifests.clone()
    }

    /// Who vouches for that.
    #[must_use]
    pub fn attestations(&self) -> AttestationService {
        self.attestations.clone()
    }

    /// Which agents use which servers.
    #[must_use]
    pub fn connections(&self) -> ConnectionService {
        self.connections.clone()
    }

    /// What agents found by themselves.
    #[must_use]
    pub fn detections(&self) -> DetectionService {
        self.detections.clone()
    }
}

impl Module for McpServers {
    fn name(&self) -> &'static str {
        "mcp_servers"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        servers::routes::register(config, &self.servers);
        manifests::routes::register(config, &self.manifests);
        attestations::routes::register(config, &self.attestations);
        connections::routes::register(config, &self.connections);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, self);
    }
}
