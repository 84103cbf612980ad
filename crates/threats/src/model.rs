//! Findings, what they lead to, and honeytokens, as callers see them.

use std::collections::BTreeMap;

use aim_core::{AgentId, Error, Id, OrganizationId, Result, Timestamp};
use aim_decision::{CapabilityPattern, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::{
    detector::{AddedDetector, AnyDetector, Detector, Response},
    store::FindingRow,
    words,
};

/// The longest note, in characters.
pub const LONGEST_NOTE: usize = 1_000;
/// The most honeytokens of an organisation.
pub const MOST_HONEYTOKENS: usize = 100;

/// Marks the ids of findings.
#[derive(Debug, Clone, Copy)]
pub enum FindingKind {}
/// The id of a finding.
pub type FindingId = Id<FindingKind>;

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// Nobody has reviewed it.
    Open,
    /// It was no threat; the same subject stays quiet for a while.
    FalsePositive,
    /// Somebody saw to it. The same thing again is a new finding.
    Handled,
}

impl FindingStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Open, Self::FalsePositive, Self::Handled];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FalsePositive => "false_positive",
            Self::Handled => "handled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// The severity of that name.
#[must_use]
pub fn parse_severity(name: &str) -> Option<Severity> {
    [
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ]
    .into_iter()
    .find(|severity| severity.as_str() == name)
}

/// The evidence of a finding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// The indices of the records in the audit log that show it, at most ten.
    pub records: Vec<i64>,
    /// What was seen, and the limit that it exceeded, by name.
    #[schema(value_type = Object)]
    pub values: Map<String, Value>,
    /// What the detector says of itself and of this, if it is not one of AIM's own: the finding stays readable where
    /// the detector is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
}

/// What an added detector says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Words {
    /// The detector's name for people.
    pub title: String,
    /// What was seen, in a sentence.
    pub summary: String,
    /// The entry of the OWASP Top 10 for Agentic Applications.
    pub owasp: String,
    /// The technique in MITRE ATT&CK or ATLAS.
    pub mitre: String,
}

impl Words {
    /// What is said of a finding, whoever found it.
    fn of(detector: &str, evidence: &Evidence) -> Option<Self> {
        match Detector::parse(detector) {
            Some(own) => Some(Self {
                title: own.title().to_owned(),
                summary: words::summary(own, &evidence.values),
                owasp: own.owasp().to_owned(),
                mitre: own.mitre().to_owned(),
            }),
            None => evidence.words.clone(),
        }
    }
}

/// A finding.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// The finding.
    pub id: FindingId,
    /// What found it.
    #[schema(example = "new_source")]
    pub detector: String,
    /// The detector's name for people.
    pub title: String,
    /// What was seen, in a sentence.
    pub summary: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub status: FindingStatus,
    /// The agent it is about, if it is about one.
    pub agent_id: Option<AgentId>,
    /// The agent's name when it was found.
    pub agent_name: Option<String>,
    /// What exactly it is about: a key, a network, a capability, a server.
    pub subject: String,
    /// The entry of the OWASP Top 10 for Agentic Applications.
    pub owasp: String,
    /// The technique in MITRE ATT&CK or ATLAS.
    pub mitre: String,
    /// What shows it.
    pub evidence: Evidence,
    /// How often it was seen.
    pub count: i64,
    /// When it was seen first.
    pub first_seen_at: Timestamp,
    /// When it was seen last.
    pub last_seen_at: Timestamp,
    /// What was done about it by itself.
    pub response: Response,
    /// Until when the same subject stays quiet, if it was marked as false.
    pub quiet_until: Option<Timestamp>,
    /// Who reviewed it, as `kind:id`.
    pub reviewed_by: Option<String>,
    /// When it was reviewed.
    pub reviewed_at: Option<Timestamp>,
    /// What the reviewer said.
    pub review_note: Option<String>,
}

impl FindingView {
    /// The finding as it is stored.
    ///
    /// # Errors
    /// When the row holds what this version did not write.
    pub fn of(row: FindingRow) -> aim_store::Result<Self> {
        let corrupt = |what: &str| aim_store::Error::Corrupt(format!("threat finding {}: {what}", row.id));
        let mut evidence: Evidence =
            serde_json::from_value(row.evidence.0.clone()).map_err(|_| corrupt("unreadable evidence"))?;
        let said = Words::of(&row.detector, &evidence).ok_or_else(|| corrupt("unknown detector"))?;
        evidence.words = None;
        Ok(Self {
            id: row.id,
            detector: row.detector,
            title: said.title,
            summary: said.summary,
            severity: parse_severity(&row.severity).ok_or_else(|| corrupt("unknown severity"))?,
            status: FindingStatus::parse(&row.status).ok_or_else(|| corrupt("unknown status"))?,
            response: Response::parse(&row.response).ok_or_else(|| corrupt("unknown response"))?,
            agent_id: row.agent_id,
            agent_name: row.agent_name,
            subject: row.subject,
            owasp: said.owasp,
            mitre: said.mitre,
            evidence,
            count: row.count,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            quiet_until: row.quiet_until,
            reviewed_by: row.reviewed_by,
            reviewed_at: row.reviewed_at,
            review_note: row.review_note,
        })
    }
}

/// A page of findings, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FindingList {
    /// The findings.
    pub threats: Vec<FindingView>,
    /// The size of the page.
    pub limit: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which findings to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindingQuery {
    /// `open`, `false_positive` or `handled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// A detector's name, such as `new_source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// Only findings about this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<uuid::Uuid>)]
    pub agent_id: Option<String>,
    /// Only findings that were first seen at or after this moment (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only findings that were first seen before this moment (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The size of the page, 1 to 100; 20 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A [`FindingQuery`] that was understood.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each narrows what the field of the query says")]
pub struct FindingFilter {
    pub status: Option<FindingStatus>,
    pub severity: Option<Severity>,
    pub detector: Option<AnyDetector>,
    pub agent: Option<AgentId>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub page: aim_core::PageRequest,
}

fn word<T>(
    field: &'static str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    words: &str,
) -> Result<Option<T>> {
    text.map(|text| parse(text).ok_or_else(|| Error::field(field, format!("{field} is one of {words}"))))
        .transpose()
}

fn moment(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let words = "is a moment in RFC 3339, such as 2026-11-23T10:00:00Z; a + in it is written %2B";
    text.map(|text| Timestamp::parse(text).ok_or_else(|| Error::field(field, format!("{field} {words}"))))
        .transpose()
}

impl FindingQuery {
    /// Understands the query, where there are these detectors beside AIM's own.
    ///
    /// # Errors
    /// Names the parameter that cannot be.
    pub fn parse(&self, added: &'static [AddedDetector]) -> Result<FindingFilter> {
        let detectors: Vec<&str> = AnyDetector::all(added).map(AnyDetector::as_str).collect();
        let agent = self.agent_id.as_deref().map(str::parse).transpose();
        let limit = self.limit.as_deref().map(str::parse).transpose();
        let limit = limit.map_err(|_| Error::field("limit", "limit is a whole number"))?;
        let filter = FindingFilter {
            status: word(
                "status",
                self.status.as_deref(),
                FindingStatus::parse,
                "open, false_positive, handled",
            )?,
            severity: word(
                "severity",
                self.severity.as_deref(),
                parse_severity,
                "low, medium, high, critical",
            )?,
            detector: word(
                "detector",
                self.detector.as_deref(),
                |name| AnyDetector::parse(name, added),
                &detectors.join(", "),
            )?,
            agent: agent.map_err(|_| Error::field("agent_id", "agent_id is a UUID"))?,
            from: moment("from", self.from.as_deref())?,
            to: moment("to", self.to.as_deref())?,
            page: aim_core::PageRequest::parse(limit, None, self.cursor.as_deref())?,
        };
        if filter.from.zip(filter.to).is_some_and(|(from, to)| from > to) {
            return Err(Error::field("from", "from is after to; exchange them"));
        }
        Ok(filter)
    }
}

/// A person's word on a finding.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewFinding {
    /// `false_positive` or `handled`.
    #[schema(example = "handled")]
    pub status: String,
    /// Why, or what was done; at most 1,000 characters.
    pub note: String,
}

impl ReviewFinding {
    /// Checks the review.
    ///
    /// # Errors
    /// Names `status` or `note`.
    pub fn check(&self) -> Result<FindingStatus> {
        let status = FindingStatus::parse(&self.status)
            .filter(|status| *status != FindingStatus::Open)
            .ok_or_else(|| Error::field("status", "status is false_positive or handled"))?;
        check_note(&self.note)?;
        Ok(status)
    }
}

fn check_note(note: &str) -> Result<()> {
    let length = note.trim().chars().count();
    if length == 0 {
        return Err(Error::field("note", "say why, in a few words"));
    }
    if length > LONGEST_NOTE {
        return Err(Error::field(
            "note",
            format!("note has {length} characters; use at most {LONGEST_NOTE}"),
        ));
    }
    Ok(())
}

/// What a detector's findings lead to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DetectorPolicy {
    /// The detector.
    #[schema(example = "new_source")]
    pub detector: String,
    /// Its name for people.
    pub title: String,
    /// When it speaks up.
    pub rule: String,
    /// The entry of the OWASP Top 10 for Agentic Applications.
    pub owasp: String,
    /// The technique in MITRE ATT&CK or ATLAS.
    pub mitre: String,
    /// What its findings lead to.
    pub response: Response,
    /// The most that they may lead to.
    pub strongest: Response,
    /// Who set that, as `kind:id`; nobody if it is the default.
    pub updated_by: Option<String>,
    /// When it was set.
    pub updated_at: Option<Timestamp>,
}

/// What every detector's findings lead to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// One line a detector.
    pub policies: Vec<DetectorPolicy>,
}

/// A change of what findings lead to. Detectors that are not named stay as they are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPolicies {
    /// The response by the detector's name: `off`, `alert`, `require_approval` or `suspend`.
    #[schema(value_type = BTreeMap<String, Response>)]
    pub responses: BTreeMap<String, String>,
}

impl PutPolicies {
    /// Understands the change, where there are these detectors beside AIM's own.
    ///
    /// # Errors
    /// Names `responses` and the detector at fault.
    pub fn check(&self, added: &'static [AddedDetector]) -> Result<BTreeMap<&'static str, Response>> {
        if self.responses.is_empty() {
            return Err(Error::field("responses", "name at least one detector"));
        }
        self.responses
            .iter()
            .map(|(detector, response)| {
                let known = AnyDetector::parse(detector, added).ok_or_else(|| {
                    Error::field(
                        "responses",
                        "a name in responses is no detector; GET shows them all",
                    )
                })?;
                let response = Response::parse(response).ok_or_else(|| {
                    let help = "a response is off, alert, require_approval or suspend";
                    Error::field(format!("responses.{}", known.as_str()), help)
                })?;
                if response > known.strongest() {
                    let help = match known {
                        AnyDetector::Own(Detector::McpDrift) => "a drift is about a server and no agent; use off or alert",
                        _ => "whoever has no valid key can set this off, and could stop the agent so; use off or alert",
                    };
                    return Err(Error::field(format!("responses.{}", known.as_str()), help));
                }
                Ok((known.as_str(), response))
            })
            .collect()
    }
}

/// A capability that exists only to be noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoneytokenView {
    /// The capability, or a pattern such as `admin:*`.
    #[schema(example = "secrets:export_all")]
    pub capability: String,
    /// What it is for.
    pub note: String,
    /// Who set it, as `kind:id`.
    pub created_by: String,
    /// When it was set.
    pub created_at: Timestamp,
}

/// The organisation's honeytokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HoneytokenList {
    /// The honeytokens, by name.
    pub honeytokens: Vec<HoneytokenView>,
}

/// A honeytoken to be: a capability, with or without a note.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum NewHoneytoken {
    /// The capability, or a pattern such as `admin:*`. The note that it may have stays.
    Name(String),
    /// The same with what it is for.
    Noted(NotedHoneytoken),
}

/// A honeytoken with what it is for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotedHoneytoken {
    /// The capability, or a pattern such as `admin:*`.
    #[schema(example = "secrets:export_all")]
    pub capability: String,
    /// What it is for; at most 1,000 characters. Left out: the note that it may have stays.
    #[serde(default)]
    pub note: Option<String>,
}

impl NewHoneytoken {
    fn parts(&self) -> (&str, Option<&str>) {
        match self {
            Self::Name(capability) => (capability, None),
            Self::Noted(token) => (&token.capability, token.note.as_deref()),
        }
    }
}

/// All honeytokens that the organisation shall have; others are removed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutHoneytokens {
    /// At most 100.
    pub honeytokens: Vec<NewHoneytoken>,
}

impl PutHoneytokens {
    /// Checks the list.
    ///
    /// # Errors
    /// Names the entry at fault.
    pub fn check(&self) -> Result<BTreeMap<String, Option<String>>> {
        if self.honeytokens.len() > MOST_HONEYTOKENS {
            return Err(Error::field(
                "honeytokens",
                format!("an organisation has at most {MOST_HONEYTOKENS} honeytokens"),
            ));
        }
        let mut tokens = BTreeMap::new();
        for (place, token) in self.honeytokens.iter().enumerate() {
            let field = |name: &str| format!("honeytokens[{place}].{name}");
            let (capability, note) = token.parts();
            let pattern = CapabilityPattern::try_from(capability)
                .map_err(|invalid| Error::field(field("capability"), invalid.problem))?;
            if pattern.as_str() == "*" {
                return Err(Error::field(
                    field("capability"),
                    "`*` would make every action a finding; name a capability that nobody needs",
                ));
            }
            if note.is_some_and(|note| note.chars().count() > LONGEST_NOTE) {
                return Err(Error::field(
                    field("note"),
                    format!("use at most {LONGEST_NOTE} characters"),
                ));
            }
            let note = note.map(|note| note.trim().to_owned());
            if tokens.insert(pattern.as_str().to_owned(), note).is_some() {
                return Err(Error::field(field("capability"), "it is named twice"));
            }
        }
        Ok(tokens)
    }
}

/// Whom settings and findings belong to, in maps.
pub(crate) type Tenant = OrganizationId;
