//! What was signed once and must not be used again: shared by all nodes, kept until it is stale anyway.
//!
//! On PostgreSQL the table's unique key tells who was first. On SQLite the table is a log, to which nonces are appended, and
//! what is in it is known in memory too, on the connection that writes: digests are random, so that under a unique key each
//! would be written to a page of its own, and those pages were most of what a decision wrote.
//!
//! The memory only says where in the log to look. A nonce is used where its row is there: what a rollback took away does not
//! count. What another process appended is read at the beginning of each transaction.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
};

use aim_core::{OrganizationId, Timestamp, sql::DbTime};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SqliteConnection, dsl::max,
    sql_types::BigInt,
};

use crate::{Db, PgConn, Result, Scope, Store, db::SqliteDb, each, fixed, schema::nonces};

mod log {
    diesel::table! {
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::sql_types::{BigInt, Binary};

        // The table of `schema.rs`, as SQLite has it.
        #[sql_name = "nonces"]
        nonce_log (id) {
            id -> BigInt,
            org_id -> DbUuid,
            digest -> Binary,
            expires_at -> DbTime,
        }
    }
}
use log::nonce_log;

/// How many microseconds of expiry are forgotten together.
const SPAN: i64 = 30_000_000;
/// How many rows of the log are read at once.
const PAGE: i64 = 10_000;

/// What is in SQLite's log, for the one connection that writes to it.
#[derive(Default)]
pub(crate) struct Known {
    /// Keyed at random: nobody can choose nonces that meet here.
    hasher: RandomState,
    /// The last row that was read or written.
    last: i64,
    /// The last row that others wrote, or that stood there at the start: no rollback of this connection's takes it away.
    read: i64,
    /// Whether the log was looked at in this transaction.
    is_current: bool,
    /// By when they end: the hash of a nonce, and the lower half of its row's number. One whose place is taken by another stands in
    /// the next; whoever meets another's row sees that it is another's.
    spans: BTreeMap<i64, HashMap<u32, u32>>,
}

impl Known {
    /// A transaction begins: others may have written.
    pub(crate) const fn begin(&mut self) {
        self.is_current = false;
    }

    /// The last row, for [`Known::back_to`].
    pub(crate) const fn mark(&self) -> i64 {
        self.last
    }

    /// What was written since is rolled back; its rows are given to others. What was read since is there.
    pub(crate) fn back_to(&mut self, mark: i64) {
        self.last = mark.max(self.read);
    }

    fn hash(&self, organization: OrganizationId, digest: &[u8]) -> u32 {
        lower_half(self.hasher.hash_one((organization.uuid().as_bytes(), digest)))
    }

    fn add(&mut self, hash: u32, id: i64, expires_at: Timestamp) {
        let span = self.spans.entry(span_of(expires_at)).or_default();
        let mut place = hash;
        while span.contains_key(&place) {
            place = place.wrapping_add(1);
        }
        span.insert(place, lower_half(id.cast_unsigned()));
        self.last = id;
    }

    /// The rows in which a nonce with this hash may stand.
    fn candidates(&self, hash: u32) -> Vec<i64> {
        let mut rows = Vec::new();
        for span in self.spans.values() {
            let mut place = hash;
            while let Some(row) = span.get(&place) {
                rows.push(self.whole(*row));
                place = place.wrapping_add(1);
            }
        }
        rows
    }

    /// The last row up to the present one whose number ends in this half. It is the one that was meant: fewer than 2³² nonces are
    /// used between one and the end of its time.
    fn whole(&self, half: u32) -> i64 {
        self.last - (self.last - i64::from(half)).rem_euclid(1 << u32::BITS)
    }

    fn forget(&mut self, before: Timestamp) {
        self.spans = self.spans.split_off(&span_of(before));
    }
}

/// The lowest 32 bits.
fn lower_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
}

fn span_of(moment: Timestamp) -> i64 {
    moment.timestamp_micros().div_euclid(SPAN)
}

/// Claims a nonce inside the caller's transaction. `false`: somebody was first.
///
/// # Errors
/// The database's.
pub fn claim(
    db: &mut Db,
    organization: OrganizationId,
    digest: &[u8],
    expires_at: Timestamp,
) -> Result<bool> {
    match db {
        Db::Pg(connection) => claim_by_key(connection, organization, digest, expires_at),
        Db::Sqlite(connection) => claim_in_log(connection, organization, digest, expires_at),
    }
}

fn claim_by_key(
    connection: &mut PgConn,
    organization: OrganizationId,
    digest: &[u8],
    expires_at: Timestamp,
) -> Result<bool> {
    let count = diesel::insert_into(nonces::table)
        .values((
            nonces::org_id.eq(organization),
            nonces::digest.eq(digest),
            nonces::expires_at.eq(expires_at),
        ))
        .on_conflict_do_nothing()
        .execute(connection)?;
    Ok(count == 1)
}

fn claim_in_log(
    db: &mut SqliteDb,
    organization: OrganizationId,
    digest: &[u8],
    expires_at: Timestamp,
) -> Result<bool> {
    let (connection, known) = db.parts();
    catch_up(connection, known)?;
    let hash = known.hash(organization, digest);
    for row in known.candidates(hash) {
        let there: Option<(OrganizationId, Vec<u8>)> = nonce_log::table
            .find(row)
            .select((nonce_log::org_id, nonce_log::digest))
            .get_result(connection)
            .optional()?;
        if there.is_some_and(|(by, used)| by == organization && used == digest) {
            return Ok(false);
        }
    }
    let row = known.last + 1;
    fixed!(diesel::insert_into(nonce_log::table).values((
        nonce_log::id.eq(row),
        nonce_log::org_id.eq(organization),
        nonce_log::digest.eq(digest),
        nonce_log::expires_at.eq(expires_at),
    )))
    .run(connection)?;
    known.add(hash, row, expires_at);
    Ok(true)
}

/// Reads what the log has that this connection has not: all of it after a start, and what another process wrote.
fn catch_up(connection: &mut SqliteConnection, known: &mut Known) -> Result<()> {
    type Row = (i64, OrganizationId, Vec<u8>, Timestamp);
    while !known.is_current {
        // Mostly there is nothing. A statement with a bound LIMIT would be prepared anew each time.
        let last: Option<i64> = fixed!(nonce_log::table.select(max(nonce_log::id))).get_result(connection)?;
        if last.is_none_or(|last| last <= known.last) {
            known.is_current = true;
            break;
        }
        let rows: Vec<Row> = fixed!(
            nonce_log::table
                .filter(nonce_log::id.gt(known.last))
                .order(nonce_log::id)
                .limit(PAGE)
        )
        .load(connection)?;
        for (id, organization, digest, expires_at) in rows {
            let hash = known.hash(organization, &digest);
            known.add(hash, id, expires_at);
            known.read = id;
        }
    }
    Ok(())
}

/// Forgets up to `at_most` nonces that are stale anyway, the oldest first; answers how many. At zero, none is left that ends
/// before that moment, but for the newest one of SQLite's log.
///
/// # Errors
/// The database's.
pub async fn forget(store: &Store, before: Timestamp, at_most: i64) -> aim_core::Result<usize> {
    if store.is_postgres() {
        return store
            .write(Scope::Installation, move |db| forget_by_key(db, before, at_most))
            .await;
    }
    // The log has no index by expiry. It is gone through where nobody waits; mostly its beginning is stale.
    let stale = store
        .read(Scope::Installation, move |db| stale_rows(db, before, at_most))
        .await?;
    let Some((first, last)) = stale.first().copied().zip(stale.last().copied()) else {
        return Ok(0);
    };
    store
        .write(Scope::Installation, move |db| {
            let Db::Sqlite(db) = db else { return Ok(0) };
            let (connection, known) = db.parts();
            known.forget(before);
            let rows = nonce_log::table
                .filter(nonce_log::id.between(first, last))
                .filter(nonce_log::expires_at.lt(before));
            Ok(diesel::delete(rows).execute(connection)?)
        })
        .await
}

fn forget_by_key(db: &mut Db, before: Timestamp, at_most: i64) -> Result<usize> {
    const TEXT: &str = "DELETE FROM nonces WHERE (org_id, digest) IN \
        (SELECT org_id, digest FROM nonces WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
    Ok(each!(db, c => diesel::sql_query(TEXT)
        .bind::<DbTime, _>(before)
        .bind::<BigInt, _>(at_most)
        .execute(c))?)
}

/// The oldest stale rows of SQLite's log. The newest row stays: no row's number is ever given twice, so that other processes see
/// by it what they have not read.
fn stale_rows(db: &mut Db, before: Timestamp, at_most: i64) -> Result<Vec<i64>> {
    let Db::Sqlite(db) = db else {
        return Ok(Vec::new());
    };
    let (connection, _) = db.parts();
    let newest: Option<i64> = nonce_log::table
        .select(max(nonce_log::id))
        .get_result(connection)?;
    Ok(nonce_log::table
        .filter(nonce_log::id.lt(newest.unwrap_or_default()))
        .filter(nonce_log::expires_at.lt(before))
        .order(nonce_log::id)
        .limit(at_most)
        .select(nonce_log::id)
        .load(connection)?)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn moment() -> Timestamp {
        Timestamp::new(DateTime::UNIX_EPOCH)
    }

    #[test]
    fn rows_are_told_whole_across_the_border_of_their_halves() {
        let border = 1_i64 << u32::BITS;
        let mut known = Known::default();
        let rows: Vec<i64> = (border - 3..border + 3).collect();
        for (hash, row) in (0_u32..).zip(&rows) {
            known.add(hash * 10, *row, moment());
        }
        for (hash, row) in (0_u32..).zip(&rows) {
            assert_eq!(known.candidates(hash * 10), [*row]);
        }
    }

    #[test]
    fn nonces_with_one_hash_are_all_candidates() {
        for hash in [0, 7, u32::MAX] {
            let mut known = Known::default();
            for row in 1..=3 {
                known.add(hash, row, moment());
            }
            // One that ends later is kept elsewhere.
            known.add(hash, 4, moment() + chrono::TimeDelta::hours(1));
            let mut found = known.candidates(hash);
            found.sort_unstable();
            assert_eq!(found, [1, 2, 3, 4]);
        }
    }

    #[test]
    fn what_was_rolled_back_hides_nothing() {
        let mut known = Known::default();
        known.add(5, 1, moment());
        let mark = known.mark();
        known.add(6, 2, moment());
        known.add(5, 3, moment());
        known.back_to(mark);
        // Its rows are given to others.
        known.add(6, 2, moment());
        assert!(known.candidates(5).contains(&1));
        assert!(known.candidates(6).contains(&2));
    }
}
