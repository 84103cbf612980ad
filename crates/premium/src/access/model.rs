//! Accesses to secrets, as callers see them and ask for them.

use aim_core::{AgentId, DecisionId, Error, GrantId, Id, PageRequest, Result, Timestamp};
use aim_monitoring::activity::model::Granularity;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::vault::path::{SecretPath, check_prefix};

/// The agent that stands for people in counts.
pub const PEOPLE: AgentId = AgentId::from_uuid(Uuid::nil());

/// The path that stands for all of an organisation's in counts by hour, those that are not there included.
pub(super) const ALL: &str = "";

/// Marks the ids of accesses.
#[derive(Debug, Clone, Copy)]
pub enum AccessKind {}
/// The id of an access: that of its decision, or of the record of a later delivery.
pub type AccessId = Id<AccessKind>;

/// Somebody asked for a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccessView {
    /// The access.
    pub id: AccessId,
    /// The decision that it comes from.
    pub decision_id: Option<DecisionId>,
    /// The secret's path, as it was asked for: there need be none.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The agent, if it was one.
    pub agent_id: Option<AgentId>,
    /// Who, as `kind:id`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// `approved`, `denied` or `pending`.
    pub outcome: String,
    /// The version: the one that was asked for, or the newest one at that moment, if the access was approved.
    pub version: Option<i64>,
    /// How it was handed over: `sealed`, `sealed_after_approval`, `exported`, or another word of a later kind; `nothing` if it
    /// was approved and there was nothing to hand over. Absent where nothing was to be.
    #[schema(example = "sealed")]
    pub delivery: Option<String>,
    /// The grant or policy that decided, as `grant:id` or `policy:id`.
    pub decided_by: Option<String>,
    /// The codes of the reasons.
    pub reason_codes: Vec<String>,
    /// From where, as far as it is known.
    pub source_ip: Option<String>,
    /// The record in the audit log.
    pub leaf_index: i64,
}

impl AccessView {
    /// The heads of the columns in a file.
    pub const CSV_HEADER: [&'static str; 13] = [
        "id",
        "decision_id",
        "path",
        "agent_id",
        "actor",
        "at",
        "outcome",
        "version",
        "delivery",
        "decided_by",
        "reason_codes",
        "source_ip",
        "leaf_index",
    ];

    /// A row of a file.
    #[must_use]
    pub fn csv_record(self) -> [String; 13] {
        let text = |value: Option<String>| value.unwrap_or_default();
        [
            self.id.to_string(),
            text(self.decision_id.map(|id| id.to_string())),
            self.path,
            text(self.agent_id.map(|id| id.to_string())),
            self.actor,
            self.at.to_text(),
            self.outcome,
            text(self.version.map(|version| version.to_string())),
            text(self.delivery),
            text(self.decided_by),
            self.reason_codes.join(" "),
            text(self.source_ip),
            self.leaf_index.to_string(),
        ]
        .map(|field| aim_violations::export::defused(&field).into_owned())
    }
}

/// A page of accesses, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccessList {
    /// The accesses.
    pub accesses: Vec<AccessView>,
    /// The size of the page.
    pub limit: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which accesses to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccessQuery {
    /// Only of this secret.
    #[serde(default)]
    pub path: Option<String>,
    /// Only of secrets whose paths begin like this.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only by this agent.
    #[serde(default)]
    #[param(value_type = Option<Uuid>)]
    pub agent_id: Option<String>,
    /// `approved`, `denied` or `pending`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// How it was handed over, such as `sealed`.
    #[serde(default)]
    pub delivery: Option<String>,
    /// Only at or after this moment (RFC 3339).
    #[serde(default)]
    pub since: Option<String>,
    /// Only before this moment (RFC 3339).
    #[serde(default)]
    pub until: Option<String>,
    /// The size of the page, 1 to 100; 20 if left out.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// `json` or `csv`; otherwise what `Accept` says. A file has all that fits the filters.
    #[serde(default)]
    pub format: Option<String>,
}

/// An [`AccessQuery`] that was understood.
#[derive(Debug, Clone, Default)]
pub(super) struct AccessFilter {
    pub(super) path: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) agent: Option<AgentId>,
    pub(super) outcome: Option<&'static str>,
    pub(super) delivery: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) page: PageRequest,
}

fn moment(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let words = "is a moment in RFC 3339, such as 2026-11-23T10:00:00Z; a + in it is written %2B";
    text.map(|text| Timestamp::parse(text).ok_or_else(|| Error::field(field, format!("{field} {words}"))))
        .transpose()
}

fn agent_of(text: Option<&str>) -> Result<Option<AgentId>> {
    text.map(str::parse)
        .transpose()
        .map_err(|_| Error::field("agent_id", "agent_id is a UUID"))
}

fn whole_number(field: &'static str, text: Option<&str>) -> Result<Option<i64>> {
    text.map(str::parse)
        .transpose()
        .map_err(|_| Error::field(field, format!("{field} is a whole number")))
}

fn canonical(path: Option<&str>) -> Result<Option<String>> {
    path.map(|path| SecretPath::parse(path).map(|path| path.as_str().to_owned()))
        .transpose()
}

impl AccessQuery {
    pub(super) fn parse(&self) -> Result<AccessFilter> {
        if let Some(prefix) = &self.prefix {
            check_prefix(prefix)?;
        }
        let outcome = self.outcome.as_deref().map(|outcome| {
            ["approved", "denied", "pending"]
                .into_iter()
                .find(|known| *known == outcome)
                .ok_or_else(|| Error::field("outcome", "outcome is one of approved, denied, pending"))
        });
        let filter = AccessFilter {
            path: canonical(self.path.as_deref())?,
            prefix: self.prefix.clone(),
            agent: agent_of(self.agent_id.as_deref())?,
            outcome: outcome.transpose()?,
            delivery: self.delivery.clone(),
            since: moment("since", self.since.as_deref())?,
            until: moment("until", self.until.as_deref())?,
            page: PageRequest::parse(
                whole_number("limit", self.limit.as_deref())?,
                None,
                self.cursor.as_deref(),
            )?,
        };
        if filter
            .since
            .zip(filter.until)
            .is_some_and(|(since, until)| since >= until)
        {
            return Err(Error::field("since", "since lies before until; exchange them"));
        }
        Ok(filter)
    }
}

/// Which numbers are wanted: those of a secret, of an agent, of both together, or of the organisation.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SummaryQuery {
    /// Of this secret.
    #[serde(default)]
    pub path: Option<String>,
    /// Of this agent.
    #[serde(default)]
    #[param(value_type = Option<Uuid>)]
    pub agent_id: Option<String>,
    /// `hour` (the default) or `day`.
    #[serde(default)]
    pub granularity: Granularity,
    /// From this moment on; left out, 24 hours or 30 days back.
    #[serde(default)]
    pub since: Option<String>,
    /// Up to this moment; left out, now. At most 31 days of hours, or 366 of days.
    #[serde(default)]
    pub until: Option<String>,
}

impl SummaryQuery {
    pub(super) fn wanted(&self) -> Result<(Option<String>, Option<AgentId>)> {
        Ok((
            canonical(self.path.as_deref())?,
            agent_of(self.agent_id.as_deref())?,
        ))
    }

    pub(super) fn span(&self, now: Timestamp) -> Result<aim_monitoring::activity::model::Span> {
        let query = aim_monitoring::activity::model::ActivityQuery {
            agent_id: None,
            granularity: self.granularity,
            from: moment("since", self.since.as_deref())?,
            to: moment("until", self.until.as_deref())?,
        };
        aim_monitoring::activity::model::Span::parse(&query, now).map_err(|error| {
            // There the parameter has another name.
            Error {
                field: Some("since".to_owned()),
                ..error
            }
        })
    }
}

/// How often it was asked for, in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessCounts {
    /// Reads that were approved.
    pub approved: i64,
    /// Reads that were denied.
    pub denied: i64,
    /// Reads that had to wait for a person.
    pub pending: i64,
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessPoint {
    /// Where it starts.
    pub at: Timestamp,
    /// What there was in it.
    #[serde(flatten)]
    pub counts: AccessCounts,
}

/// A secret and an agent that asked for it, over all the time that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairView {
    /// The secret.
    pub path: String,
    /// The agent; absent: people.
    pub agent_id: Option<AgentId>,
    /// Reads that were approved.
    pub approved: i64,
    /// Reads that were denied.
    pub denied: i64,
    /// The first read that was approved.
    pub first_read_at: Option<Timestamp>,
    /// The last one.
    pub last_read_at: Option<Timestamp>,
    /// The last denial.
    pub last_denied_at: Option<Timestamp>,
}

/// The numbers of a secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessSummary {
    /// The secret, if they are one's.
    pub path: Option<String>,
    /// The agent, if they are one's.
    pub agent_id: Option<AgentId>,
    /// How long a point is.
    pub granularity: Granularity,
    /// Where the first point starts.
    pub from: Timestamp,
    /// Where the last point ends.
    pub to: Timestamp,
    /// The points without gaps, the earliest first.
    pub series: Vec<AccessPoint>,
    /// All of them together.
    pub totals: AccessCounts,
    /// Who reads it, or what it reads; the latest first, at most a hundred. None for the organisation as a whole.
    pub pairs: Vec<PairView>,
    /// The first read that was approved, of these pairs.
    pub first_read_at: Option<Timestamp>,
    /// The last one.
    pub last_read_at: Option<Timestamp>,
}

/// Which unused secrets to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnusedQuery {
    /// Days without a read; left out, as the settings have it (90).
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 3650)]
    pub days: Option<String>,
    /// The size of the page, 1 to 100; 20 if left out.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// Checks days and the size of a page.
pub(super) fn days_and_limit(days: Option<&str>, limit: Option<&str>) -> Result<(Option<i64>, i64)> {
    let days = whole_number("days", days)?;
    if days.is_some_and(|days| !(1..=3_650).contains(&days)) {
        return Err(Error::field("days", "days is 1 to 3650"));
    }
    let page = PageRequest::parse(whole_number("limit", limit)?, None, None)?;
    Ok((days, page.limit))
}

/// A secret that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnusedSecret {
    /// Its path.
    pub path: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When it was written first.
    pub created_at: Timestamp,
    /// The last read that was approved; absent: none is known.
    pub last_read_at: Option<Timestamp>,
}

/// Secrets that nobody reads, by their paths.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UnusedList {
    /// The secrets. A page may be short though there are more: go on while there is a `next_cursor`.
    pub secrets: Vec<UnusedSecret>,
    /// Days without a read.
    pub days: i64,
    /// The size of the page.
    pub limit: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which broad grants to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BroadQuery {
    /// Only of this agent.
    #[serde(default)]
    #[param(value_type = Option<Uuid>)]
    pub agent_id: Option<String>,
    /// How many days of reads it is compared with; left out, 30.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 3650)]
    pub days: Option<String>,
    /// The size of the page, 1 to 100; 20 if left out.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl BroadQuery {
    pub(super) fn agent(&self) -> Result<Option<AgentId>> {
        agent_of(self.agent_id.as_deref())
    }
}

/// A grant that covers far more secrets than are read by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BroadGrant {
    /// The grant.
    pub grant_id: GrantId,
    /// Whose it is.
    pub agent_id: AgentId,
    /// The capability, or the pattern, that covers `secret:read`.
    pub capability: String,
    /// The resources that it names; none: every one.
    pub resources: Vec<String>,
    /// When it was given.
    pub granted_at: Timestamp,
    /// How many secrets there are that it covers.
    pub covered: i64,
    /// Whether there may be more: no more than two thousand are counted a pattern.
    pub covered_or_more: bool,
    /// How many of them the agent read in these days.
    pub read: i64,
    /// What would have been enough: the paths that were read, at most twenty.
    pub enough: Vec<String>,
    /// Whether more paths than these were read.
    pub enough_and_more: bool,
}

/// Broad grants.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BroadList {
    /// The grants. A page may be short though there are more: go on while there is a `next_cursor`.
    pub grants: Vec<BroadGrant>,
    /// How many days of reads it was compared with.
    pub days: i64,
    /// The size of the page.
    pub limit: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// The bit of the hour of the day, and that of the day of the week, in `hours_seen`.
pub(super) fn bits_of(at: Timestamp) -> (i64, i64) {
    use chrono::{Datelike, Timelike};
    (1 << at.hour(), 1 << (24 + at.weekday().num_days_from_monday()))
}
