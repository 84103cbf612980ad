//! What callers ask and what they are answered.

use aim_core::{AgentId, DecisionId, Error, Result, Timestamp};
use aim_decision::{CapabilityName, Decider, Reason, Risk, Severity, check_context};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// The longest resource name, in bytes.
pub const MAX_RESOURCE: usize = 2048;
/// The largest context, in bytes of JSON.
pub const MAX_CONTEXT: usize = 64 * 1024;

/// What an agent wants to do.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// The capability it takes, such as `db:read`.
    #[schema(example = "db:read")]
    pub action: String,
    /// What it is done to, such as `customers/42`.
    #[serde(default)]
    #[schema(example = "customers/42")]
    pub resource: Option<String>,
    /// The arguments, for the constraints of grants; at most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// Whether a person shall approve it even where the grant does not ask for that.
    #[serde(default)]
    pub approval_requested: bool,
}

impl ActionRequest {
    /// Checks form and size.
    ///
    /// # Errors
    /// Names `action`, `resource` or `context`.
    pub fn check(&self) -> Result<CapabilityName> {
        let action = CapabilityName::try_from(self.action.clone())
            .map_err(|error| Error::field("action", error.to_string()))?;
        if self
            .resource
            .as_ref()
            .is_some_and(|resource| resource.len() > MAX_RESOURCE)
        {
            return Err(Error::field(
                "resource",
                format!("a resource has at most {MAX_RESOURCE} bytes"),
            ));
        }
        check_context(&self.context).map_err(|error| Error::field("context", error.to_string()))?;
        let size = serde_json::to_string(&self.context).map_or(usize::MAX, |text| text.len());
        if size > MAX_CONTEXT {
            return Err(Error::field(
                "context",
                format!("a context has at most {MAX_CONTEXT} bytes of JSON"),
            ));
        }
        Ok(action)
    }
}

/// Where a decision stands in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPlace {
    /// The index of its leaf.
    pub leaf_index: i64,
    /// SHA-256 of the leaf (RFC 6962 §2.1) in hex, when the answer is to the action itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_hash: Option<String>,
}

/// A decision as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// The decision's id.
    pub id: DecisionId,
    /// The agent that asked.
    pub agent_id: AgentId,
    /// `approved`, `denied` or `pending`. Only `approved` allows the action.
    pub status: String,
    /// What was asked.
    pub action: String,
    /// What it was to be done to.
    pub resource: Option<String>,
    /// Why, in the fixed order of evaluation.
    pub reasons: Vec<Reason>,
    /// The codes of the reasons, for programs.
    pub reason_codes: Vec<String>,
    /// The grant or policy that decided.
    pub decided_by: Option<Decider>,
    /// How much harm the action can do.
    pub risk: Risk,
    /// How bad the attempt was, if it was denied.
    pub severity: Option<Severity>,
    /// The reasons as one sentence, if denied.
    pub denial_reason: Option<String>,
    /// SHA-256 of the recorded inputs, in hex: what an approval repeats.
    pub request_digest: String,
    /// When it was decided.
    pub created_at: Timestamp,
    /// Until when a person may approve it, if it is or was pending.
    pub expires_at: Option<Timestamp>,
    /// Who approved it (`user:…`), if a person did.
    pub approved_by: Option<String>,
    /// What the person said.
    pub review_note: Option<String>,
    /// Where it stands in the audit log.
    pub audit: AuditPlace,
}

/// How an approved action ended.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultReport {
    /// `success` or `failure`.
    #[schema(example = "success")]
    pub outcome: String,
    /// What came out, in a few words; at most 2,000 characters.
    #[serde(default)]
    pub summary: Option<String>,
    /// What went wrong; at most 2,000 characters.
    #[serde(default)]
    pub error_message: Option<String>,
}

impl ResultReport {
    /// Checks form and size.
    ///
    /// # Errors
    /// Names `outcome`, `summary` or `error_message`.
    pub fn check(&self) -> Result<()> {
        if !matches!(self.outcome.as_str(), "success" | "failure") {
            return Err(Error::field("outcome", "outcome is success or failure"));
        }
        for (field, text) in [("summary", &self.summary), ("error_message", &self.error_message)] {
            if text.as_ref().is_some_and(|text| text.chars().count() > 2_000) {
                return Err(Error::field(field, "at most 2,000 characters"));
            }
        }
        Ok(())
    }
}

/// A report as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultView {
    /// The decision.
    pub decision_id: DecisionId,
    /// `success` or `failure`.
    pub outcome: String,
    /// Whether the agent proved who it is when it reported.
    pub authenticated: bool,
    /// When it was reported.
    pub reported_at: Timestamp,
}

/// A person's answer to a pending action.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewRequest {
    /// The `request_digest` of what the person saw; an approval must repeat it.
    #[serde(default)]
    pub digest: Option<String>,
    /// Why; at most 1,000 characters.
    #[serde(default)]
    pub note: Option<String>,
}

/// Which decisions a list shows.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DecisionFilter {
    /// Only this agent's.
    pub agent_id: Option<AgentId>,
    /// `approved`, `denied` or `pending`.
    pub status: Option<String>,
    /// Only those decided at this moment (RFC 3339) or later.
    #[param(value_type = Option<Timestamp>)]
    pub from: Option<String>,
    /// Only those decided before this moment (RFC 3339).
    #[param(value_type = Option<Timestamp>)]
    pub to: Option<String>,
    /// At most this many, 1 to 100; 20 unless told.
    pub limit: Option<i64>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of decisions, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionList {
    /// The decisions.
    pub verifications: Vec<DecisionView>,
    /// The page's size.
    pub limit: i64,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}
