//! The composition root: which capabilities this binary has. The only place that knows editions.

use std::{process::ExitCode, sync::Arc};

use aim_compat::Compat;
use aim_compliance::Compliance;
use aim_identity::Identity;
use aim_key_vault::KeyVault;
use aim_mcp::McpServers;
use aim_monitoring::Monitoring;
use aim_platform::{EditionInfo, Kernel, Module};
use aim_store::{COMMUNITY_MIGRATIONS, MigrationSet};
use aim_threats::{AddedDetector, Threats};
use aim_trust::Trust;
use aim_violations::Violations;

/// Quick with many small allocations, and gives memory back after a burst. Its options: `.cargo/config.toml`.
#[cfg(not(feature = "premium"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The same, and it wipes what is given back: secrets go through this edition's memory.
#[cfg(feature = "premium")]
#[global_allocator]
static ALLOCATOR: aim_premium::memory::Allocator = aim_premium::memory::ALLOCATOR;

/// The capabilities of the community edition, by their types, for what is built on them.
pub struct Community {
    /// Organisations, users, keys, agents.
    pub identity: Identity,
    /// The agents' own keys.
    pub key_vault: KeyVault,
    /// Capabilities, verified actions, violations.
    pub violations: Violations,
    /// MCP servers.
    pub mcp: McpServers,
    /// The live feed, activity, alerts and their delivery.
    pub monitoring: Monitoring,
    /// The wire forms of the published SDKs.
    pub compat: Compat,
    /// Trust scores.
    pub trust: Trust,
    /// Threat detection.
    pub threats: Threats,
}

impl Community {
    /// The community's capabilities on `kernel`.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        let identity = Identity::new(kernel);
        let violations = Violations::new(kernel);
        let mcp = McpServers::new(kernel);
        let compat = Compat::new(kernel, &identity, &violations, &mcp);
        Self {
            identity,
            key_vault: KeyVault::new(kernel),
            violations,
            mcp,
            compat,
            trust: Trust::new(kernel),
            threats: Threats::with(kernel, added_detectors()),
            monitoring: Monitoring::new(kernel),
        }
    }

    fn modules(&self) -> Vec<Arc<dyn Module>> {
        // Routes are tried in this order: the verified action first.
        vec![
            Arc::new(self.violations.clone()),
            Arc::new(self.compat.clone()),
            Arc::new(self.identity.clone()),
            Arc::new(self.key_vault.clone()),
            Arc::new(self.mcp.clone()),
            Arc::new(self.trust.clone()),
            Arc::new(self.threats.clone()),
            Arc::new(self.monitoring.clone()),
        ]
    }
}

/// A command that an edition adds to the command line.
pub struct AddedCommand {
    /// Its name.
    pub name: &'static str,
    /// Its arguments and help.
    pub describe: fn() -> clap::Command,
    /// Does it; says itself what goes wrong. The flag is `--json`.
    pub run: fn(&clap::ArgMatches, bool) -> ExitCode,
}

/// What an edition adds to the community's.
struct Addition {
    edition: &'static str,
    modules: fn(&Kernel, &Community) -> Vec<Arc<dyn Module>>,
    migrations: &'static [MigrationSet],
    detectors: &'static [AddedDetector],
    commands: &'static [AddedCommand],
}

/// The additions of this binary: none in the community edition.
static ADDITIONS: &[Addition] = &[
    #[cfg(feature = "premium")]
    Addition {
        edition: "premium",
        modules: |kernel, community| aim_premium::modules(kernel, community.violations.verifications()),
        migrations: &[aim_premium::PREMIUM_MIGRATIONS],
        detectors: aim_premium::access::DETECTORS,
        commands: &[
            AddedCommand {
                name: aim_premium::run::NAME,
                describe: aim_premium::run::command,
                run: |matches, _| aim_premium::run::execute(matches),
            },
            AddedCommand {
                name: aim_premium::agent_api_keys::cli::NAME,
                describe: aim_premium::agent_api_keys::cli::command,
                run: aim_premium::agent_api_keys::cli::execute,
            },
            AddedCommand {
                name: aim_premium::vault::cli::NAME,
                describe: aim_premium::vault::cli::command,
                run: aim_premium::vault::cli::execute,
            },
        ],
    },
];

/// The name of this binary's edition.
#[must_use]
pub fn edition_name() -> &'static str {
    ADDITIONS.last().map_or("community", |addition| addition.edition)
}

/// The detectors that this edition adds. It has at most one addition.
fn added_detectors() -> &'static [AddedDetector] {
    ADDITIONS.first().map_or(&[], |addition| addition.detectors)
}

/// The commands that this edition adds.
pub fn commands() -> impl Iterator<Item = &'static AddedCommand> {
    ADDITIONS.iter().flat_map(|addition| addition.commands)
}

/// The tables of this edition.
#[must_use]
pub fn migrations() -> Vec<MigrationSet> {
    let added = ADDITIONS.iter().flat_map(|addition| addition.migrations).copied();
    std::iter::once(COMMUNITY_MIGRATIONS).chain(added).collect()
}

/// The capabilities of this edition, on `kernel`.
#[must_use]
pub fn modules(kernel: &Kernel) -> Vec<Arc<dyn Module>> {
    let community = Community::new(kernel);
    let added = ADDITIONS
        .iter()
        .flat_map(|addition| (addition.modules)(kernel, &community));
    let mut modules: Vec<_> = community.modules().into_iter().chain(added).collect();
    // It trims what the others say that may be trimmed.
    let retained = modules.iter().flat_map(|module| module.retained()).collect();
    modules.push(Arc::new(Compliance::new(kernel, retained)));
    modules
}

/// What `GET /api/v1/edition` answers.
#[must_use]
pub fn edition(modules: &[Arc<dyn Module>]) -> EditionInfo {
    EditionInfo {
        edition: edition_name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: modules.iter().map(|module| module.name().to_owned()).collect(),
    }
}
