//! Tidying up: what is stale and would only be in the way.

use std::time::Duration;

use aim_platform::{Job, Kernel};
use aim_store::Scope;

use crate::{sessions, set_up};

/// Nonces are removed so many at a time: others can commit in between.
const NONCES_AT_ONCE: i64 = 1_000;

/// The jobs of this capability.
pub(crate) fn jobs(kernel: &Kernel) -> Vec<Job> {
    let (nonces, expired) = (kernel.clone(), kernel.clone());
    vec![
        Job::new("identity.forget_nonces", Duration::from_secs(30), move |now| {
            let kernel = nonces.clone();
            async move {
                while aim_store::nonces::forget(&kernel.store, now, NONCES_AT_ONCE).await? > 0 {}
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
