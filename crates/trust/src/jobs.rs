//! What trust does by itself.

use std::time::Duration;

use aim_platform::{Job, Kernel};

use crate::recompute;

/// The name of the job, and of trust as an actor in the audit log.
pub const RECOMPUTE: &str = "trust.recompute";
/// How often the job looks for scores that are due.
const EVERY: Duration = Duration::from_secs(10);
/// How many agents one run computes at most, well within a job's lease; the rest is still due at the next run.
const MOST: usize = 5_000;

/// The jobs.
pub(crate) fn all(kernel: &Kernel) -> Vec<Job> {
    let kernel = kernel.clone();
    vec![Job::new(RECOMPUTE, EVERY, move |now| {
        let kernel = kernel.clone();
        async move {
            let computed = recompute::run(&kernel, now, MOST).await?;
            metrics::counter!("aim_trust_scores_computed_total")
                .increment(u64::try_from(computed).unwrap_or(0));
            Ok(())
        }
    })]
}
