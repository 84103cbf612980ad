//! When the audit log was last checked as a whole: noted by `aim audit verify`, and by a job that reads
//! the log through, piece by piece, once a day.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aim_audit::{Report, Verifier};
use aim_core::{Id, Result, Timestamp};
use aim_platform::{Job, Kernel};
use aim_store::{Db, Scope, Store, each};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use crate::schema::audit_verifications;

/// How often the job looks whether a check is due, or goes on with one.
const LOOK: Duration = Duration::from_secs(30);
/// How long a run of the job reads; the other jobs wait meanwhile.
const BUDGET: Duration = Duration::from_secs(3);
/// How long a check that found nothing holds.
const EVERY: TimeDelta = TimeDelta::hours(24);
/// The notes that are kept.
const KEPT: TimeDelta = TimeDelta::days(400);

/// Who made a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `aim audit verify`.
    Command,
    /// The daily job.
    Job,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Job => "job",
        }
    }
}

/// Marks the ids of noted checks.
pub enum VerificationKind {}

/// A check of the log, as it is noted.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = audit_verifications)]
pub struct Verification {
    id: Id<VerificationKind>,
    /// When.
    pub verified_at: Timestamp,
    /// `command` or `job`.
    pub source: String,
    /// Whether everything was as it was written.
    pub intact: bool,
    /// How many records there were.
    pub records: i64,
    /// The link of the last of them, in hex.
    pub head: String,
    /// How many things were wrong; a hundred stands for a hundred or more.
    pub findings: i64,
}

/// Notes what a check found.
///
/// # Errors
/// The database's.
pub fn note(db: &mut Db, report: &Report, source: Source, now: Timestamp) -> aim_store::Result<()> {
    let row = Verification {
        id: Id::generate(now),
        verified_at: now,
        source: source.as_str().to_owned(),
        intact: report.intact,
        records: report.records,
        head: report.head.clone(),
        findings: i64::try_from(report.findings.len()).unwrap_or(i64::MAX),
    };
    each!(db, c => {
        diesel::delete(audit_verifications::table.filter(audit_verifications::verified_at.lt(now - KEPT)))
            .execute(c)?;
        diesel::insert_into(audit_verifications::table).values(&row).execute(c)
    })?;
    Ok(())
}

/// The last check.
///
/// # Errors
/// The database's.
pub fn last(db: &mut Db) -> aim_store::Result<Option<Verification>> {
    Ok(each!(db, c => audit_verifications::table
        .order(audit_verifications::verified_at.desc())
        .select(Verification::as_select())
        .first(c)
        .optional())?)
}

/// The job that checks the log.
pub(crate) fn job(kernel: &Kernel) -> Job {
    let checker = Checker::new(&kernel.store);
    Job::new("compliance.audit_verification", LOOK, move |now| {
        let checker = checker.clone();
        async move { checker.run(now, BUDGET).await }
    })
}

/// A check that is under way on this node; cloning shares it.
#[derive(Clone)]
pub struct Checker {
    store: Store,
    under_way: Arc<Mutex<Option<Verifier>>>,
}

impl Checker {
    /// No check is under way yet.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            under_way: Arc::default(),
        }
    }

    /// Goes on with a check for about so long, or begins one if the last is older than a day. Two nodes that
    /// check at once do no harm.
    ///
    /// # Errors
    /// The database's; the check goes on with the next run.
    pub async fn run(&self, now: Timestamp, budget: Duration) -> Result<()> {
        let last = self.store.read(Scope::Installation, last).await?;
        if last.is_some_and(|last| now - last.verified_at < EVERY) {
            *self.lock() = None;
            return Ok(());
        }
        let mut verifier = self.lock().take().unwrap_or_else(|| Verifier::new(None));
        let begun = Instant::now();
        loop {
            let (back, outcome) = self
                .store
                .read(Scope::Installation, move |db| {
                    let outcome = verifier.step(db);
                    Ok((verifier, outcome))
                })
                .await?;
            verifier = back;
            if let Some(report) = outcome.map_err(aim_store::Error::into_core)? {
                return self.finish(report, now).await;
            }
            if begun.elapsed() >= budget {
                *self.lock() = Some(verifier);
                return Ok(());
            }
        }
    }

    async fn finish(&self, report: Report, now: Timestamp) -> Result<()> {
        metrics::gauge!("aim_audit_intact").set(if report.intact { 1.0 } else { 0.0 });
        if !report.intact {
            tracing::error!(
                records = report.records,
                findings = report.findings.len(),
                "the audit log is NOT as it was written; run `aim audit verify`"
            );
        }
        self.store
            .write(Scope::Installation, move |db| note(db, &report, Source::Job, now))
            .await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Verifier>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
