//! What the key vault does by itself: warning of keys that expire soon, and forgetting challenges.

use std::time::Duration;

use aim_audit::Entry;
use aim_core::{Ctx, OrganizationId, Result, Timestamp};
use aim_platform::{Job, Kernel};
use aim_store::{Scope, Store};
use chrono::TimeDelta;
use serde_json::json;

use crate::{challenge, model::WARNING_DAYS, store};

/// How many keys one transaction warns of.
const BATCH: i64 = 200;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The jobs.
pub(crate) fn all(kernel: &Kernel) -> Vec<Job> {
    let (warning, forgetting) = (kernel.store.clone(), kernel.store.clone());
    vec![
        Job::new("key_vault.expiry_warnings", HOUR, move |now| {
            let store = warning.clone();
            async move { warn(&store, now).await.map(|_| ()) }
        }),
        Job::new("key_vault.forget_challenges", HOUR, move |now| {
            let store = forgetting.clone();
            async move {
                store
                    .write(Scope::Installation, move |db| challenge::forget(db, now))
                    .await
                    .map(|_| ())
            }
        }),
    ]
}

/// Warns of every current key that expires within 30, 14, 7 or 1 days: once a key and threshold, the
/// tightest that applies. Answers how many warnings it gave. It does no harm to run it twice at once.
///
/// # Errors
/// The database's; what was warned of before stays so.
pub async fn warn(store: &Store, now: Timestamp) -> Result<usize> {
    let mut given = 0;
    let mut after = None;
    loop {
        let organizations = store
            .read(Scope::Installation, move |db| {
                store::organizations_after(db, after, BATCH)
            })
            .await?;
        let Some(last) = organizations.last() else {
            return Ok(given);
        };
        after = Some(*last);
        for organization in organizations {
            given += warn_organization(store, organization, now).await?;
        }
    }
}

async fn warn_organization(store: &Store, organization: OrganizationId, now: Timestamp) -> Result<usize> {
    let ctx = Ctx::system("key_vault.expiry_warnings", organization, now);
    let mut given = 0;
    let mut from = now;
    for days in WARNING_DAYS {
        let until = now + TimeDelta::days(days);
        loop {
            let due = store
                .read(organization, move |db| {
                    store::keys_to_warn_of(db, organization, from, until, days, BATCH)
                })
                .await?;
            if due.is_empty() {
                break;
            }
            let ctx = ctx.clone();
            given += store
                .write(organization, move |db| {
                    // Looked up again: a key may have been replaced since, or warned of by another node.
                    let keys = store::keys_to_warn_of(db, organization, from, until, days, BATCH)?;
                    let mut entries = Vec::with_capacity(keys.len());
                    for key in keys {
                        if store::note_warning(db, &key, days, ctx.now)? {
                            entries.push(
                                Entry::event(&ctx, "agent_key.expiry_warning")
                                    .agent(key.agent_id)
                                    .target("agent_key", &key.fingerprint)
                                    .facts(json!({
                                        "fingerprint": key.fingerprint,
                                        "days_left": days,
                                        "expires_at": key.expires_at,
                                    })),
                            );
                        }
                    }
                    let count = entries.len();
                    aim_audit::append(db, entries)?;
                    Ok(count)
                })
                .await?;
        }
        from = until;
    }
    Ok(given)
}
