//! What an alert is, and how it may change.

use aim_audit::Entry;
use aim_core::{AgentId, Error, Id, OrganizationId, Result, Timestamp, UserId};
use aim_decision::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::store::AlertRow;

/// Marks the ids of alerts.
#[derive(Debug, Clone, Copy)]
pub enum AlertMarker {}
/// The id of an alert.
pub type AlertId = Id<AlertMarker>;

/// The longest note, in characters.
pub const MAX_NOTE_LENGTH: usize = 1_000;
/// Every severity, mildest first.
pub const SEVERITIES: [Severity; 4] = [
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

/// The severity of that name.
///
/// # Errors
/// `request.field_invalid` at `field`.
pub fn parse_severity(field: &str, name: &str) -> Result<Severity> {
    SEVERITIES
        .into_iter()
        .find(|severity| severity.as_str() == name)
        .ok_or_else(|| Error::field(field, format!("{field} is low, medium, high or critical")))
}

/// The severity that a row names; a word that is none counts as the worst.
#[must_use]
pub fn severity_of(name: &str) -> Severity {
    parse_severity("severity", name).unwrap_or(Severity::Critical)
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Many denials of one agent in a short time, by a plain count: off unless an organisation switches it on, for
    /// threat detection finds bursts too.
    DenialsBurst,
    /// A denied attempt of critical severity.
    CriticalViolation,
    /// A key that expires soon.
    KeyExpiring,
    /// A current key that has expired.
    KeyExpired,
    /// A trust score below the threshold that the organisation set.
    TrustLow,
    /// A finding of threat detection.
    ThreatFinding,
    /// An agent that was suspended.
    AgentSuspended,
    /// A webhook that cannot be reached.
    WebhookFailing,
    /// An audit log that was not verified for long, or did not pass.
    AuditUnverified,
}

impl AlertKind {
    /// Every kind, in the order of the console.
    pub const ALL: [Self; 9] = [
        Self::ThreatFinding,
        Self::CriticalViolation,
        Self::DenialsBurst,
        Self::TrustLow,
        Self::AgentSuspended,
        Self::KeyExpired,
        Self::KeyExpiring,
        Self::WebhookFailing,
        Self::AuditUnverified,
    ];

    /// The kind on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DenialsBurst => "denials_burst",
            Self::CriticalViolation => "critical_violation",
            Self::KeyExpiring => "key_expiring",
            Self::KeyExpired => "key_expired",
            Self::TrustLow => "trust_low",
            Self::ThreatFinding => "threat_finding",
            Self::AgentSuspended => "agent_suspended",
            Self::WebhookFailing => "webhook_failing",
            Self::AuditUnverified => "audit_unverified",
        }
    }

    /// The kind in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::DenialsBurst => "Number of denials",
            Self::CriticalViolation => "Critical violation",
            Self::KeyExpiring => "Key expires soon",
            Self::KeyExpired => "Key expired",
            Self::TrustLow => "Trust below threshold",
            Self::ThreatFinding => "Threat finding",
            Self::AgentSuspended => "Agent suspended",
            Self::WebhookFailing => "Webhook failing",
            Self::AuditUnverified => "Audit log not verified",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// Nobody has looked at it yet.
    Open,
    /// Somebody is on it.
    Acknowledged,
    /// It is dealt with. The same thing again is a new alert.
    Resolved,
}

impl AlertStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// The status on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Something that a person should look at.
#[derive(Debug, Clone)]
pub struct NewAlert {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent it is about, if any.
    pub agent: Option<AgentId>,
    /// What sort of thing.
    pub kind: AlertKind,
    /// How bad, unless the organisation's rule says otherwise.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// The evidence, as an object: leaf indices, ids, values against limits.
    pub detail: Value,
    /// The same for the same thing: repeats count up instead of raising another alert.
    pub dedupe_key: String,
    /// When it was noticed.
    pub at: Timestamp,
}

/// What became of an alert that was raised.
#[derive(Debug, Clone)]
#[must_use = "the audit records must be appended"]
pub struct Raised {
    /// The alert: a new one, or the one that counted up. None when the organisation switched the kind off.
    pub alert: Option<AlertId>,
    /// Whether people are told: it is new, worse than before, or its cooldown is over.
    pub is_news: bool,
    /// What the caller appends to the audit log, last in its transaction.
    pub entries: Vec<Entry>,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AlertId,
    /// What it is about.
    pub kind: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `open`, `acknowledged` or `resolved`.
    pub status: String,
    /// One line for people.
    pub title: String,
    /// The evidence.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// The agent it is about.
    pub agent_id: Option<AgentId>,
    /// The agent's name, if it still has one.
    pub agent_name: Option<String>,
    /// How often the same thing was seen.
    pub count: i64,
    /// When it was seen first.
    pub first_seen_at: Timestamp,
    /// When it was seen last.
    pub last_seen_at: Timestamp,
    /// The user who takes care of it.
    pub assigned_to: Option<UserId>,
    /// That user's name.
    pub assigned_to_name: Option<String>,
    /// Who acknowledged it, as `kind:id`.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<Timestamp>,
    /// Who resolved it, as `kind:id`.
    pub resolved_by: Option<String>,
    /// When.
    pub resolved_at: Option<Timestamp>,
    /// What was written down when it was acknowledged or resolved.
    pub note: Option<String>,
}

impl AlertView {
    /// The view of a row, with the names that belong to its ids.
    #[must_use]
    pub fn of(row: AlertRow, agent_name: Option<String>, assigned_to_name: Option<String>) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            severity: row.severity,
            status: row.status,
            title: row.title,
            detail: row.detail.0,
            agent_id: row.agent_id,
            agent_name,
            count: row.count,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            assigned_to: row.assigned_to,
            assigned_to_name,
            acknowledged_by: row.acknowledged_by,
            acknowledged_at: row.acknowledged_at,
            resolved_by: row.resolved_by,
            resolved_at: row.resolved_at,
            note: row.note,
        }
    }
}

/// A page of alerts, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertList {
    /// The alerts.
    pub alerts: Vec<AlertView>,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}

/// How many alerts wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertCount {
    /// That nobody has looked at.
    pub open: i64,
    /// That somebody is on.
    pub acknowledged: i64,
    /// Critical ones among both.
    pub critical: i64,
    /// High ones among both.
    pub high: i64,
    /// Medium ones among both.
    pub medium: i64,
    /// Low ones among both.
    pub low: i64,
}

/// Which alerts are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// Only with this status (`open`, `acknowledged`, `resolved`); may be repeated.
    #[serde(default)]
    pub status: Vec<String>,
    /// Only of this severity; may be repeated.
    #[serde(default)]
    pub severity: Vec<String>,
    /// Only of this kind; may be repeated.
    #[serde(default)]
    pub kind: Vec<String>,
    /// Only about this agent.
    pub agent_id: Option<AgentId>,
    /// Only those that this user takes care of.
    pub assigned_to: Option<UserId>,
    /// How many, 1 to 100; 20 if left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// [`AlertQuery`], checked.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each narrows the column of that name")]
pub struct Wanted {
    pub statuses: Vec<&'static str>,
    pub severities: Vec<&'static str>,
    pub kinds: Vec<&'static str>,
    pub agent: Option<AgentId>,
    pub assigned_to: Option<UserId>,
}

impl AlertQuery {
    /// Checks the filters.
    ///
    /// # Errors
    /// Names the parameter that has a word it does not know.
    pub fn wanted(&self) -> Result<Wanted> {
        let statuses = self.status.iter().map(|name| {
            AlertStatus::parse(name)
                .map(AlertStatus::as_str)
                .ok_or_else(|| Error::field("status", "status is open, acknowledged or resolved"))
        });
        let kinds = self.kind.iter().map(|name| {
            AlertKind::parse(name).map(AlertKind::as_str).ok_or_else(|| {
                let names: Vec<_> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
                Error::field("kind", format!("kind is one of {}", names.join(", ")))
            })
        });
        let severities = self
            .severity
            .iter()
            .map(|name| parse_severity("severity", name).map(|severity| severity.as_str()));
        Ok(Wanted {
            statuses: statuses.collect::<Result<_>>()?,
            severities: severities.collect::<Result<_>>()?,
            kinds: kinds.collect::<Result<_>>()?,
            agent: self.agent_id,
            assigned_to: self.assigned_to,
        })
    }
}

/// Says that somebody is on it.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// What to write down, at most 1000 characters.
    pub note: Option<String>,
}

/// Says that it is dealt with.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// What it was, and what was done: 1 to 1000 characters.
    pub note: String,
}

/// Says who takes care of it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// The user; null for nobody.
    pub user_id: Option<UserId>,
}

/// A note with its ends trimmed.
///
/// # Errors
/// `request.field_invalid` at `note` when it is empty or too long.
pub fn check_note(note: &str) -> Result<String> {
    let note = note.trim();
    if note.is_empty() {
        return Err(Error::field("note", "write down what it was and what was done"));
    }
    if note.chars().count() > MAX_NOTE_LENGTH {
        return Err(Error::field(
            "note",
            format!("a note has at most {MAX_NOTE_LENGTH} characters"),
        ));
    }
    Ok(note.to_owned())
}
