//! Computing the status: everything is read at one time, and nothing is remembered.

use std::sync::Arc;

use aim_core::{Ctx, OrganizationId, Result, Timestamp};
use aim_platform::{Kernel, Retained};
use aim_store::{Db, Scope, Store};

use super::{
    checks::{self, IDLE, NEAR, ROTATION},
    model::{Check, CheckResult, ComplianceStatus, Summary},
    store,
};
use crate::{retention::service as retention, verification};

/// Computes the status. Cloning is cheap.
#[derive(Clone)]
pub struct StatusService {
    store: Store,
    retained: Arc<[Retained]>,
}

impl StatusService {
    pub(crate) fn new(kernel: &Kernel, retained: Arc<[Retained]>) -> Self {
        Self {
            store: kernel.store.clone(),
            retained,
        }
    }

    /// The status as of now.
    ///
    /// # Errors
    /// The database's.
    pub async fn status(&self, ctx: &Ctx) -> Result<ComplianceStatus> {
        let (organization, now, retained) = (ctx.organization, ctx.now, Arc::clone(&self.retained));
        // Of the installation, not of a tenant.
        let last = self.store.read(Scope::Installation, verification::last).await?;
        let checks = self
            .store
            .read(organization, move |db| {
                all(db, organization, now, &retained, last)
            })
            .await?;
        let count = |result: CheckResult| {
            let found = checks.iter().filter(|check| check.result == result).count();
            i64::try_from(found).unwrap_or(i64::MAX)
        };
        let summary = Summary {
            pass: count(CheckResult::Pass),
            fail: count(CheckResult::Fail),
            not_evidenced: count(CheckResult::NotEvidenced),
        };
        Ok(ComplianceStatus {
            computed_at: now,
            summary,
            checks,
        })
    }
}

fn all(
    db: &mut Db,
    organization: OrganizationId,
    now: Timestamp,
    retained: &[Retained],
    last: Option<verification::Verification>,
) -> aim_store::Result<Vec<Check>> {
    let keys = store::count_keys(db, organization)?;
    let agents = store::count_agents(db, organization)?;
    let grants = store::count_grants(db, organization, now)?;
    let view = retention::view(db, organization, now, retained)?;
    let all_held = retention::held(db, organization)? == retention::Held::All;
    Ok(vec![
        checks::keys_expiring(keys, store::keys_expiring(db, organization, now + NEAR)?, now),
        checks::keys_rotated(
            keys,
            store::keys_made_before(db, organization, now - ROTATION)?,
            now,
        ),
        checks::agents_owned(agents, store::agents_without_owner(db, organization)?),
        checks::grants_used(
            grants,
            store::grants_unused(db, organization, now, now - IDLE)?,
            now,
        ),
        checks::admins_active(store::admins(db, organization)?, now),
        checks::audit_verified(last, now),
        checks::retention_applied(&view, all_held),
        checks::critical_alerts(store::critical_alerts(db, organization)?),
    ])
}
