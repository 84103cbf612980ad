//! A capability as the composition root sees it.

use std::sync::Arc;

use aim_core::{Error, Permission};
use aim_store::MigrationSet;
use serde_json::{Map, Value};

use crate::{Authenticator, Follower, Job, Retained, ServiceConfig, console::ConsoleRegistry};

/// One capability: its routes with their OpenAPI part, its tables, jobs and ways to authenticate.
pub trait Module: Send + Sync + 'static {
    /// The capability's name, as `GET /api/v1/edition` lists it.
    fn name(&self) -> &'static str;

    /// Registers routes; each goes into the OpenAPI document by the same call.
    fn routes(&self, config: &mut ServiceConfig<'_>);

    /// Registers the routes of its busiest calls. They stand before those of all modules: a request is compared with one
    /// route after the other, by a regular expression wherever there is a variable in it.
    fn first_routes(&self, _config: &mut ServiceConfig<'_>) {}

    /// Whether secrets are in the requests for it. Then nothing of any request stays in the server's pools once it is answered.
    fn carries_secrets(&self) -> bool {
        false
    }

    /// Registers its pages, navigation, agent tabs and slots.
    fn console(&self, _console: &mut ConsoleRegistry) {}

    /// The permissions it speaks of, beyond the community's table.
    fn permissions(&self) -> &'static [Permission] {
        &[]
    }

    /// Lets go of what it keeps in memory and has become too old to count. Called every few seconds on each node; what is used anew
    /// may do so by itself, but nothing does once nobody asks any more. Other tasks share the thread: it is short, and does not wait.
    fn tidy(&self) {}

    /// Work it does in the background, once however many nodes there are.
    fn jobs(&self) -> Vec<Job> {
        Vec::new()
    }

    /// Those of it that follow the audit log, by one node at a time.
    fn followers(&self) -> Vec<Follower> {
        Vec::new()
    }

    /// Those of its tables that retention trims.
    fn retained(&self) -> Vec<Retained> {
        Vec::new()
    }

    /// Ways in which callers may prove who they are.
    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        Vec::new()
    }

    /// Adds members to the problem details of its own paths (RFC 9457 §3.2), for clients that look for
    /// other names. Asked at every refusal, those of the shell included.
    fn extend_problem(&self, _path: &str, _error: &Error, _members: &mut Map<String, Value>) {}

    /// Tables of its own, if the community's migrations do not have them.
    fn migrations(&self) -> Option<MigrationSet> {
        None
    }
}
