//! Those who follow the audit log: a row each with the place it has read to, held by one node at a time
//! through a lease. The place moves in the transaction of what was done about the records, so that each
//! record takes effect once however often a node falls over.

use aim_core::Timestamp;
use chrono::TimeDelta;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, OptionalExtension, QueryDsl,
    RunQueryDsl,
};

use crate::{
    Cached, Db, Result, each,
    schema::{audit_head, followers},
};

/// Makes sure the follower has a row. A new one begins at the log's start, or behind what is there.
///
/// # Errors
/// The database's.
pub fn ensure(db: &mut Db, name: &str, from_the_start: bool) -> Result<()> {
    let begin: i64 = if from_the_start {
        0
    } else {
        each!(db, c => audit_head::table.find(1).select(audit_head::size).get_result(c))?
    };
    each!(db, c => diesel::insert_into(followers::table)
        .values((followers::name.eq(name), followers::next_index.eq(begin)))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}

/// The index of the record that `name` reads next; none if it has no row.
///
/// # Errors
/// The database's.
pub fn next_index(db: &mut Db, name: &str) -> Result<Option<i64>> {
    Ok(each!(db, c => followers::table.find(name).select(followers::next_index).get_result(c).optional())?)
}

/// Every follower with the index of the record that it reads next.
///
/// # Errors
/// The database's.
pub fn list(db: &mut Db) -> Result<Vec<(String, i64)>> {
    Ok(each!(db, c => followers::table
        .order(followers::name)
        .select((followers::name, followers::next_index))
        .load(c))?)
}

/// Takes or prolongs the lease of `name` for `owner`. None while another node holds it; else the index to
/// go on from.
///
/// # Errors
/// The database's.
pub fn hold(db: &mut Db, name: &str, owner: &str, now: Timestamp, lease: TimeDelta) -> Result<Option<i64>> {
    Ok(each!(db, c => Cached(diesel::update(
            followers::table
                .filter(followers::name.eq(name))
                .filter(
                    followers::lease_owner
                        .is_null()
                        .or(followers::lease_owner.eq(Some(owner)).assume_not_null())
                        .or(followers::lease_until.le(Some(now)).assume_not_null()),
                ),
        )
        .set((
            followers::lease_owner.eq(Some(owner)),
            followers::lease_until.eq(Some(now + lease)),
        ))
        .returning(followers::next_index))
        .get_result(c)
        .optional())?)
}

/// Moves the place of `name` from `from` to `to`, if `owner` still holds it and nobody moved it meanwhile.
/// `false`: what was done about these records must not take effect.
///
/// # Errors
/// The database's.
pub fn advance(db: &mut Db, name: &str, owner: &str, from: i64, to: i64) -> Result<bool> {
    let moved: Option<i64> = each!(db, c => Cached(diesel::update(
            followers::table
                .filter(followers::name.eq(name))
                .filter(followers::next_index.eq(from))
                .filter(followers::lease_owner.eq(Some(owner)).assume_not_null()),
        )
        .set(followers::next_index.eq(to))
        .returning(followers::next_index))
        .get_result(c)
        .optional())?;
    Ok(moved.is_some())
}

/// Gives the lease back, so that another node need not wait for its end.
///
/// # Errors
/// The database's.
pub fn release(db: &mut Db, name: &str, owner: &str) -> Result<()> {
    each!(db, c => diesel::update(
            followers::table
                .filter(followers::name.eq(name))
                .filter(followers::lease_owner.eq(Some(owner)).assume_not_null()),
        )
        .set((followers::lease_owner.eq(None::<String>), followers::lease_until.eq(None::<Timestamp>)))
        .execute(c))?;
    Ok(())
}
