//! Retention by itself: what is due goes, a little at a time.

use std::time::Duration;

use aim_platform::Job;

use super::RetentionService;

/// How often it is looked whether something is due, or gone on with.
const LOOK: Duration = Duration::from_secs(60);
/// How long a run trims; the other jobs wait meanwhile.
const BUDGET: Duration = Duration::from_secs(10);

/// The job that trims.
pub(crate) fn job(service: &RetentionService) -> Job {
    let service = service.clone();
    Job::new("compliance.retention", LOOK, move |now| {
        let service = service.clone();
        async move { service.trim(now, BUDGET).await.map(|_| ()) }
    })
}
