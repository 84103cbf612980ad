//! The types of agent-scoped API keys, and the rules that need no database.

use aim_core::{Error, Id, Result, Timestamp};
use aim_crypto::token::{IssuedToken, TokenKind};
use aim_decision::CapabilityPattern;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store::AgentApiKeyRow;

/// What these keys start with.
pub const TOKEN_KIND: TokenKind = TokenKind::custom("aim_agent_");
/// How long a key lives when nothing else is asked for, in days.
pub const DEFAULT_LIFETIME_DAYS: i64 = 90;
/// The longest life of a key, in days.
pub const MAX_LIFETIME_DAYS: i64 = 365;
/// The longest name, in characters.
pub const MAX_NAME_LENGTH: usize = 100;
/// The most capabilities that one key lists.
pub const MAX_CAPABILITIES: usize = 64;

/// Marks the ids of agent-scoped API keys.
#[derive(Debug, Clone, Copy)]
pub enum AgentApiKeyKind {}
/// The id of an agent-scoped API key.
pub type AgentApiKeyId = Id<AgentApiKeyKind>;

/// What a new key shall be.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAgentApiKey {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// The part of the agent's capabilities that it may use: names or patterns such as `db:*`, each
    /// covered by one of the agent's present grants. 1 to 64.
    #[schema(example = json!(["db:read"]))]
    pub capabilities: Vec<String>,
    /// The secrets that it may reach, as patterns of their paths: actions whose names begin with `secret:` are denied on all
    /// others. 1 to 64. Absent: those that the agent may reach.
    #[serde(default)]
    #[schema(example = json!(["payments/*"]))]
    pub secret_paths: Option<Vec<String>>,
    /// The networks from which it may be used, such as `10.0.0.0/8` or one address. 1 to 64. Absent: from anywhere.
    #[serde(default)]
    #[schema(example = json!(["10.0.0.0/8"]))]
    pub addresses: Option<Vec<String>>,
    /// The first instant at which it is refused; at most 365 days ahead. Instead of `expires_in_days`.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How long it lives, 1 to 365 days; 90 if neither is given.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 365)]
    pub expires_in_days: Option<i64>,
}

/// A key just made. `api_key` is shown this once and kept nowhere.
#[derive(Clone, Serialize, ToSchema)]
pub struct CreatedAgentApiKey {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AgentApiKeyId,
    /// The key itself, for `Authorization: Bearer` or `X-API-Key`.
    #[schema(example = "aim_agent_0123456789abcdefghijklmnopqrstuv012345")]
    pub api_key: String,
    /// What people call it.
    pub name: String,
    /// Its first characters, by which it is told from others.
    pub prefix: String,
    /// What it may use.
    pub capabilities: Vec<String>,
    /// The secrets that it may reach; null: those that the agent may.
    pub secret_paths: Option<Vec<String>>,
    /// From where it may be used; null: from anywhere.
    pub addresses: Option<Vec<String>>,
    /// The first instant at which it is refused.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

impl CreatedAgentApiKey {
    /// The key of this row and this text.
    pub(super) fn of(row: &AgentApiKeyRow, token: &IssuedToken) -> Self {
        Self {
            id: row.id,
            api_key: token.text().expose().to_owned(),
            name: row.name.clone(),
            prefix: row.prefix.clone(),
            capabilities: row.capabilities.strings(),
            secret_paths: row.secret_paths.as_ref().map(aim_core::Json::strings),
            addresses: row.addresses.as_ref().map(aim_core::Json::strings),
            expires_at: row.expires_at,
            created_at: row.created_at,
        }
    }
}

impl std::fmt::Debug for CreatedAgentApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CreatedAgentApiKey")
            .field("id", &self.id)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What a key is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentApiKeyStatus {
    /// Accepted, as long as its agent is active.
    Active,
    /// Replaced by a rotation, and accepted until the end of the overlap.
    Rotating,
    /// Past its expiry.
    Expired,
    /// Revoked, or its overlap has ended.
    Revoked,
}

impl AgentApiKeyStatus {
    /// Every state, in the order of filters.
    pub const ALL: [Self; 4] = [Self::Active, Self::Rotating, Self::Expired, Self::Revoked];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a key in this state is accepted.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Active | Self::Rotating)
    }
}

/// A key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentApiKeyView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AgentApiKeyId,
    /// What people call it.
    pub name: String,
    /// Its first characters, by which it is told from others.
    pub prefix: String,
    /// What it may use.
    pub capabilities: Vec<String>,
    /// The secrets that it may reach; null: those that the agent may.
    pub secret_paths: Option<Vec<String>>,
    /// From where it may be used; null: from anywhere.
    pub addresses: Option<Vec<String>>,
    /// What it is worth now.
    pub status: AgentApiKeyStatus,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first instant at which it is refused.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From which address.
    pub last_used_from: Option<String>,
    /// The key that it replaced, if it was made by a rotation.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub rotated_from: Option<AgentApiKeyId>,
    /// The first instant at which it is refused because it was replaced.
    pub retires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl AgentApiKeyView {
    /// The view of `row` at `now`.
    #[must_use]
    pub(super) fn of(row: AgentApiKeyRow, now: Timestamp) -> Self {
        Self {
            status: row.status(now),
            capabilities: row.capabilities.strings(),
            secret_paths: row.secret_paths.as_ref().map(aim_core::Json::strings),
            addresses: row.addresses.as_ref().map(aim_core::Json::strings),
            last_used_from: row.last_used_from,
            rotated_from: row.rotated_from,
            retires_at: row.retires_at,
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

/// An agent's keys, the newest first; revoked and expired ones included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentApiKeyList {
    /// The keys.
    pub api_keys: Vec<AgentApiKeyView>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AgentApiKeyQuery {
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// How many to skip.
    pub offset: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Whether everything that `part` covers is covered by `whole`.
#[must_use]
pub fn covers(whole: &CapabilityPattern, part: &CapabilityPattern) -> bool {
    match whole.as_str().strip_suffix('*') {
        // `db:*` has the prefix `db:`: it covers the names and patterns below it, and itself.
        Some(prefix) => part.as_str().starts_with(prefix),
        None => whole == part,
    }
}

/// Reads the capabilities of a new key; doubles count once.
///
/// # Errors
/// `request.field_invalid` at `capabilities`, or at the one that is malformed.
pub(super) fn parse_capabilities(texts: &[String]) -> Result<Vec<CapabilityPattern>> {
    if texts.is_empty() {
        return Err(Error::field(
            "capabilities",
            "the list is empty; name at least one capability of the agent",
        ));
    }
    if texts.len() > MAX_CAPABILITIES {
        return Err(Error::field(
            "capabilities",
            format!("list at most {MAX_CAPABILITIES} capabilities"),
        ));
    }
    texts
        .iter()
        .enumerate()
        .map(|(place, text)| {
            CapabilityPattern::try_from(text.as_str())
                .map_err(|invalid| Error::field(format!("capabilities[{place}]"), invalid.problem))
        })
        .collect()
}

/// Refuses capabilities that the agent does not have itself.
///
/// # Errors
/// `request.field_invalid` at the first one that no grant covers as a whole.
pub(super) fn check_subset(wanted: &[CapabilityPattern], granted: &[CapabilityPattern]) -> Result<()> {
    let beyond = wanted
        .iter()
        .enumerate()
        .find(|(_, part)| !granted.iter().any(|whole| covers(whole, part)));
    match beyond {
        None => Ok(()),
        Some((place, part)) => Err(Error::field(
            format!("capabilities[{place}]"),
            format!("no grant of the agent covers {part}; grant it to the agent first, or leave it out"),
        )),
    }
}

/// Checks a name.
///
/// # Errors
/// `request.field_invalid` at `name`.
pub(super) fn check_name(name: &str) -> Result<String> {
    let name = name.trim();
    let length = name.chars().count();
    if !(1..=MAX_NAME_LENGTH).contains(&length) || name.chars().any(char::is_control) {
        return Err(Error::field(
            "name",
            format!("a name has 1 to {MAX_NAME_LENGTH} characters, none of them a control character"),
        ));
    }
    Ok(name.to_owned())
}

/// When the new key expires.
///
/// # Errors
/// `request.field_invalid` at `expires_at` or `expires_in_days`.
pub(super) fn lifetime(
    expires_at: Option<Timestamp>,
    expires_in_days: Option<i64>,
    now: Timestamp,
) -> Result<Timestamp> {
    let latest = now + TimeDelta::days(MAX_LIFETIME_DAYS);
    match (expires_at, expires_in_days) {
        (Some(_), Some(_)) => Err(Error::field(
            "expires_at",
            "send either expires_at or expires_in_days, not both",
        )),
        (Some(moment), None) => {
            let moment = Timestamp::new(*moment);
            if moment > now && moment <= latest {
                Ok(moment)
            } else {
                Err(Error::field(
                    "expires_at",
                    format!("the moment lies in the future, at most {MAX_LIFETIME_DAYS} days ahead"),
                ))
            }
        }
        (None, days) => {
            let days = days.unwrap_or(DEFAULT_LIFETIME_DAYS);
            if (1..=MAX_LIFETIME_DAYS).contains(&days) {
                Ok(now + TimeDelta::days(days))
            } else {
                Err(Error::field(
                    "expires_in_days",
                    format!("expires_in_days is 1 to {MAX_LIFETIME_DAYS}"),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> CapabilityPattern {
        CapabilityPattern::try_from(text).unwrap()
    }

    #[test]
    fn a_pattern_is_covered_when_the_grant_matches_everything_it_matches() {
        for (whole, part, covered) in [
            ("db:read", "db:read", true),
            ("db:*", "db:read", true),
            ("db:*", "db:*", true),
            ("db:*", "db:tables:*", true),
            ("*", "db:*", true),
            ("*", "*", true),
            ("db:read", "db:*", false),
            ("db:*", "*", false),
            ("db:tables:*", "db:*", false),
            ("db:*", "db", false),
            ("db:*", "dbx:read", false),
            ("db:read", "db:read:*", false),
        ] {
            assert_eq!(
                covers(&pattern(whole), &pattern(part)),
                covered,
                "{whole} over {part}"
            );
        }
    }

    #[test]
    fn two_narrow_grants_do_not_add_up_to_a_wildcard() {
        let granted = [pattern("db:read"), pattern("db:write")];
        let error = check_subset(&[pattern("db:read"), pattern("db:*")], &granted).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("capabilities[1]"));
        assert!(check_subset(&granted, &granted).is_ok());
    }

    #[test]
    fn a_key_lives_ninety_days_or_as_long_as_was_asked_but_never_over_a_year() {
        let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        assert_eq!(lifetime(None, None, now).unwrap(), now + TimeDelta::days(90));
        assert_eq!(lifetime(None, Some(1), now).unwrap(), now + TimeDelta::days(1));
        let year = now + TimeDelta::days(365);
        assert_eq!(lifetime(Some(year), None, now).unwrap(), year);
        for (moment, days, field) in [
            (Some(year + TimeDelta::microseconds(1)), None, "expires_at"),
            (Some(now), None, "expires_at"),
            (Some(year), Some(3), "expires_at"),
            (None, Some(0), "expires_in_days"),
            (None, Some(366), "expires_in_days"),
        ] {
            assert_eq!(
                lifetime(moment, days, now).unwrap_err().field.as_deref(),
                Some(field)
            );
        }
    }
}
