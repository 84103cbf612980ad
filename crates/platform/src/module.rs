//! A capability as the composition root sees it.

use std::sync::Arc;

use aim_core::Permission;
use aim_store::MigrationSet;

use crate::{Authenticator, Job, ServiceConfig};

/// One capability: its routes with their OpenAPI part, its tables, jobs and ways to authenticate.
pub trait Module: Send + Sync + 'static {
    /// The capability's name, as `GET /api/v1/edition` lists it.
    fn name(&self) -> &'static str;

    /// Registers routes; each goes into the OpenAPI document by the same call.
    fn routes(&self, config: &mut ServiceConfig<'_>);

    /// The permissions it speaks of, beyond the community's table.
    fn permissions(&self) -> &'static [Permission] {
        &[]
    }

    /// Work it does in the background, once however many nodes there are.
    fn jobs(&self) -> Vec<Job> {
        Vec::new()
    }

    /// Ways in which callers may prove who they are.
    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        Vec::new()
    }

    /// Tables of its own, if the community's migrations do not have them.
    fn migrations(&self) -> Option<MigrationSet> {
        None
    }
}
