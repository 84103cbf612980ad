//! Failed sign-ins, counted in the database so that all nodes count together.
//!
//! A subject is an e-mail address or a network address under a keyed hash: whoever reads the table or
//! the log learns neither. An address that belongs to no account is counted like one that does.

use aim_core::Timestamp;
use aim_crypto::{digest::hmac_sha256, token::TokenPepper};
use aim_store::{Db, Result, each, schema::sign_in_attempts};
use chrono::TimeDelta;
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

/// How long failures are counted together, and how long a lock-out lasts.
pub(crate) const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// What failures are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject([u8; 32]);

impl Subject {
    /// An e-mail address, as it is stored and compared.
    pub(crate) fn email(pepper: &TokenPepper, email: &str) -> Self {
        Self::of(pepper, "sign-in e-mail\n", email)
    }

    /// A caller's network address.
    pub(crate) fn address(pepper: &TokenPepper, address: &str) -> Self {
        Self::of(pepper, "sign-in address\n", address)
    }

    fn of(pepper: &TokenPepper, kind: &str, text: &str) -> Self {
        Self(hmac_sha256(pepper.expose(), format!("{kind}{text}").as_bytes()))
    }

    /// The first characters of the hash, for the log.
    pub(crate) fn short(&self) -> String {
        self.0.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Until when the subject is locked out, if it is at `now`.
pub(crate) fn locked_until(db: &mut Db, subject: Subject, now: Timestamp) -> Result<Option<Timestamp>> {
    let until: Option<Option<Timestamp>> = each!(db, c => sign_in_attempts::table
        .find(subject.0.to_vec())
        .select(sign_in_attempts::locked_until)
        .get_result(c)
        .optional())?;
    Ok(until.flatten().filter(|until| *until > now))
}

/// Counts a failure. With the `limit`-th in the window the subject is locked out; answers whether
/// this one did that.
pub(crate) fn record_failure(db: &mut Db, subject: Subject, now: Timestamp, limit: i64) -> Result<bool> {
    each!(db, c => diesel::insert_into(sign_in_attempts::table)
        .values((
            sign_in_attempts::subject.eq(subject.0.to_vec()),
            sign_in_attempts::failures.eq(0),
            sign_in_attempts::window_started_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    let row = sign_in_attempts::table.find(subject.0.to_vec()).select((
        sign_in_attempts::failures,
        sign_in_attempts::window_started_at,
        sign_in_attempts::locked_until,
    ));
    let (failures, started, locked): (i64, Timestamp, Option<Timestamp>) = match db {
        Db::Pg(c) => row.for_update().get_result(&mut **c)?,
        Db::Sqlite(c) => row.get_result(&mut **c)?,
    };
    if locked.is_some_and(|until| until > now) {
        return Ok(false);
    }
    // A lock-out that is over starts a new count, as an old window does.
    let anew = locked.is_some() || now - started >= WINDOW;
    let (failures, started) = if anew { (1, now) } else { (failures + 1, started) };
    let locks = failures >= limit;
    each!(db, c => diesel::update(sign_in_attempts::table.find(subject.0.to_vec()))
        .set((
            sign_in_attempts::failures.eq(failures),
            sign_in_attempts::window_started_at.eq(started),
            sign_in_attempts::locked_until.eq(locks.then(|| now + WINDOW)),
        ))
        .execute(c))?;
    Ok(locks)
}

/// Forgets the failures of a subject that proved itself.
pub(crate) fn clear(db: &mut Db, subject: Subject) -> Result<()> {
    each!(db, c => diesel::delete(sign_in_attempts::table.find(subject.0.to_vec())).execute(c))?;
    Ok(())
}

/// Forgets windows and lock-outs that are over.
pub(crate) fn forget(db: &mut Db, now: Timestamp) -> Result<usize> {
    let over = sign_in_attempts::table
        .filter(sign_in_attempts::window_started_at.lt(now - WINDOW))
        .filter(sign_in_attempts::locked_until.is_null().or(
            diesel::NullableExpressionMethods::assume_not_null(sign_in_attempts::locked_until.lt(Some(now))),
        ));
    Ok(each!(db, c => diesel::delete(over).execute(c))?)
}
