//! What callers are answered about compliance.

use aim_core::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// The data shows that the rule is kept.
    Pass,
    /// The data shows that it is not.
    Fail,
    /// The data shows neither.
    NotEvidenced,
}

impl CheckResult {
    /// The result's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEvidenced => "not_evidenced",
        }
    }
}

/// Something that a check is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// What sort of thing: `agent`, `agent_key`, `grant`, `user`, `alert`, `audit_verification` or `retention`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What there is to say about it, in words.
    pub detail: String,
    /// Where the console shows it.
    pub href: String,
    /// The moment that matters: when it expires, was last used, was seen.
    pub at: Option<Timestamp>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// A name that stays, such as `keys_expiring`.
    pub id: String,
    /// What it is about, in a few words.
    pub title: String,
    /// The rule, in words.
    pub rule: String,
    /// How it came out.
    pub result: CheckResult,
    /// What was found, in a sentence.
    pub finding: String,
    /// How many objects are behind it.
    pub total: i64,
    /// The objects, at most fifty.
    pub objects: Vec<Evidence>,
}

/// How many checks came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// Kept.
    pub pass: i64,
    /// Not kept.
    pub fail: i64,
    /// Neither is shown.
    pub not_evidenced: i64,
}

/// The status of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceStatus {
    /// When it was computed.
    pub computed_at: Timestamp,
    /// The sum of it.
    pub summary: Summary,
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
}
