//! What callers send and are answered about violations.

use aim_core::{AgentId, DecisionId, Error, Result, Timestamp, ViolationId};
use aim_decision::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    groups::GroupRow,
    store::ViolationRow,
    triage::{TriageFilter, TriageState, TriageView},
    window::Window,
};
use crate::{export, parameters};

/// Every severity, mildest first.
pub(super) const SEVERITIES: [Severity; 4] = [
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

/// Which violations are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of one of these severities, each named once; empty means any.
    pub severities: Vec<Severity>,
    /// Attempts at exactly this capability.
    pub capability: Option<String>,
    /// Stopped, or let pass.
    pub blocked: Option<bool>,
    /// Within this time.
    pub window: Window,
    /// In some of the states that people set; nothing means any.
    pub triage: Option<TriageFilter>,
}

impl Filter {
    /// The names of the wanted severities; empty means any.
    #[must_use]
    pub fn severity_names(&self) -> Vec<&'static str> {
        self.severities.iter().map(|severity| severity.as_str()).collect()
    }
}

/// The filters of a list of violations, as they are sent.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ViolationQuery {
    /// Only of this severity (`low`, `medium`, `high`, `critical`); may be repeated.
    #[serde(default)]
    #[param(value_type = Vec<Severity>)]
    pub severity: Vec<String>,
    /// Only since this moment (RFC 3339), inclusive.
    #[serde(default)]
    #[param(value_type = Option<Timestamp>)]
    pub from: Option<String>,
    /// Only before this moment (RFC 3339), exclusive.
    #[serde(default)]
    #[param(value_type = Option<Timestamp>)]
    pub to: Option<String>,
    /// Only attempts at exactly this capability.
    #[serde(default)]
    pub capability: Option<String>,
    /// Only those that were stopped (`true`) or let pass (`false`).
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub blocked: Option<String>,
    /// Only in this state (`open`, `acknowledged`, `resolved`, `suppressed`); may be repeated.
    #[serde(default)]
    #[param(value_type = Vec<TriageState>)]
    pub state: Vec<String>,
    /// The size of the page, 1 to 100; 20 if left out. A CSV file has no pages.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// How many to skip.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 0, maximum = 100_000)]
    pub offset: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// `json` for a page, `csv` for the whole filtered set; it goes before `Accept`.
    #[serde(default)]
    pub format: Option<String>,
}

impl ViolationQuery {
    /// The filter that is asked for.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub fn filter(&self, agent: Option<AgentId>, now: Timestamp) -> Result<Filter> {
        let severities = severities_of(&self.severity)?;
        let (from, to) = parameters::range(self.from.as_deref(), self.to.as_deref())?;
        Ok(Filter {
            agent,
            severities,
            capability: parameters::word("capability", self.capability.as_deref())?,
            blocked: parameters::boolean("blocked", self.blocked.as_deref())?,
            window: Window { from, to },
            triage: TriageFilter::parse(&self.state, now)?,
        })
    }
}

/// The severities of these names, each once; none when they are all.
pub(super) fn severities_of(names: &[String]) -> Result<Vec<Severity>> {
    let mut severities = names
        .iter()
        .map(|name| severity_of(name))
        .collect::<Result<Vec<_>>>()?;
    severities.sort_unstable();
    severities.dedup();
    if severities.len() == SEVERITIES.len() {
        severities.clear();
    }
    Ok(severities)
}

fn severity_of(name: &str) -> Result<Severity> {
    SEVERITIES
        .into_iter()
        .find(|severity| severity.as_str() == name)
        .ok_or_else(|| Error::field("severity", "severity is low, medium, high or critical"))
}

/// A denied attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ViolationView {
    /// The violation.
    pub id: ViolationId,
    /// The agent that tried.
    pub agent_id: AgentId,
    /// Its name at that moment.
    pub agent_name: String,
    /// What it tried to do.
    pub attempted_capability: String,
    /// To what, if it said so.
    pub resource: Option<String>,
    /// The capabilities it held at that moment.
    pub registered_capabilities: Vec<String>,
    /// How bad it is: `low`, `medium`, `high` or `critical`.
    #[schema(value_type = Severity)]
    pub severity: String,
    /// What it takes from the trust score; never positive.
    pub trust_score_impact: i64,
    /// Whether the action was stopped.
    pub is_blocked: bool,
    /// The caller's address.
    pub source_ip: Option<String>,
    /// What came with the call.
    #[schema(value_type = Object)]
    pub request_metadata: Value,
    /// Why it was denied, as stable codes, the primary one first.
    pub reason_codes: Vec<String>,
    /// The decision that denied it.
    pub decision_id: DecisionId,
    /// When.
    pub created_at: Timestamp,
    /// What people made of it.
    pub state: TriageState,
    /// Who did, when and why; nothing while nobody has.
    pub triage: Option<TriageView>,
}

impl ViolationView {
    /// The violation with what people made of it.
    #[must_use]
    pub fn of(row: ViolationRow, triage: Option<TriageView>) -> Self {
        Self {
            id: row.id,
            agent_id: row.agent_id,
            agent_name: row.agent_name,
            attempted_capability: row.attempted_capability,
            resource: row.resource,
            registered_capabilities: row.registered_capabilities.strings(),
            severity: row.severity,
            trust_score_impact: row.trust_score_impact,
            is_blocked: row.is_blocked,
            source_ip: row.source_ip,
            request_metadata: row.request_metadata.0,
            reason_codes: row.reason_codes.strings(),
            decision_id: row.decision_id,
            created_at: row.created_at,
            state: triage.as_ref().map_or(TriageState::Open, |triage| triage.state),
            triage,
        }
    }
}

impl ViolationView {
    /// The first line of a CSV file.
    pub const CSV_HEADER: [&'static str; 15] = [
        "id",
        "created_at",
        "agent_id",
        "agent_name",
        "attempted_capability",
        "resource",
        "severity",
        "is_blocked",
        "trust_score_impact",
        "reason_codes",
        "registered_capabilities",
        "source_ip",
        "decision_id",
        "request_metadata",
        "state",
    ];

    /// The violation as a line of a CSV file, in the order of [`Self::CSV_HEADER`]. Lists are joined by
    /// spaces, which neither codes nor capabilities contain; what came with the call stays JSON.
    #[must_use]
    pub fn csv_record(&self) -> [String; 15] {
        let text = |text: &str| export::defused(text).into_owned();
        [
            self.id.to_string(),
            self.created_at.to_text(),
            self.agent_id.to_string(),
            text(&self.agent_name),
            text(&self.attempted_capability),
            text(self.resource.as_deref().unwrap_or_default()),
            text(&self.severity),
            self.is_blocked.to_string(),
            self.trust_score_impact.to_string(),
            text(&self.reason_codes.join(" ")),
            text(&self.registered_capabilities.join(" ")),
            text(self.source_ip.as_deref().unwrap_or_default()),
            self.decision_id.to_string(),
            text(&self.request_metadata.to_string()),
            self.state.as_str().to_owned(),
        ]
    }
}

/// A page of violations, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ViolationList {
    /// The violations.
    pub violations: Vec<ViolationView>,
    /// How many the filter selects on all pages; exact.
    pub total: i64,
    /// The size of the page.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Repeats of one violation seen as one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ViolationGroupView {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name at the latest violation.
    pub agent_name: String,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denials.
    pub reason_code: String,
    /// The severity of the latest violation.
    #[schema(value_type = Severity)]
    pub severity: String,
    /// How many there are.
    pub count: i64,
    /// When the first one happened.
    pub first_seen_at: Timestamp,
    /// When the latest one happened.
    pub last_seen_at: Timestamp,
    /// The latest one.
    pub last_violation_id: ViolationId,
    /// What people made of them; `open` again once there is one more than they had seen.
    pub state: TriageState,
    /// Who last did, when and why; it may stand beside `open`.
    pub triage: Option<TriageView>,
}

impl ViolationGroupView {
    /// The group with what people made of it, which covers it up to the latest violation or not.
    #[must_use]
    pub fn of(row: GroupRow, triage: Option<TriageView>, covered: bool) -> Self {
        Self {
            agent_id: row.agent_id,
            agent_name: row.agent_name,
            attempted_capability: row.attempted_capability,
            reason_code: row.reason_code,
            severity: row.severity,
            count: row.count,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            last_violation_id: row.last_violation_id,
            state: triage
                .as_ref()
                .filter(|_| covered)
                .map_or(TriageState::Open, |triage| triage.state),
            triage,
        }
    }
}

/// A page of groups, the one seen last first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ViolationGroupList {
    /// The groups.
    pub groups: Vec<ViolationGroupView>,
    /// How many there are on all pages.
    pub total: i64,
    /// The size of the page.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which groups are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Whose latest violation has one of these severities, each named once; empty means any.
    pub severities: Vec<Severity>,
    /// Attempts at exactly this capability.
    pub capability: Option<String>,
    /// Seen within this time, as far as first and last tell.
    pub window: Window,
    /// In some of the states that people set; nothing means any.
    pub triage: Option<TriageFilter>,
}

/// Which groups to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupQuery {
    /// Only those whose latest violation is of this severity (`low`, `medium`, `high`, `critical`); may be
    /// repeated.
    #[serde(default)]
    #[param(value_type = Vec<Severity>)]
    pub severity: Vec<String>,
    /// Only those last seen since this moment (RFC 3339), inclusive.
    #[serde(default)]
    #[param(value_type = Option<Timestamp>)]
    pub from: Option<String>,
    /// Only those first seen before this moment (RFC 3339), exclusive.
    #[serde(default)]
    #[param(value_type = Option<Timestamp>)]
    pub to: Option<String>,
    /// Only attempts at exactly this capability.
    #[serde(default)]
    pub capability: Option<String>,
    /// Only in this state (`open`, `acknowledged`, `resolved`, `suppressed`); may be repeated.
    #[serde(default)]
    #[param(value_type = Vec<TriageState>)]
    pub state: Vec<String>,
    /// The size of the page, 1 to 100; 20 if left out.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// How many to skip.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 0, maximum = 100_000)]
    pub offset: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl GroupQuery {
    /// The filter that is asked for.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub fn filter(&self, agent: Option<AgentId>, now: Timestamp) -> Result<GroupFilter> {
        let (from, to) = parameters::range(self.from.as_deref(), self.to.as_deref())?;
        Ok(GroupFilter {
            agent,
            severities: severities_of(&self.severity)?,
            capability: parameters::word("capability", self.capability.as_deref())?,
            window: Window { from, to },
            triage: TriageFilter::parse(&self.state, now)?,
        })
    }
}
