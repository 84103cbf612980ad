//! What callers ask about the past, and what they are answered: never a value.

use aim_core::{Error, PageRequest, Result, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::vault::{
    kinds::SecretKind,
    model::{VersionState, VersionView},
    path::{SecretPath, check_prefix},
};

/// The most secrets that one call takes back.
pub const MOST_RESTORED: i64 = 1_000;

/// Which two versions are compared.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The secret's path.
    #[param(example = "payments/stripe/live")]
    pub path: String,
    /// The one version.
    pub from: i64,
    /// The other; absent: the newest.
    pub to: Option<i64>,
}

impl DiffQuery {
    pub(super) fn path(&self) -> Result<SecretPath> {
        SecretPath::parse(&self.path)
    }
}

/// What is different between two versions; nothing of their values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionDiff {
    /// The secret.
    pub path: String,
    /// The one version.
    pub from: VersionView,
    /// The other.
    pub to: VersionView,
    /// Whether their kinds differ.
    pub kind_changed: bool,
    /// Their fields by name.
    pub fields: Vec<FieldDiff>,
    /// Their ends.
    pub expiry: ExpiryDiff,
}

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldDiff {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: FieldChange,
}

/// What became of a field between two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldChange {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, with different values.
    Changed,
    /// Both have it with the same value.
    Same,
    /// Both have it, and nothing is kept by which their values could be compared: a user name or a host, or a version
    /// that is destroyed.
    Unknown,
}

impl FieldChange {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

/// When two versions ended, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpiryDiff {
    /// When the first was to end.
    pub from: Option<Timestamp>,
    /// When the second was to end.
    pub to: Option<Timestamp>,
    /// Whether that differs; null where it is not known.
    pub changed: Option<bool>,
}

/// Which secrets, and when.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AtQuery {
    /// What their paths begin with, such as `payments/`; absent: all.
    pub prefix: Option<String>,
    /// The moment; absent: now.
    pub at: Option<Timestamp>,
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl AtQuery {
    pub(super) fn check(&self, now: Timestamp) -> Result<(String, Timestamp, PageRequest)> {
        let page = PageRequest::parse(self.limit, None, self.cursor.as_deref())?;
        let prefix = self.prefix.clone().unwrap_or_default();
        check_prefix(&prefix)?;
        let at = self.at.unwrap_or(now);
        check_moment(at, now)?;
        Ok((prefix, at, page))
    }
}

fn check_moment(at: Timestamp, now: Timestamp) -> Result<()> {
    if at > now {
        return Err(Error::field("at", "this moment has not come yet"));
    }
    // No database of AIM is as old; and PostgreSQL knows no moment before 4713 BC.
    if at < Timestamp::new(chrono::DateTime::UNIX_EPOCH) {
        return Err(Error::field("at", "a moment from 1970 on"));
    }
    Ok(())
}

/// A page of secrets as they stood at a moment, by their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AtList {
    /// The moment.
    pub at: Timestamp,
    /// The secrets that there were.
    pub secrets: Vec<SecretAt>,
    /// The page's size.
    pub limit: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

/// A secret as it stood at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretAt {
    /// Where it stands.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// Its newest version then; null where that is not known: it was written before such things were noted, and is
    /// not kept any more.
    pub version: Option<i64>,
    /// How that version stood then.
    pub state: Option<VersionState>,
    /// When it was to end, as was said then.
    pub expires_at: Option<Timestamp>,
    /// Whether it had expired by then.
    pub expired: bool,
    /// How that version stands now.
    pub state_now: Option<VersionState>,
    /// Its kind, as long as the version is kept.
    pub kind: Option<SecretKind>,
    /// The names of its fields, as long as the version is kept.
    pub fields: Vec<String>,
    /// Who changed it last before that moment, as `kind:id`.
    pub changed_by: Option<String>,
    /// When.
    pub changed_at: Option<Timestamp>,
    /// Its newest version now.
    pub current_version: i64,
    /// Whether nothing became of it since: the same version is the newest, and stands as it stood.
    pub same_as_now: bool,
}

/// Takes a prefix of paths back to a moment.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// What the paths begin with, such as `payments/`; empty: all.
    #[schema(example = "payments/")]
    pub prefix: String,
    /// The moment.
    pub at: Timestamp,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// What becomes of secrets that were not there then: `keep` them, which is usual, or `delete` them.
    #[serde(default)]
    pub newer: Newer,
    /// `next_cursor` of the call before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many secrets are looked at, 1 to 1,000, which is usual.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
}

impl RestoreRequest {
    pub(super) fn check(&self, now: Timestamp) -> Result<()> {
        check_prefix(&self.prefix)?;
        check_moment(self.at, now)?;
        if self
            .limit
            .is_some_and(|limit| !(1..=MOST_RESTORED).contains(&limit))
        {
            return Err(Error::field("limit", format!("limit is 1 to {MOST_RESTORED}")));
        }
        Ok(())
    }
}

/// What becomes of secrets that were not there at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Newer {
    /// They stay as they are.
    #[default]
    Keep,
    /// Their versions are deleted; they can be undeleted.
    Delete,
}

/// What was done to take a prefix back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreReply {
    /// The moment.
    pub at: Timestamp,
    /// Whether nothing was done, and this is what would be.
    pub dry_run: bool,
    /// How many secrets have the values of then in a new version.
    pub restored: usize,
    /// How many were deleted, because they could not be read then.
    pub deleted: usize,
    /// How many were left as they are.
    pub unchanged: usize,
    /// How many could not be taken back.
    pub impossible: usize,
    /// Each secret.
    pub secrets: Vec<Restored>,
    /// Where to go on; null when the prefix is through.
    pub next_cursor: Option<String>,
}

/// What was done with a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// Where it stands.
    pub path: String,
    /// What was done.
    pub action: RestoreAction,
    /// The version whose values count again.
    pub from_version: Option<i64>,
    /// Its newest version afterwards.
    pub current_version: i64,
    /// Why, in words.
    pub reason: String,
}

/// What was done with a secret to take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestoreAction {
    /// Its values of then are a new version.
    Restored,
    /// Its versions were deleted.
    Deleted,
    /// Nothing had to be done.
    Unchanged,
    /// It could not be done.
    Impossible,
}

impl RestoreAction {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Deleted => "deleted",
            Self::Unchanged => "unchanged",
            Self::Impossible => "impossible",
        }
    }
}
