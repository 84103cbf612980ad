//! Whether the rows of a secret are as young as the log says. Rows that were put back as they were once fit together, head
//! and all; but each change noted its number in the audit log, in the same transaction.

use std::{sync::LazyLock, time::Duration};

use aim_core::{Error, OrganizationId};
use aim_store::Db;
use moka::sync::Cache;
use serde::Deserialize;

use super::{envelope::tampered, model::SecretId, store};

/// The events that are a change of a secret, each with its number among its facts.
pub(super) const CHANGES: [&str; 6] = [
    "secret.written",
    "secret.deleted",
    "secret.undeleted",
    "secret.destroyed",
    "secret.rolled_back",
    "secret.refreshed",
];

/// For how long a confirmation counts: a change through another node is not noted here.
const COUNTS_FOR: Duration = Duration::from_secs(10);

/// How many confirmations are kept, at some 300 bytes each.
const KEPT: u64 = 8_192;

/// Changes that the log confirmed, so that it is not asked at each read.
static CONFIRMED: LazyLock<Cache<SecretId, i64>> = LazyLock::new(|| {
    Cache::builder()
        .max_capacity(KEPT)
        .time_to_live(COUNTS_FOR)
        .build()
});

/// Notes a change that is being written: what this node confirmed before it counts no more. If it is not committed after all, the
/// rows have another number, and the log is asked.
pub(super) fn note(secret: SecretId, changes: i64) {
    CONFIRMED.insert(secret, changes);
}

/// Gives back the memory of confirmations that count no more.
pub(super) fn tidy() {
    CONFIRMED.run_pending_tasks();
}

#[derive(Deserialize)]
struct Leaf {
    facts: Facts,
}

#[derive(Deserialize)]
struct Facts {
    changes: i64,
}

/// The change that the log has of the secret, if its rows, which are of the change `changes`, are older than that.
///
/// # Errors
/// The database's.
pub(super) fn newer_in_the_log(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    changes: i64,
) -> aim_store::Result<Option<i64>> {
    if CONFIRMED.get(&secret) == Some(changes) {
        return Ok(None);
    }
    let asked = ask(db, organization, secret, changes)?;
    if asked == Answer::Confirmed {
        CONFIRMED.insert(secret, changes);
    }
    Ok(asked.newer())
}

/// [`newer_in_the_log`], whatever was confirmed before, and without keeping that it was confirmed.
///
/// # Errors
/// The database's.
pub(super) fn ask_the_log(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    changes: i64,
) -> aim_store::Result<Option<i64>> {
    Ok(ask(db, organization, secret, changes)?.newer())
}

/// What the log says of rows.
#[derive(PartialEq, Eq)]
enum Answer {
    /// It has no later change.
    Confirmed,
    /// They were changed between the two statements, and are as the log has it by now.
    Overtaken,
    /// It has this later change.
    Newer(i64),
}

impl Answer {
    const fn newer(self) -> Option<i64> {
        match self {
            Self::Newer(noted) => Some(noted),
            Self::Confirmed | Self::Overtaken => None,
        }
    }
}

fn ask(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    changes: i64,
) -> aim_store::Result<Answer> {
    let noted = store::last_change(db, organization, secret)?
        .and_then(|leaf| serde_json::from_str::<Leaf>(&leaf).ok())
        .map(|leaf| leaf.facts.changes);
    let Some(noted) = noted.filter(|noted| *noted > changes) else {
        return Ok(Answer::Confirmed);
    };
    // On PostgreSQL somebody may have changed it between the two statements.
    let present = store::changes(db, organization, secret)?;
    Ok(if present.is_none_or(|present| present < noted) {
        Answer::Newer(noted)
    } else {
        Answer::Overtaken
    })
}

/// The refusal of rows that are older than the log.
pub(super) fn turned_back(changes: i64, noted: i64) -> Error {
    tampered(format!(
        "the log has change {noted} of this secret, and its rows are of change {changes}: they were turned back outside AIM"
    ))
}

/// Refuses rows that are older than the log.
///
/// # Errors
/// `vault.integrity`; the database's.
pub(super) fn refuse_turned_back(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    changes: i64,
) -> aim_store::Result<()> {
    match newer_in_the_log(db, organization, secret, changes)? {
        Some(noted) => Err(turned_back(changes, noted).into()),
        None => Ok(()),
    }
}
