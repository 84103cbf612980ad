//! What callers send and are answered about retention.

use aim_core::{AgentId, Error, Id, Result, Timestamp};
use aim_platform::RetentionClass;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The fewest days that anything is kept: longer than an action can wait for its approval.
pub const LEAST_DAYS: i64 = 8;
/// The most days that can be asked for.
pub const MOST_DAYS: i64 = 3_650;

/// Marks the ids of legal holds.
pub enum HoldKind {}
/// The id of a legal hold.
pub type HoldId = Id<HoldKind>;

/// How many days each class of data is kept; `null` keeps it for good, which is the default. All five are
/// sent, so that nothing changes by being left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// What agents asked for: arguments, resource and address of each decision. The verdict stays.
    #[serde(deserialize_with = "present")]
    #[schema(minimum = 8, maximum = 3650, required)]
    pub decision_inputs_days: Option<i64>,
    /// Violations, with their totals.
    #[serde(deserialize_with = "present")]
    #[schema(minimum = 8, maximum = 3650, required)]
    pub violations_days: Option<i64>,
    /// Personal details beside the leaves of the audit log. The leaves stay.
    #[serde(deserialize_with = "present")]
    #[schema(minimum = 8, maximum = 3650, required)]
    pub audit_details_days: Option<i64>,
    /// Counts of activity by hour.
    #[serde(deserialize_with = "present")]
    #[schema(minimum = 8, maximum = 3650, required)]
    pub activity_days: Option<i64>,
    /// What was delivered to webhooks and mailboxes.
    #[serde(deserialize_with = "present")]
    #[schema(minimum = 8, maximum = 3650, required)]
    pub deliveries_days: Option<i64>,
}

/// Reads a member that may be `null` but must be there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<i64>, D::Error> {
    Option::deserialize(deserializer)
}

impl RetentionSettings {
    /// The days of a class.
    #[must_use]
    pub const fn days(&self, class: RetentionClass) -> Option<i64> {
        match class {
            RetentionClass::DecisionInputs => self.decision_inputs_days,
            RetentionClass::Violations => self.violations_days,
            RetentionClass::AuditDetails => self.audit_details_days,
            RetentionClass::Activity => self.activity_days,
            RetentionClass::Deliveries => self.deliveries_days,
        }
    }

    /// Whether everything is kept for good.
    #[must_use]
    pub fn keeps_everything(&self) -> bool {
        RetentionClass::ALL
            .iter()
            .all(|class| self.days(*class).is_none())
    }

    /// Checks what was sent.
    ///
    /// # Errors
    /// Names the class whose days are out of range.
    pub fn check(&self) -> Result<()> {
        for class in RetentionClass::ALL {
            if let Some(days) = self.days(class)
                && !(LEAST_DAYS..=MOST_DAYS).contains(&days)
            {
                return Err(Error::field(
                    format!("{class}_days"),
                    format!(
                        "{days} days are out of range; use {LEAST_DAYS} to {MOST_DAYS}, or null to keep it for good"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// How a class of data is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassView {
    /// `decision_inputs`, `violations`, `audit_details`, `activity` or `deliveries`.
    pub class: String,
    /// How many days it is kept; none keeps it for good.
    pub days: Option<i64>,
    /// The moment before which nothing of it shall be left.
    pub due_before: Option<Timestamp>,
    /// The oldest that is there and not held.
    pub oldest_at: Option<Timestamp>,
    /// When it was last trimmed.
    pub last_run_at: Option<Timestamp>,
    /// How many rows were removed or erased since the beginning.
    pub trimmed: i64,
}

/// The settings, and how far they are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetentionView {
    /// The settings.
    pub settings: RetentionSettings,
    /// Who changed them last, as `kind:id`; none if nobody has.
    pub updated_by: Option<String>,
    /// When.
    pub updated_at: Option<Timestamp>,
    /// Class by class.
    pub classes: Vec<ClassView>,
    /// How many holds are in force.
    pub holds: i64,
}

/// A legal hold to be placed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// The agent whose data is held; left out, everything of the organisation is.
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    pub agent_id: Option<AgentId>,
    /// Why, in 3 to 500 characters.
    pub reason: String,
}

impl NewHold {
    /// Checks what was sent.
    ///
    /// # Errors
    /// Names `reason`.
    pub fn check(&self) -> Result<()> {
        let length = self.reason.trim().chars().count();
        if (3..=500).contains(&length) && !self.reason.contains('\0') {
            Ok(())
        } else {
            let detail = format!("reason has 3 to 500 characters; this one has {length}");
            Err(Error::field("reason", detail))
        }
    }
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// The hold.
    #[schema(value_type = Uuid)]
    pub id: HoldId,
    /// The agent; none for the whole organisation.
    pub agent_id: Option<AgentId>,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// Why.
    pub reason: String,
    /// Who placed it, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// The holds in force, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldList {
    /// The holds.
    pub holds: Vec<HoldView>,
}
