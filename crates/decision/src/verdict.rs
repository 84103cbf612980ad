//! The answer of a decision.

use crate::reason::Reason;
use crate::risk::{Risk, Severity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What becomes of the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may happen now.
    Approved,
    /// It may not happen.
    Denied,
    /// It may happen if a person approves it.
    Pending,
}

impl Outcome {
    /// The name as it is serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Pending => "pending",
        }
    }
}

/// What kind of rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeciderKind {
    /// A grant of the agent.
    Grant,
    /// A policy of the organisation.
    Policy,
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decider {
    /// What it is.
    pub kind: DeciderKind,
    /// Which one it is.
    pub id: Uuid,
}

/// The answer to one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// What becomes of the action.
    pub outcome: Outcome,
    /// Why, in the fixed order of evaluation; never empty.
    pub reasons: Vec<Reason>,
    /// The grant or policy that decided; none if the absence of one did, or the state of agent or key.
    pub decided_by: Option<Decider>,
    /// How much harm the action can do.
    pub risk: Risk,
    /// How bad the attempt was; only if denied.
    pub severity: Option<Severity>,
    /// What the attempt takes from the trust score; 0 unless denied.
    pub trust_score_impact: i32,
    /// The rate-limited grant whose counter goes up when the action is approved: now if `outcome` is
    /// approved, on a person's approval if it is pending.
    pub counted_grant: Option<Uuid>,
}
