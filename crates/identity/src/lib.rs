//! Identity: who the people, keys and agents of an organisation are, and how each of them proves it.
//!
//! Organisations, users and their sessions, organisation API keys, agents, and the authenticators for
//! all of them. What an agent may do is decided elsewhere; so is whether a key is still good at the
//! moment of a verified action.

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

pub mod agents;
pub mod api_keys;
pub mod authentication;
mod directory;
mod gate;
mod jobs;
pub mod organizations;
mod pages;
pub mod passwords;
pub mod pepper;
pub mod preferences;
mod schema;
pub mod sessions;
pub mod set_up;
pub mod users;

use std::sync::Arc;

use aim_platform::{Authenticator, Job, Kernel, Module, ServiceConfig, console::ConsoleRegistry};

pub use agents::{AgentService, AgentView, NewAgent, ProvenKey, RegisteredAgent};
pub use api_keys::ApiKeyService;
pub use directory::{AgentDirectory, KnownAgent, KnownKey};
pub use organizations::OrganizationService;
pub use sessions::SessionService;
pub use users::UserService;

/// The capability: its services, shared by all that use them. Cloning is cheap.
#[derive(Clone)]
pub struct Identity {
    kernel: Kernel,
    organizations: OrganizationService,
    users: UserService,
    sessions: SessionService,
    api_keys: ApiKeyService,
    agents: AgentService,
    directory: AgentDirectory,
    set_up: set_up::SetUpService,
    preferences: preferences::PreferenceService,
}

impl Identity {
    /// The capability on `kernel`.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        let passwords = passwords::Passwords::new();
        Self {
            kernel: kernel.clone(),
            organizations: OrganizationService::new(kernel),
            users: UserService::new(kernel, &passwords),
            sessions: SessionService::new(kernel, &passwords),
            api_keys: ApiKeyService::new(kernel),
            agents: AgentService::new(kernel),
            directory: AgentDirectory::new(kernel),
            set_up: set_up::SetUpService::new(kernel, &passwords),
            preferences: preferences::PreferenceService::new(kernel),
        }
    }

    /// Organisations.
    #[must_use]
    pub fn organizations(&self) -> OrganizationService {
        self.organizations.clone()
    }

    /// Users.
    #[must_use]
    pub fn users(&self) -> UserService {
        self.users.clone()
    }

    /// Sign-in and sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionService {
        self.sessions.clone()
    }

    /// Organisation API keys.
    #[must_use]
    pub fn api_keys(&self) -> ApiKeyService {
        self.api_keys.clone()
    }

    /// Agents.
    #[must_use]
    pub fn agents(&self) -> AgentService {
        self.agents.clone()
    }

    /// Which key belongs to which agent.
    #[must_use]
    pub fn directory(&self) -> AgentDirectory {
        self.directory.clone()
    }

    /// What users asked the console to remember.
    #[must_use]
    pub fn preferences(&self) -> preferences::PreferenceService {
        self.preferences.clone()
    }

    /// The first set-up of an installation.
    #[must_use]
    pub fn set_up(&self) -> set_up::SetUpService {
        self.set_up.clone()
    }
}

impl Module for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        organizations::routes::register(config, &self.organizations);
        set_up::routes::register(config, &self.set_up);
        sessions::routes::register(config, &self.sessions);
        users::routes::register(config, &self.users);
        preferences::routes::register(config, &self.preferences);
        api_keys::routes::register(config, &self.api_keys);
        agents::routes::register(config, &self.agents);
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, self);
        agents::pages::register(console, &self.agents);
    }

    fn jobs(&self) -> Vec<Job> {
        jobs::jobs(&self.kernel)
    }

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        authentication::authenticators(self)
    }
}
