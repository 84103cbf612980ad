//! Jobs that run once however many nodes there are: a row each, claimed by a lease with a fencing
//! token. No transaction is held while a job runs, and there is no leader.

use aim_core::Timestamp;
use chrono::TimeDelta;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, OptionalExtension, QueryDsl,
    RunQueryDsl, SelectableHelper,
};

use crate::{Db, Result, each, schema::jobs};

/// How many failures in a row make a job dead until an operator looks.
pub const MAX_ATTEMPTS: i64 = 20;

/// A job's row.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = jobs)]
#[expect(missing_docs, reason = "the columns are the fields")]
pub struct JobRow {
    pub name: String,
    pub due_at: Timestamp,
    pub lease_owner: Option<String>,
    pub lease_until: Option<Timestamp>,
    pub fencing: i64,
    pub attempts: i64,
    pub last_error: Option<String>,
    pub last_run_at: Option<Timestamp>,
    pub dead_at: Option<Timestamp>,
}

/// A right to run one job until the lease ends. A later claim has a larger `fencing`.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The job.
    pub name: String,
    /// The fencing token: work done under an older one must not take effect.
    pub fencing: i64,
}

/// Makes sure the job has a row. Harmless when it has.
///
/// # Errors
/// The database's.
pub fn ensure(db: &mut Db, name: &str, due_at: Timestamp) -> Result<()> {
    each!(db, c => diesel::insert_into(jobs::table)
        .values((jobs::name.eq(name), jobs::due_at.eq(due_at)))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}

/// Claims `name` if it is due and nobody holds it. The due predicate is in the update itself, so
/// that two nodes cannot both win.
///
/// # Errors
/// The database's.
pub fn claim(
    db: &mut Db,
    name: &str,
    owner: &str,
    now: Timestamp,
    lease: TimeDelta,
) -> Result<Option<Claim>> {
    let fencing: Option<i64> = each!(db, c => diesel::update(
            jobs::table
                .filter(jobs::name.eq(name))
                .filter(jobs::due_at.le(now))
                .filter(jobs::dead_at.is_null())
                .filter(jobs::lease_until.is_null().or(jobs::lease_until.le(Some(now)).assume_not_null())),
        )
        .set((
            jobs::lease_owner.eq(Some(owner)),
            jobs::lease_until.eq(Some(now + lease)),
            jobs::fencing.eq(jobs::fencing + 1),
        ))
        .returning(jobs::fencing)
        .get_result(c)
        .optional())?;
    Ok(fencing.map(|fencing| Claim {
        name: name.to_owned(),
        fencing,
    }))
}

/// Gives the job back, due again at `next`. `false` when the lease was lost meanwhile.
///
/// # Errors
/// The database's.
pub fn finish(
    db: &mut Db,
    claim: &Claim,
    now: Timestamp,
    next: Timestamp,
    failure: Option<&str>,
) -> Result<bool> {
    let mine = jobs::table
        .filter(jobs::name.eq(&claim.name))
        .filter(jobs::fencing.eq(claim.fencing));
    let row: Option<JobRow> = each!(db, c => mine.select(JobRow::as_select()).get_result(c).optional())?;
    let Some(row) = row else { return Ok(false) };
    let attempts = if failure.is_some() { row.attempts + 1 } else { 0 };
    let dead_at = (attempts >= MAX_ATTEMPTS).then_some(now);
    let count = each!(db, c => diesel::update(
            jobs::table.filter(jobs::name.eq(&claim.name)).filter(jobs::fencing.eq(claim.fencing)),
        )
        .set((
            jobs::lease_owner.eq(None::<String>),
            jobs::lease_until.eq(None::<Timestamp>),
            jobs::due_at.eq(next),
            jobs::attempts.eq(attempts),
            jobs::last_error.eq(failure),
            jobs::last_run_at.eq(Some(now)),
            jobs::dead_at.eq(dead_at),
        ))
        .execute(c))?;
    Ok(count == 1)
}

/// Every job's state, for metrics and operators.
///
/// # Errors
/// The database's.
pub fn list(db: &mut Db) -> Result<Vec<JobRow>> {
    Ok(each!(db, c => jobs::table.order(jobs::name).select(JobRow::as_select()).load(c))?)
}

/// Whether `name` is due and free, without claiming it: spares the writer a transaction a second.
///
/// # Errors
/// The database's.
pub fn is_due(db: &mut Db, name: &str, now: Timestamp) -> Result<bool> {
    let due = jobs::table
        .filter(jobs::name.eq(name))
        .filter(jobs::due_at.le(now))
        .filter(jobs::dead_at.is_null())
        .filter(
            jobs::lease_until
                .is_null()
                .or(jobs::lease_until.le(Some(now)).assume_not_null()),
        );
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(due)).get_result(c))?)
}

/// Writes the moment into a row: a probe that a transaction can be committed.
///
/// # Errors
/// The database's.
pub fn touch(db: &mut Db, name: &str, now: Timestamp) -> Result<()> {
    each!(db, c => diesel::update(jobs::table.find(name)).set(jobs::last_run_at.eq(Some(now))).execute(c))?;
    Ok(())
}
