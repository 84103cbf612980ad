//! What threat detection does by itself: it lifts restrictions that have expired, and forgets networks that
//! nobody has used for long.

use std::time::Duration;

use aim_core::{Ctx, Result, Timestamp};
use aim_platform::{Job, Kernel};
use aim_store::{Scope, Store};
use chrono::TimeDelta;

use crate::{respond, store};

/// How many restrictions are lifted in one transaction.
const BATCH: i64 = 200;
/// How long a network that is not used stays known.
const SOURCES_KEPT: TimeDelta = TimeDelta::days(90);

/// The jobs.
pub(crate) fn all(kernel: &Kernel) -> Vec<Job> {
    let (lifting, forgetting) = (kernel.store.clone(), kernel.store.clone());
    vec![
        Job::new("threats.lift_restrictions", Duration::from_secs(30), move |now| {
            let store = lifting.clone();
            async move { lift_expired(&store, now).await.map(|_| ()) }
        }),
        Job::new(
            "threats.forget_sources",
            Duration::from_secs(24 * 60 * 60),
            move |now| {
                let store = forgetting.clone();
                async move {
                    store
                        .write(Scope::Installation, move |db| {
                            store::forget_sources(db, now - SOURCES_KEPT)
                        })
                        .await
                        .map(|_| ())
                }
            },
        ),
    ]
}

/// Lifts every restriction that has expired at `now`. Answers how many. It does no harm to run it twice.
///
/// # Errors
/// The database's; what was lifted before stays so.
pub async fn lift_expired(store: &Store, now: Timestamp) -> Result<usize> {
    let mut lifted = 0;
    loop {
        let count = store
            .write(Scope::Installation, move |db| {
                let mut entries = Vec::new();
                for row in store::expired_restrictions(db, now, BATCH)? {
                    let ctx = Ctx::system("threats.lift_restrictions", row.org_id, now);
                    entries.extend(respond::lift(db, &ctx, &row, "it has expired")?);
                }
                let count = entries.len();
                aim_audit::append(db, entries)?;
                Ok(count)
            })
            .await?;
        if count == 0 {
            return Ok(lifted);
        }
        lifted += count;
    }
}
