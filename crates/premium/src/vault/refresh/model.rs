//! What is known of a refresh, and when the next one is due.

use aim_core::Timestamp;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::RefreshRow;

/// How long before its end an access token is refreshed, at most.
const EARLY: TimeDelta = TimeDelta::seconds(300);
/// When to refresh a token whose end the endpoint does not tell.
pub(super) const UNTOLD: TimeDelta = TimeDelta::hours(1);
/// The longest pause after failures, in minutes.
const LONGEST_PAUSE: i64 = 60;

/// How AIM refreshes a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefreshView {
    /// How it stands.
    pub state: RefreshState,
    /// When it is refreshed next; null when it needs a person.
    pub next_at: Option<Timestamp>,
    /// When it was refreshed last.
    pub refreshed_at: Option<Timestamp>,
    /// How often in a row it failed.
    pub failures: i64,
    /// Why it failed last; never a token.
    pub last_error: Option<String>,
    /// When the last call went out whose answer never came. The endpoint may have exchanged the refresh token then.
    pub lost_at: Option<Timestamp>,
}

impl RefreshView {
    pub(super) fn of(row: RefreshRow) -> Self {
        let state = match (row.next_at, row.failures) {
            (None, _) => RefreshState::NeedsAttention,
            (Some(_), 0) => RefreshState::Scheduled,
            (Some(_), _) => RefreshState::Failing,
        };
        Self {
            state,
            next_at: row.next_at,
            refreshed_at: row.refreshed_at,
            failures: row.failures,
            last_error: row.last_error,
            lost_at: row.lost_at,
        }
    }
}

/// How the refresh of a secret stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshState {
    /// The next one is due at its time.
    Scheduled,
    /// It failed, and is tried again.
    Failing,
    /// It was refused for good: write the secret anew.
    NeedsAttention,
}

impl RefreshState {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Failing => "failing",
            Self::NeedsAttention => "needs_attention",
        }
    }
}

/// Which secret is to be refreshed now.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The secret's path.
    #[schema(example = "google/calendar")]
    pub path: String,
}

/// What a refresh came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefreshReply {
    /// The secret.
    pub path: String,
    /// What it came to.
    pub outcome: RefreshOutcome,
    /// Its newest version.
    pub current_version: i64,
    /// How the refresh stands.
    pub refresh: RefreshView,
}

/// What a refresh came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshOutcome {
    /// There is a new version with a fresh access token.
    Refreshed,
    /// It failed; `refresh.last_error` says why.
    Failed,
}

/// When a token that ends then is refreshed: a fifth of its life before, at most five minutes.
pub(super) fn before(now: Timestamp, end: Timestamp) -> Timestamp {
    let early = ((end - now) / 5).min(EARLY);
    (end - early).max(now)
}

/// When to try again after so many failures in a row.
pub(super) fn pause_after(failures: i64) -> TimeDelta {
    let doubled = u32::try_from(failures.clamp(1, 10) - 1).unwrap_or_default();
    TimeDelta::minutes((1_i64 << doubled).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_refreshed_before_its_end_and_never_in_the_past() {
        let now = Timestamp::parse("2026-11-24T00:00:00Z").unwrap();
        let after = |seconds: i64| before(now, now + TimeDelta::seconds(seconds)) - now;
        assert_eq!(after(3600), TimeDelta::seconds(3300));
        assert_eq!(after(100), TimeDelta::seconds(80));
        assert_eq!(after(0), TimeDelta::zero());
        assert_eq!(after(-50), TimeDelta::zero());
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let minutes: Vec<i64> = [1, 2, 3, 6, 7, 50]
            .map(|failures| pause_after(failures).num_minutes())
            .to_vec();
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60]);
    }
}
