//! Tidying up: what is stale and would only be in the way.

use std::time::Duration;

use aim_core::{Timestamp, sql::DbTime};
use aim_platform::{Job, Kernel};
use aim_store::{Scope, each};
use diesel::{RunQueryDsl, sql_types::BigInt};

use crate::{sessions, set_up};

/// Nonces are removed so many at a time: others can commit in between.
const NONCES_AT_ONCE: usize = 1_000;

/// The jobs of this capability.
pub(crate) fn jobs(kernel: &Kernel) -> Vec<Job> {
    let (nonces, expired) = (kernel.clone(), kernel.clone());
    vec![
        Job::new("identity.forget_nonces", Duration::from_secs(30), move |now| {
            let kernel = nonces.clone();
            async move {
                while forget_nonces(&kernel, now).await? == NONCES_AT_ONCE {}
                Ok(())
            }
        }),
        Job::new("identity.forget_expired", Duration::from_secs(3600), move |now| {
            let kernel = expired.clone();
            async move {
                kernel
                    .store
                    .write(Scope::Installation, move |db| {
                        sessions::store::forget(db, now)?;
                        sessions::forget_attempts(db, now)?;
                        sessions::forget_links(db, now)?;
                        set_up::store::forget(db, now)?;
                        aim_key_vault::challenge::forget(db, now)?;
                        Ok(())
                    })
                    .await
            }
        }),
    ]
}

/// Removes some nonces that are stale at `now`; answers how many. Old ones first, by their index.
async fn forget_nonces(kernel: &Kernel, now: Timestamp) -> aim_core::Result<usize> {
    const POSTGRES: &str = "DELETE FROM nonces WHERE (org_id, digest) IN \
        (SELECT org_id, digest FROM nonces WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
    const SQLITE: &str = "DELETE FROM nonces WHERE (org_id, digest) IN \
        (SELECT org_id, digest FROM nonces WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";
    kernel
        .store
        .write(Scope::Installation, move |db| {
            let text = if db.is_postgres() { POSTGRES } else { SQLITE };
            let limit = i64::try_from(NONCES_AT_ONCE).unwrap_or(i64::MAX);
            Ok(each!(db, c => diesel::sql_query(text)
                .bind::<DbTime, _>(now)
                .bind::<BigInt, _>(limit)
                .execute(c))?)
        })
        .await
}
