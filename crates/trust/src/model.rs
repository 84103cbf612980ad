//! What callers see of trust, and what they send.

use std::collections::BTreeMap;

use aim_core::{AgentId, Error, OrganizationId, Result, Timestamp};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    causes::Cause,
    policy::Level,
    score::{AdjustmentId, Cited, Factor, Inputs, Outcome, in_words},
    store::{AdjustmentRow, HistoryRow},
};

/// The most points that one adjustment adds or takes.
pub const MOST_POINTS: i64 = 100;
/// How long an adjustment may last.
pub const LONGEST: TimeDelta = TimeDelta::days(366);
/// How many adjustments of one agent may be in force together.
pub const MOST_IN_FORCE: i64 = 20;
const LONGEST_REASON: usize = 500;

/// An agent's trust score as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrustScoreView {
    /// The agent.
    pub agent_id: AgentId,
    /// Its unique name.
    pub agent_name: String,
    /// 0 to 100, adjustments included; null: unscored.
    pub trust_score: Option<i64>,
    /// The score without adjustments; null: unscored.
    pub computed_score: Option<i64>,
    /// `scored` or `unscored`.
    pub status: String,
    /// Why there is no score; null when there is one.
    pub reason: Option<String>,
    /// What the policy says about it.
    pub level: Level,
    /// How many decided actions it rests on.
    pub events: i64,
    /// How many it takes at least.
    pub minimum_events: i64,
    /// The adjustments in force, together.
    pub adjustment: i64,
    /// When it was computed; null: not yet.
    pub calculated_at: Option<Timestamp>,
    /// When it last changed; null: never.
    pub changed_at: Option<Timestamp>,
}

/// A factor of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactorView {
    /// The factor.
    pub factor: Factor,
    /// Its name for people.
    pub label: String,
    /// 0 to 100; null: no data.
    pub value: Option<i64>,
    /// Its weight as configured.
    pub weight: u32,
    /// Its part of the score, in points; null: no data.
    pub contribution: Option<f64>,
    /// What it rests on, in words.
    pub explanation: String,
    /// The events that it cites, the latest first.
    pub events: Vec<Cited>,
}

impl FactorView {
    /// The factors of an outcome.
    #[must_use]
    pub fn all(inputs: &Inputs, outcome: &Outcome) -> Vec<Self> {
        let whole = outcome.weight_with_data();
        outcome
            .factors
            .iter()
            .map(|factor| Self {
                factor: factor.factor,
                label: factor.factor.label().to_owned(),
                value: factor.value,
                weight: factor.weight,
                contribution: factor.value.filter(|_| whole > 0).map(|value| {
                    // Two decimals, so that the parts add up to what is shown.
                    let hundredths = 100 * value * i64::from(factor.weight) / whole;
                    hundredths as f64 / 100.0
                }),
                explanation: in_words(factor.factor, inputs),
                events: inputs.cited(factor.factor).cloned().collect(),
            })
            .collect()
    }
}

/// What a score is made of, with everything that is needed to compute it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrustBreakdown {
    /// The agent.
    pub agent_id: AgentId,
    /// Its unique name.
    pub agent_name: String,
    /// The score, adjustments included; null: unscored.
    pub overall: Option<i64>,
    /// The value of each factor; null: no data.
    pub factors: BTreeMap<String, Option<i64>>,
    /// The weight of each factor, as configured.
    pub weights: BTreeMap<String, u32>,
    /// The part of each factor in the score, in points; null: no data.
    pub contributions: BTreeMap<String, Option<f64>>,
    /// Which part of the weights has data, 0 to 1.
    pub confidence: f64,
    /// When it was computed; null: not yet.
    pub calculated_at: Option<Timestamp>,
    /// The factors with their words and events.
    pub details: Vec<FactorView>,
    /// What it was computed from; null: not computed yet.
    pub inputs: Option<Inputs>,
}

/// A change of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The change.
    pub id: Uuid,
    /// The agent.
    pub agent_id: AgentId,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The score after it; null: unscored.
    pub trust_score: Option<i64>,
    /// The score before it; null: unscored.
    pub previous_score: Option<i64>,
    /// Why, in words.
    pub reason: String,
    /// Why, one by one.
    pub causes: Vec<Cause>,
    /// When.
    pub timestamp: Timestamp,
}

impl HistoryEntry {
    /// The entry of a row.
    #[must_use]
    pub fn of(row: HistoryRow) -> Self {
        let causes: Vec<Cause> = serde_json::from_value(row.causes.0).unwrap_or_default();
        let words: Vec<&str> = causes.iter().map(|cause| cause.words.as_str()).collect();
        Self {
            id: row.id.uuid(),
            agent_id: row.agent_id,
            organization_id: row.org_id,
            trust_score: row.score,
            previous_score: row.previous_score,
            reason: words.join(" "),
            causes,
            timestamp: row.created_at,
        }
    }
}

/// The score at the end of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayScore {
    /// The start of the day in UTC.
    pub day: Timestamp,
    /// The score; null: unscored.
    pub trust_score: Option<i64>,
}

/// Something that happened to the agent, to be marked beside its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Marker {
    /// The audit record's index.
    pub leaf_index: i64,
    /// Its action.
    pub action: String,
    /// What happened, in words.
    pub words: String,
    /// When.
    pub timestamp: Timestamp,
}

/// How a score came to be what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrustHistory {
    /// The agent.
    pub agent_id: AgentId,
    /// Its unique name.
    pub agent_name: String,
    /// The changes, newest first.
    pub history: Vec<HistoryEntry>,
    /// How many changes there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
    /// The score of each of the last 90 days on which it was computed, the oldest first.
    pub days: Vec<DayScore>,
    /// What happened to the agent in those days, newest first; at most 100.
    pub markers: Vec<Marker>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// How many to skip.
    pub offset: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A new adjustment.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdjustment {
    /// How many points it adds (or, below zero, takes): -100 to 100, not 0.
    #[schema(minimum = -100, maximum = 100)]
    pub delta: i64,
    /// Why; 1 to 500 characters.
    pub reason: String,
    /// When it ends by itself: a moment to come, within a year.
    pub expires_at: Timestamp,
}

impl NewAdjustment {
    /// Checks what was sent.
    ///
    /// # Errors
    /// `request.field_invalid` by field.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        if self.delta == 0 || self.delta.unsigned_abs() > MOST_POINTS.unsigned_abs() {
            return Err(Error::field(
                "delta",
                format!("delta is -{MOST_POINTS} to {MOST_POINTS}, and not 0"),
            ));
        }
        let reason = self.reason.trim();
        if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
            return Err(Error::field(
                "reason",
                format!("say why in 1 to {LONGEST_REASON} characters, for those who read the history"),
            ));
        }
        if reason
            .chars()
            .any(|character| character.is_control() && !"\n\r\t".contains(character))
        {
            return Err(Error::field(
                "reason",
                "control characters are not accepted; leave them out",
            ));
        }
        if self.expires_at <= now || self.expires_at > now + LONGEST {
            return Err(Error::field(
                "expires_at",
                "expires_at is a moment to come, within a year; an adjustment is no setting for ever",
            ));
        }
        Ok(())
    }
}

/// An adjustment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdjustmentView {
    /// The adjustment.
    pub id: AdjustmentId,
    /// The agent.
    pub agent_id: AgentId,
    /// How many points it adds or takes.
    pub delta: i64,
    /// Why.
    pub reason: String,
    /// `in_force`, `expired` or `withdrawn`.
    pub status: String,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was withdrawn; null: it was not.
    pub withdrawn_at: Option<Timestamp>,
    /// Who withdrew it, as `kind:id`.
    pub withdrawn_by: Option<String>,
}

impl AdjustmentView {
    /// The view of a row at `now`.
    #[must_use]
    pub fn of(row: AdjustmentRow, now: Timestamp) -> Self {
        let status = match row.withdrawn_at {
            Some(_) => "withdrawn",
            None if row.expires_at <= now => "expired",
            None => "in_force",
        };
        Self {
            id: row.id,
            agent_id: row.agent_id,
            delta: row.delta,
            reason: row.reason,
            status: status.to_owned(),
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            withdrawn_at: row.withdrawn_at,
            withdrawn_by: row.withdrawn_by,
        }
    }
}

/// A page of adjustments, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdjustmentList {
    /// The adjustments.
    pub adjustments: Vec<AdjustmentView>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjustment_moves_something_says_why_and_ends() {
        let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        let good = NewAdjustment {
            delta: -10,
            reason: "seen in an incident".to_owned(),
            expires_at: now + TimeDelta::days(30),
        };
        assert!(good.check(now).is_ok());
        let spoiled = |spoil: fn(&mut NewAdjustment)| {
            let mut adjustment = good.clone();
            spoil(&mut adjustment);
            adjustment.check(now).unwrap_err().field.unwrap()
        };
        assert_eq!(spoiled(|bad| bad.delta = 0), "delta");
        assert_eq!(spoiled(|bad| bad.delta = 101), "delta");
        assert_eq!(spoiled(|bad| bad.delta = i64::MIN), "delta");
        assert_eq!(spoiled(|bad| bad.reason = " ".to_owned()), "reason");
        assert_eq!(spoiled(|bad| bad.reason = "x".repeat(501)), "reason");
        assert_eq!(spoiled(|bad| bad.reason = "\u{7}".to_owned()), "reason");
        assert_eq!(
            spoiled(|bad| bad.expires_at = Timestamp::parse("2026-03-01T12:00:00Z").unwrap()),
            "expires_at"
        );
        assert_eq!(
            spoiled(|bad| bad.expires_at = bad.expires_at + TimeDelta::days(400)),
            "expires_at"
        );
    }
}
