//! Queries on set-up tokens, and the row that keeps two set-ups from both winning.

use aim_core::Timestamp;
use aim_store::{
    Db, Result, each,
    schema::{installation, setup_tokens},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

/// The row of the `installation` table that says that set-up is done.
const DONE: &str = "set_up";

/// Keeps a token.
pub(crate) fn insert_token(db: &mut Db, digest: &[u8], now: Timestamp, expires_at: Timestamp) -> Result<()> {
    each!(db, c => diesel::insert_into(setup_tokens::table)
        .values((
            setup_tokens::token_digest.eq(digest),
            setup_tokens::created_at.eq(now),
            setup_tokens::expires_at.eq(expires_at),
        ))
        .execute(c))?;
    Ok(())
}

/// Whether the token could be used.
pub(crate) fn is_good(db: &mut Db, digest: &[u8], now: Timestamp) -> Result<bool> {
    let good = setup_tokens::table
        .filter(setup_tokens::token_digest.eq(digest))
        .filter(setup_tokens::used_at.is_null())
        .filter(setup_tokens::expires_at.gt(now));
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(good)).get_result(c))?)
}

/// Uses the token up; answers whether it was good.
pub(crate) fn consume(db: &mut Db, digest: &[u8], now: Timestamp) -> Result<bool> {
    let good = setup_tokens::table
        .filter(setup_tokens::token_digest.eq(digest))
        .filter(setup_tokens::used_at.is_null())
        .filter(setup_tokens::expires_at.gt(now));
    Ok(each!(db, c => diesel::update(good).set(setup_tokens::used_at.eq(Some(now))).execute(c))? == 1)
}

/// Says that set-up is done; answers whether this transaction is the one that did it.
pub(crate) fn mark_done(db: &mut Db, now: Timestamp) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(installation::table)
        .values((
            installation::name.eq(DONE),
            installation::value.eq(Vec::<u8>::new()),
            installation::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}

/// Forgets tokens that expired before `before`.
pub(crate) fn forget(db: &mut Db, before: Timestamp) -> Result<usize> {
    Ok(
        each!(db, c => diesel::delete(setup_tokens::table.filter(setup_tokens::expires_at.lt(before))).execute(c))?,
    )
}
