//! What retention trims: each capability says which of its tables grow with use and how a part of one is
//! trimmed. When, and what is held back for legal reasons, is decided by those who keep the settings.

use std::fmt;

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_store::{Db, Result};

/// What one setting covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionClass {
    /// What agents asked for: arguments, resources and addresses of decisions.
    DecisionInputs,
    /// Violations, with their counts and groups.
    Violations,
    /// Personal details beside the audit log's leaves.
    AuditDetails,
    /// Counts of activity by hour.
    Activity,
    /// What was delivered to webhooks and mailboxes, and the answers.
    Deliveries,
}

impl RetentionClass {
    /// Every class, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::DecisionInputs,
        Self::Violations,
        Self::AuditDetails,
        Self::Activity,
        Self::Deliveries,
    ];

    /// The class's name, as settings and records have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DecisionInputs => "decision_inputs",
            Self::Violations => "violations",
            Self::AuditDetails => "audit_details",
            Self::Activity => "activity",
            Self::Deliveries => "deliveries",
        }
    }
}

impl fmt::Display for RetentionClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What may be trimmed now.
#[derive(Debug, Clone)]
pub struct Trim {
    /// Whose rows.
    pub organization: OrganizationId,
    /// Only what is older than this moment.
    pub before: Timestamp,
    /// Nothing of these agents: they are under a legal hold.
    pub held: Vec<AgentId>,
    /// Where the piece before this one ended.
    pub after: Option<String>,
    /// How many rows may be looked at: a piece is one short transaction.
    pub limit: i64,
}

/// What a piece did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// How many rows were removed or erased.
    pub changed: usize,
    /// Where it ended; rows before that need not be looked at again. None if there was nothing to look at.
    pub reached: Option<String>,
    /// Whether there may be more.
    pub more: bool,
}

/// Finds the time of the oldest row of an organisation, without these agents, behind a place that was reached.
pub type Oldest = fn(&mut Db, OrganizationId, &[AgentId], Option<&str>) -> Result<Option<Timestamp>>;

/// A table, or a part of one, that retention trims.
#[derive(Clone, Copy)]
pub struct Retained {
    /// A name that stays: the row of its progress has it.
    pub name: &'static str,
    /// The setting that it obeys.
    pub class: RetentionClass,
    /// Trims a piece. Runs in a transaction, perhaps more than once, and leaves every total right.
    pub trim: fn(&mut Db, &Trim) -> Result<Trimmed>,
    /// The time of the oldest row that `trim` would still have to trim if everything were due; without the
    /// agents that are held. What lies before the place that trimming reached need not be looked at.
    pub oldest: Oldest,
}
