//! Background work: every node runs this loop; a lease in the database lets one of them do each job.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use aim_core::{Result, Timestamp};
use aim_store::{Scope, jobs};
use chrono::TimeDelta;

use crate::Kernel;

/// A job's run.
pub type JobFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Something to do again and again. It must do no harm when it runs twice: a lease can end while
/// its holder still works.
#[derive(Clone)]
pub struct Job {
    /// A name that stays, as the job's row has it.
    pub name: &'static str,
    /// How long after one run the next is due.
    pub every: Duration,
    /// The work, given the moment it is done for.
    pub run: Arc<dyn Fn(Timestamp) -> JobFuture + Send + Sync>,
}

impl Job {
    /// A job that runs `work` `every` so often.
    pub fn new<F, Fut>(name: &'static str, every: Duration, work: F) -> Self
    where
        F: Fn(Timestamp) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name,
            every,
            run: Arc::new(move |now| Box::pin(work(now))),
        }
    }
}

/// Runs the jobs of this node.
#[derive(Clone)]
pub struct JobRunner {
    kernel: Kernel,
    jobs: Arc<[Job]>,
}

/// How long a job may run before another node takes it over.
const LEASE: TimeDelta = TimeDelta::seconds(120);

impl JobRunner {
    /// A runner of `jobs`.
    #[must_use]
    pub fn new(kernel: Kernel, jobs: Vec<Job>) -> Self {
        Self {
            kernel,
            jobs: jobs.into(),
        }
    }

    /// Makes sure each job has its row.
    ///
    /// # Errors
    /// The database's.
    pub async fn prepare(&self) -> Result<()> {
        let names: Vec<&'static str> = self.jobs.iter().map(|job| job.name).collect();
        let now = self.kernel.now();
        self.kernel
            .store
            .write(Scope::Installation, move |db| {
                names.iter().try_for_each(|name| jobs::ensure(db, name, now))
            })
            .await
    }

    /// Runs whatever is due and free, once. Answers the names of the jobs that this node ran.
    ///
    /// # Errors
    /// The database's. A job that fails is tried again later; that is no error here.
    pub async fn run_due(&self) -> Result<Vec<&'static str>> {
        let mut ran = Vec::new();
        for job in self.jobs.iter() {
            let now = self.kernel.now();
            let (name, owner) = (job.name, self.kernel.node.to_string());
            let due = self
                .kernel
                .store
                .read(Scope::Installation, move |db| jobs::is_due(db, name, now))
                .await?;
            if !due {
                continue;
            }
            let claim = self
                .kernel
                .store
                .write(Scope::Installation, move |db| {
                    jobs::claim(db, name, &owner, now, LEASE)
                })
                .await?;
            let Some(claim) = claim else { continue };
            let outcome = (job.run)(now).await;
            ran.push(job.name);
            let failure = outcome.err().map(|error| format!("{error:?}"));
            if let Some(failure) = &failure {
                tracing::warn!(job = name, %failure, "a job failed; it is tried again");
            }
            let every = TimeDelta::from_std(job.every).unwrap_or(LEASE);
            let done = self.kernel.now();
            self.kernel
                .store
                .write(Scope::Installation, move |db| {
                    jobs::finish(db, &claim, done, done + every, failure.as_deref()).map(|_| ())
                })
                .await?;
        }
        Ok(ran)
    }

    /// Looks for due jobs until `stop` is resolved.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = tick.tick() => {
                    if let Err(error) = self.run_due().await {
                        tracing::warn!(?error, "the jobs could not be looked through");
                    }
                }
            }
        }
    }
}
