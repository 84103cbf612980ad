//! How much an action can harm, how bad a denied attempt is, and what it costs in trust. Three tables and
//! no judgement; the same for every organisation, so that figures can be compared.
//!
//! **Risk of an action.** The name is split at `:`, `_`, `.` and `-`; letter case is ignored; the riskiest
//! word counts; a name without a known word is *medium*.
//!
//! | risk | words |
//! |---|---|
//! | low | `read` `list` `get` `search` `view` `query` `fetch` `describe` `count` `status` `check` `ping` `find` `lookup` `show` |
//! | medium | `write` `update` `send` `create` `post` `put` `patch` `edit` `insert` `upload` `modify` `set` `add` `notify` `publish` `call` `invoke` |
//! | high | `delete` `remove` `drop` `purge` `truncate` `destroy` `export` `transfer` `pay` `payment(s)` `refund` `purchase` `withdraw` `execute` `exec` `run` `shell` `eval` `deploy` `install` `terminate` `shutdown` |
//! | critical | `admin` `root` `sudo` `superuser` `impersonate` `credential(s)` `secret(s)` `password(s)` `key(s)` `token(s)` `grant(s)` `permission(s)` `role(s)` `policy` `policies` `privilege(s)` |
//!
//! **Severity of a denied action.** "Risk" is the action's; "one below" is the next lower level, at least
//! low. The worst reason counts, except among grants that nearly fitted: there the nearest (least severe).
//!
//! | reason | severity |
//! |---|---|
//! | `agent.revoked`, `key.revoked` | critical |
//! | `agent.suspended`, `key.unknown`, `credential.address_not_allowed`, `resource.not_canonical`, `policy.denied`, `capability.denied` | the risk, at least high |
//! | `key.expired`, `key.grace_ended` | one below the risk, at least medium |
//! | `credential.capability_not_included`, `credential.secret_not_included`, `capability.not_granted` | the risk |
//! | `grant.expired`, `scope.resource`, `scope.context`, `scope.time_window` | one below the risk |
//! | `scope.rate_limit` | low |
//!
//! **Impact on the trust score.** low −1, medium −3, high −7, critical −15; 0 unless denied.

use crate::capability::CapabilityName;
use crate::reason::ReasonCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much harm an action can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Looks at things.
    Low,
    /// Changes things, or is unknown.
    Medium,
    /// Destroys, moves value or data out, or runs code.
    High,
    /// Touches who may do what.
    Critical,
}

/// How bad a denied attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth counting.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a look today.
    High,
    /// Worth waking somebody.
    Critical,
}

const LOW: &[&str] = &[
    "read", "list", "get", "search", "view", "query", "fetch", "describe", "count", "status", "check",
    "ping", "find", "lookup", "show",
];
const MEDIUM: &[&str] = &[
    "write", "update", "send", "create", "post", "put", "patch", "edit", "insert", "upload", "modify", "set",
    "add", "notify", "publish", "call", "invoke",
];
const HIGH: &[&str] = &[
    "delete",
    "remove",
    "drop",
    "purge",
    "truncate",
    "destroy",
    "export",
    "transfer",
    "pay",
    "payment",
    "payments",
    "refund",
    "purchase",
    "withdraw",
    "execute",
    "exec",
    "run",
    "shell",
    "eval",
    "deploy",
    "install",
    "terminate",
    "shutdown",
];
const CRITICAL: &[&str] = &[
    "admin",
    "root",
    "sudo",
    "superuser",
    "impersonate",
    "credential",
    "credentials",
    "secret",
    "secrets",
    "password",
    "passwords",
    "key",
    "keys",
    "token",
    "tokens",
    "grant",
    "grants",
    "permission",
    "permissions",
    "role",
    "roles",
    "policy",
    "policies",
    "privilege",
    "privileges",
];

/// The words of each risk, least risky first: the table of this module, for documentation.
pub const RISK_WORDS: [(Risk, &[&str]); 4] = [
    (Risk::Low, LOW),
    (Risk::Medium, MEDIUM),
    (Risk::High, HIGH),
    (Risk::Critical, CRITICAL),
];

impl Risk {
    /// The risk of an action by the words in its name.
    #[must_use]
    pub fn of(action: &CapabilityName) -> Self {
        action
            .as_str()
            .split([':', '_', '.', '-'])
            .filter_map(Self::of_word)
            .max()
            .unwrap_or(Self::Medium)
    }

    fn of_word(word: &str) -> Option<Self> {
        let known = |words: &[&str]| words.iter().any(|candidate| candidate.eq_ignore_ascii_case(word));
        RISK_WORDS
            .iter()
            .find_map(|(risk, words)| known(words).then_some(*risk))
    }

    /// The name as it is serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.severity().as_str()
    }

    fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

impl Severity {
    /// The name as it is serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of a denial for one reason; see the module's table. For a reason that does not deny,
    /// low.
    #[must_use]
    pub fn of(code: ReasonCode, risk: Risk) -> Self {
        let risk = risk.severity();
        match code {
            ReasonCode::AgentRevoked | ReasonCode::KeyRevoked => Self::Critical,
            ReasonCode::AgentSuspended
            | ReasonCode::KeyUnknown
            | ReasonCode::CredentialAddressNotAllowed
            | ReasonCode::ResourceNotCanonical
            | ReasonCode::PolicyDenied
            | ReasonCode::CapabilityDenied => risk.max(Self::High),
            ReasonCode::KeyExpired | ReasonCode::KeyGraceEnded => risk.one_below().max(Self::Medium),
            ReasonCode::CredentialCapabilityNotIncluded
            | ReasonCode::CredentialSecretNotIncluded
            | ReasonCode::CapabilityNotGranted => risk,
            ReasonCode::GrantExpired
            | ReasonCode::ScopeResource
            | ReasonCode::ScopeContext
            | ReasonCode::ScopeTimeWindow => risk.one_below(),
            ReasonCode::ScopeRateLimit
            | ReasonCode::PolicyApprovalRequired
            | ReasonCode::GrantApprovalRequired
            | ReasonCode::ApprovalRequested
            | ReasonCode::Granted => Self::Low,
        }
    }

    fn one_below(self) -> Self {
        match self {
            Self::Low | Self::Medium => Self::Low,
            Self::High => Self::Medium,
            Self::Critical => Self::High,
        }
    }

    /// What a violation of this severity takes from the trust score; never positive.
    #[must_use]
    pub fn trust_score_impact(self) -> i32 {
        match self {
            Self::Low => -1,
            Self::Medium => -3,
            Self::High => -7,
            Self::Critical => -15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk(action: &str) -> Risk {
        Risk::of(&CapabilityName::try_from(action).unwrap())
    }

    #[test]
    fn the_riskiest_word_of_a_name_decides() {
        for (action, expected) in [
            ("db:read", Risk::Low),
            ("read_database", Risk::Low),
            ("GET-users", Risk::Low),
            ("send_email", Risk::Medium),
            ("crm.contacts:update", Risk::Medium),
            ("db:read:export", Risk::High),
            ("list_then_delete", Risk::High),
            ("secret:read", Risk::Critical),
            ("api_key:list", Risk::Critical),
            ("admin:view", Risk::Critical),
        ] {
            assert_eq!(risk(action), expected, "{action}");
        }
    }

    #[test]
    fn a_name_without_a_known_word_is_medium() {
        for action in ["frobnicate", "reader", "deleted", "x:y"] {
            assert_eq!(risk(action), Risk::Medium, "{action}");
        }
    }

    #[test]
    fn every_word_stands_in_one_row_of_the_table() {
        let mut words: Vec<&str> = RISK_WORDS
            .iter()
            .flat_map(|(_, words)| words.iter().copied())
            .collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn severity_follows_the_table() {
        let rows: &[(ReasonCode, [Severity; 4])] = {
            use Severity::{Critical, High, Low, Medium};
            &[
                (ReasonCode::AgentRevoked, [Critical; 4]),
                (ReasonCode::KeyRevoked, [Critical; 4]),
                (ReasonCode::AgentSuspended, [High, High, High, Critical]),
                (ReasonCode::KeyUnknown, [High, High, High, Critical]),
                (
                    ReasonCode::CredentialAddressNotAllowed,
                    [High, High, High, Critical],
                ),
                (
                    ReasonCode::CredentialSecretNotIncluded,
                    [Low, Medium, High, Critical],
                ),
                (ReasonCode::ResourceNotCanonical, [High, High, High, Critical]),
                (ReasonCode::PolicyDenied, [High, High, High, Critical]),
                (ReasonCode::CapabilityDenied, [High, High, High, Critical]),
                (ReasonCode::KeyExpired, [Medium, Medium, Medium, High]),
                (ReasonCode::KeyGraceEnded, [Medium, Medium, Medium, High]),
                (
                    ReasonCode::CredentialCapabilityNotIncluded,
                    [Low, Medium, High, Critical],
                ),
                (ReasonCode::CapabilityNotGranted, [Low, Medium, High, Critical]),
                (ReasonCode::GrantExpired, [Low, Low, Medium, High]),
                (ReasonCode::ScopeResource, [Low, Low, Medium, High]),
                (ReasonCode::ScopeContext, [Low, Low, Medium, High]),
                (ReasonCode::ScopeTimeWindow, [Low, Low, Medium, High]),
                (ReasonCode::ScopeRateLimit, [Low; 4]),
            ]
        };
        for (code, expected) in rows {
            let actual =
                [Risk::Low, Risk::Medium, Risk::High, Risk::Critical].map(|risk| Severity::of(*code, risk));
            assert_eq!(actual, *expected, "{code}");
        }
    }

    #[test]
    fn a_worse_violation_costs_more_trust() {
        let impacts = [
            Severity::Low,
            Severity::Medium,
            Severity::High,
            Severity::Critical,
        ]
        .map(Severity::trust_score_impact);
        assert_eq!(impacts, [-1, -3, -7, -15]);
    }
}
