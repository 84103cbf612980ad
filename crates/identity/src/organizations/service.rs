//! Use cases of organisations.

use aim_core::{Ctx, OrganizationId, Result, Timestamp};
use aim_platform::Kernel;
use serde::Serialize;
use utoipa::ToSchema;

use super::store;

/// An organisation, as its own people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganizationView {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// When it was founded.
    pub created_at: Timestamp,
    /// How many active users it has.
    pub users: i64,
    /// How many agents it has that are not deleted.
    pub agents: i64,
}

/// Shows organisations.
#[derive(Clone)]
pub struct OrganizationService {
    kernel: Kernel,
}

impl OrganizationService {
    pub(crate) fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// The caller's organisation.
    ///
    /// # Errors
    /// The database's.
    pub async fn current(&self, ctx: &Ctx) -> Result<OrganizationView> {
        let id = ctx.organization;
        self.kernel
            .store
            .read(id, move |db| {
                let (name, created_at, users, agents) = store::summary(db, id)?;
                Ok(OrganizationView {
                    id,
                    name,
                    created_at,
                    users,
                    agents,
                })
            })
            .await
    }
}
