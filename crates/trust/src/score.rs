//! The score: a pure function of recorded inputs. No database, no clock, no randomness, and integers only,
//! so that the same inputs give the same score everywhere. docs/TRUST.md describes it for people.

use aim_core::{Id, Timestamp};
use aim_platform::TrustWeights;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::causes::{Cause, explain};

/// The version of the formula. Inputs carry it, so that an old score can be told from a new one.
pub const FORMULA: u32 = 1;
/// One, in weighted counts: they are kept in millionths.
pub const MILLION: i64 = 1_000_000;
/// How far back events count, in half-lives: what is older weighs less than a thirtieth.
pub const WINDOW_HALF_LIVES: i64 = 5;
/// How many events a factor cites at most, the latest first.
pub const CITED: usize = 5;
/// A key with fewer days left loses value.
const DAYS_LEFT_FULL: i64 = 30;
/// A key older than this loses value, half of it in as many days again.
const KEY_AGE_FULL: i64 = 180;
/// An agent that has been registered for this many days has the full value of age.
const AGE_FULL: i64 = 90;
/// A grant younger than this need not have been used.
pub const GRANT_REST_DAYS: i64 = 30;
const DAY: i64 = 24 * 60 * 60;

/// What the score is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// The age, rotation and expiry of the agent's key.
    KeyHygiene,
    /// How many of its actions were approved.
    VerificationSuccess,
    /// Denied actions, weighted by severity.
    Violations,
    /// Whether it uses what it was granted.
    CapabilityUse,
    /// Whether the MCP servers that it talks to are attested.
    McpAttestation,
    /// Whether it has an owner and is documented.
    Ownership,
    /// How long it has been registered.
    Age,
    /// Suspensions, revoked keys and threat findings.
    Incidents,
}

impl Factor {
    /// Every factor, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::KeyHygiene,
        Self::VerificationSuccess,
        Self::Violations,
        Self::CapabilityUse,
        Self::McpAttestation,
        Self::Ownership,
        Self::Age,
        Self::Incidents,
    ];

    /// Its name on the wire and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyHygiene => "key_hygiene",
            Self::VerificationSuccess => "verification_success",
            Self::Violations => "violations",
            Self::CapabilityUse => "capability_use",
            Self::McpAttestation => "mcp_attestation",
            Self::Ownership => "ownership",
            Self::Age => "age",
            Self::Incidents => "incidents",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::KeyHygiene => "Key hygiene",
            Self::VerificationSuccess => "Verification success",
            Self::Violations => "Violations",
            Self::CapabilityUse => "Capability use",
            Self::McpAttestation => "MCP attestation",
            Self::Ownership => "Owner and documentation",
            Self::Age => "Age",
            Self::Incidents => "Incidents",
        }
    }
}

/// The weight of one factor.
#[must_use]
pub const fn weight_of(weights: &TrustWeights, factor: Factor) -> u32 {
    match factor {
        Factor::KeyHygiene => weights.key_hygiene,
        Factor::VerificationSuccess => weights.verification_success,
        Factor::Violations => weights.violations,
        Factor::CapabilityUse => weights.capability_use,
        Factor::McpAttestation => weights.mcp_attestation,
        Factor::Ownership => weights.ownership,
        Factor::Age => weights.age,
        Factor::Incidents => weights.incidents,
    }
}

/// The actions that were decided within the window. Those that wait for a person are not decided yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// How many were approved.
    pub approved: i64,
    /// How many were denied.
    pub denied: i64,
    /// The approved ones, each by its age, in millionths.
    pub approved_weighted: i64,
    /// The denied ones, each by its age, in millionths.
    pub denied_weighted: i64,
}

impl Decisions {
    /// How many were decided.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.approved.saturating_add(self.denied)
    }
}

/// The violations within the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Violations {
    /// How many of low severity.
    pub low: i64,
    /// How many of medium severity.
    pub medium: i64,
    /// How many of high severity.
    pub high: i64,
    /// How many of critical severity.
    pub critical: i64,
    /// The points they take (low 1, medium 3, high 7, critical 15), each by its age, in millionths.
    pub points_weighted: i64,
}

impl Violations {
    /// How many.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.low
            .saturating_add(self.medium)
            .saturating_add(self.high)
            .saturating_add(self.critical)
    }
}

/// The agent's current key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// RFC 7638 thumbprint.
    pub fingerprint: String,
    /// When it was brought.
    pub created_at: Timestamp,
    /// The first instant at which it is refused for its age.
    pub expires_at: Timestamp,
}

/// The agent's grants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// How many were used within 30 days.
    pub used: i64,
    /// How many are older than 30 days and were not used within them.
    pub unused: i64,
}

/// The MCP servers that the agent is connected to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mcp {
    /// How many.
    pub servers: i64,
    /// How many of them are attested, freshly enough.
    pub attested: i64,
}

/// What is on file about the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnFile {
    /// An active user owns it.
    pub owner: bool,
    /// It has a description.
    pub description: bool,
    /// It names its documentation.
    pub documentation: bool,
    /// It names its repository.
    pub repository: bool,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// Suspensions, revoked keys and threat findings within the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Incidents {
    /// How many.
    pub count: i64,
    /// The points they take, each by its age, in millionths.
    pub points_weighted: i64,
}

/// Marks the ids of adjustments.
#[derive(Debug, Clone, Copy)]
pub enum AdjustmentKind {}
/// The id of an adjustment.
pub type AdjustmentId = Id<AdjustmentKind>;

/// An administrator's adjustment that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// The adjustment.
    pub id: AdjustmentId,
    /// How many points it adds or takes.
    pub delta: i64,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A recorded event or thing that a factor rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cited {
    /// The factor.
    pub factor: Factor,
    /// `agent_key`, `violation`, `grant`, `mcp_server`, `agent` or `audit_record`.
    pub kind: String,
    /// Its id: a fingerprint, an id, or the index of an audit record.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What it is, in words.
    pub note: String,
}

/// Everything that a score is computed from, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Inputs {
    /// The version of the formula.
    pub formula: u32,
    /// The moment for which it is computed.
    pub at: Timestamp,
    /// The days in which an event loses half its weight.
    pub half_life_days: i64,
    /// How many decided actions it takes for a score.
    pub minimum_events: i64,
    /// What each factor counts.
    pub weights: TrustWeights,
    /// The actions that were decided.
    pub decisions: Decisions,
    /// The violations.
    pub violations: Violations,
    /// The current key; none when all were revoked.
    pub key: Option<Key>,
    /// The grants.
    pub grants: Grants,
    /// The MCP servers; none where the installation does not know of any.
    pub mcp: Option<Mcp>,
    /// What is on file.
    pub on_file: OnFile,
    /// The incidents.
    pub incidents: Incidents,
    /// Adjustments in force.
    pub adjustments: Vec<InForce>,
    /// What the factors cite.
    pub citations: Vec<Cited>,
}

impl Inputs {
    /// What one factor cites.
    pub fn cited(&self, factor: Factor) -> impl Iterator<Item = &Cited> {
        self.citations.iter().filter(move |cited| cited.factor == factor)
    }

    fn has_enough(&self) -> bool {
        self.decisions.total() >= self.minimum_events
    }

    fn days_since(&self, moment: Timestamp) -> i64 {
        ((self.at - moment).num_seconds() / DAY).max(0)
    }
}

/// A factor as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorValue {
    /// The factor.
    pub factor: Factor,
    /// 0 to 100; none: no data.
    pub value: Option<i64>,
    /// Its weight as configured.
    pub weight: u32,
}

/// What the inputs come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The score with the adjustments, 0 to 100; none: unscored.
    pub score: Option<i64>,
    /// The score without adjustments.
    pub computed: Option<i64>,
    /// Every factor.
    pub factors: Vec<FactorValue>,
}

impl Outcome {
    /// The weights of the factors with data, together.
    #[must_use]
    pub fn weight_with_data(&self) -> i64 {
        self.factors
            .iter()
            .filter(|factor| factor.value.is_some())
            .map(|factor| i64::from(factor.weight))
            .sum()
    }

    /// All weights together.
    #[must_use]
    pub fn weight(&self) -> i64 {
        self.factors.iter().map(|factor| i64::from(factor.weight)).sum()
    }

    /// One factor.
    #[must_use]
    pub fn value(&self, factor: Factor) -> Option<i64> {
        self.factors
            .iter()
            .find(|found| found.factor == factor)
            .and_then(|found| found.value)
    }
}

/// What is left of an event's weight after `days`, in millionths: half after each half-life, on a straight
/// line in between.
#[must_use]
pub fn decay(days: i64, half_life_days: i64) -> i64 {
    let half_life = half_life_days.max(1);
    let days = days.max(0);
    let (halvings, rest) = (days / half_life, days % half_life);
    let line = MILLION * (2 * half_life - rest) / (2 * half_life);
    u32::try_from(halvings)
        .ok()
        .and_then(|halvings| line.checked_shr(halvings))
        .unwrap_or(0)
}

/// The score of these inputs.
///
/// Each factor with data has a value of 0 to 100. The score is their mean by weight, rounded; a factor
/// without data neither helps nor harms. With fewer decided actions than `minimum_events` there is no score.
#[must_use]
pub fn compute(inputs: &Inputs) -> Outcome {
    let factors: Vec<FactorValue> = Factor::ALL
        .into_iter()
        .map(|factor| FactorValue {
            factor,
            value: value_of(factor, inputs),
            weight: weight_of(&inputs.weights, factor),
        })
        .collect();
    let mut outcome = Outcome {
        score: None,
        computed: None,
        factors,
    };
    let weight = outcome.weight_with_data();
    if inputs.has_enough() && weight > 0 {
        let sum: i64 = outcome
            .factors
            .iter()
            .filter_map(|factor| Some(factor.value? * i64::from(factor.weight)))
            .sum();
        let computed = (2 * sum + weight) / (2 * weight);
        let adjusted = inputs.adjustments.iter().fold(computed, |score, adjustment| {
            score.saturating_add(adjustment.delta)
        });
        outcome.computed = Some(computed);
        outcome.score = Some(adjusted.clamp(0, 100));
    }
    outcome
}

fn value_of(factor: Factor, inputs: &Inputs) -> Option<i64> {
    match factor {
        Factor::KeyHygiene => Some(key_hygiene(inputs)),
        Factor::VerificationSuccess => {
            let Decisions {
                approved_weighted: approved,
                denied_weighted: denied,
                ..
            } = inputs.decisions;
            let decided = approved.saturating_add(denied);
            (inputs.has_enough() && decided > 0).then(|| portion(approved, decided))
        }
        Factor::Violations => (inputs.has_enough() || inputs.violations.total() > 0)
            .then(|| less_points(inputs.violations.points_weighted)),
        Factor::CapabilityUse => {
            let Grants { used, unused } = inputs.grants;
            (used + unused > 0).then(|| portion(used, used + unused))
        }
        Factor::McpAttestation => inputs
            .mcp
            .filter(|mcp| mcp.servers > 0)
            .map(|mcp| portion(mcp.attested, mcp.servers)),
        Factor::Ownership => {
            let on_file = &inputs.on_file;
            let parts = [
                (on_file.owner, 50),
                (on_file.description, 15),
                (on_file.documentation, 20),
                (on_file.repository, 15),
            ];
            Some(
                parts
                    .iter()
                    .filter(|(is_there, _)| *is_there)
                    .map(|(_, points)| points)
                    .sum(),
            )
        }
        Factor::Age => Some(portion(
            inputs.days_since(inputs.on_file.registered_at).min(AGE_FULL),
            AGE_FULL,
        )),
        Factor::Incidents => (inputs.has_enough() || inputs.incidents.count > 0)
            .then(|| less_points(inputs.incidents.points_weighted)),
    }
}

/// The lower of what its age and the days it has left are worth; 0 without a key that works.
fn key_hygiene(inputs: &Inputs) -> i64 {
    let Some(key) = inputs.key.as_ref().filter(|key| key.expires_at > inputs.at) else {
        return 0;
    };
    let days_left = (key.expires_at - inputs.at).num_seconds() / DAY;
    let for_expiry = portion(days_left.min(DAYS_LEFT_FULL), DAYS_LEFT_FULL);
    let over = (inputs.days_since(key.created_at) - KEY_AGE_FULL).max(0);
    let for_age = (100 - portion(over, 2 * KEY_AGE_FULL)).max(0);
    for_expiry.min(for_age)
}

/// `part` of `whole` in hundredths, rounded.
fn portion(part: i64, whole: i64) -> i64 {
    let (part, whole) = (i128::from(part), i128::from(whole.max(1)));
    i64::try_from((200 * part + whole) / (2 * whole)).unwrap_or(i64::MAX)
}

/// 100 less the points, which are in millionths; at least 0.
fn less_points(points: i64) -> i64 {
    let rounded = points.max(0).saturating_add(MILLION / 2) / MILLION;
    (100 - rounded).max(0)
}

/// What a factor says about itself, in a sentence.
#[must_use]
pub fn in_words(factor: Factor, inputs: &Inputs) -> String {
    let days = inputs.half_life_days * WINDOW_HALF_LIVES;
    match factor {
        Factor::KeyHygiene => match &inputs.key {
            None => "The agent has no current key.".to_owned(),
            Some(key) if key.expires_at <= inputs.at => "The current key has expired.".to_owned(),
            Some(key) => format!(
                "The current key is {} old and has {} left. It loses value from {KEY_AGE_FULL} days of age on, and in its last {DAYS_LEFT_FULL} days.",
                count(inputs.days_since(key.created_at), "day"),
                count((key.expires_at - inputs.at).num_seconds() / DAY, "day"),
            ),
        },
        Factor::VerificationSuccess => format!(
            "{} approved and {} denied in {days} days; what is older counts less.",
            count(inputs.decisions.approved, "action"),
            inputs.decisions.denied
        ),
        Factor::Violations => {
            let Violations {
                low,
                medium,
                high,
                critical,
                ..
            } = inputs.violations;
            format!(
                "{} in {days} days: {critical} critical, {high} high, {medium} medium, {low} low. They take {} points after their age.",
                count(inputs.violations.total(), "violation"),
                inputs.violations.points_weighted.saturating_add(MILLION / 2) / MILLION
            )
        }
        Factor::CapabilityUse => {
            let Grants { used, unused } = inputs.grants;
            match used + unused {
                0 => "No grant is old enough to tell whether it is used.".to_owned(),
                all => format!(
                    "{used} of {} used within {GRANT_REST_DAYS} days.",
                    count(all, "grant")
                ),
            }
        }
        Factor::McpAttestation => match inputs.mcp {
            Some(mcp) if mcp.servers > 0 => {
                format!(
                    "{} of {} attested.",
                    mcp.attested,
                    count(mcp.servers, "connected MCP server")
                )
            }
            _ => "It is connected to no MCP server.".to_owned(),
        },
        Factor::Ownership => {
            let on_file = &inputs.on_file;
            let missing: Vec<&str> = [
                (on_file.owner, "an active owner"),
                (on_file.description, "a description"),
                (on_file.documentation, "a documentation address"),
                (on_file.repository, "a repository address"),
            ]
            .into_iter()
            .filter_map(|(is_there, name)| (!is_there).then_some(name))
            .collect();
            if missing.is_empty() {
                "Owner, description, documentation and repository are on file.".to_owned()
            } else {
                format!("Missing: {}.", missing.join(", "))
            }
        }
        Factor::Age => format!(
            "Registered for {}; the value is full at {AGE_FULL} days.",
            count(inputs.days_since(inputs.on_file.registered_at), "day")
        ),
        Factor::Incidents => format!(
            "{} in {days} days. They take {} points after their age.",
            count(inputs.incidents.count, "incident"),
            inputs.incidents.points_weighted.saturating_add(MILLION / 2) / MILLION
        ),
    }
}

/// "1 day", "3 days".
pub(crate) fn count(number: i64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
