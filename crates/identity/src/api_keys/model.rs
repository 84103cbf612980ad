//! What an organisation API key is.

use aim_core::{ApiKeyId, Error, Result, Role, Timestamp};
use aim_crypto::secret::SecretString;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest life of a key that is given in days.
const LONGEST_DAYS: i64 = 3650;

/// A key to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is for: 1 to 128 characters.
    #[schema(example = "deployment", max_length = 128)]
    pub name: String,
    /// What it may do, `member` when left out; never more than whoever makes it.
    pub role: Option<Role>,
    /// The first instant at which it is refused; never when left out.
    pub expires_at: Option<Timestamp>,
    /// The same in days from now, 1 to 3650; send one of the two.
    pub expires_in_days: Option<i64>,
}

impl NewApiKey {
    /// When the key is to end.
    ///
    /// # Errors
    /// `request.field_invalid` at `expires_at` or `expires_in_days`.
    pub(crate) fn expiry(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        match (self.expires_at, self.expires_in_days) {
            (Some(_), Some(_)) => Err(Error::field(
                "expires_in_days",
                "send either expires_at or expires_in_days, not both",
            )),
            (Some(at), None) if at <= now => Err(Error::field(
                "expires_at",
                "this moment is over; name a later one",
            )),
            (at @ Some(_), None) => Ok(at),
            (None, Some(days)) if (1..=LONGEST_DAYS).contains(&days) => Ok(Some(now + TimeDelta::days(days))),
            (None, Some(_)) => Err(Error::field(
                "expires_in_days",
                format!("days are 1 to {LONGEST_DAYS}"),
            )),
            (None, None) => Ok(None),
        }
    }
}

/// A key just made, with its text.
#[derive(Debug)]
pub struct IssuedApiKey {
    /// The key's text: shown once.
    pub api_key: SecretString,
    /// What lists show of it.
    pub view: ApiKeyView,
}

/// A key, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// The key's id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The beginning of its text, to tell keys apart.
    #[schema(example = "aim_live_4Tq9xZ")]
    pub prefix: String,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first instant at which it is refused for its age.
    pub expires_at: Option<Timestamp>,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A page of keys.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApiKeyList {
    /// The keys, newest first.
    pub api_keys: Vec<ApiKeyView>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}

/// That a key is disabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKeyDisabled {
    /// The same in words.
    #[schema(example = "the API key is disabled")]
    pub message: String,
    /// The key.
    pub id: ApiKeyId,
    /// Since when.
    pub disabled_at: Timestamp,
}
