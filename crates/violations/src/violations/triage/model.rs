//! The states of a violation, what callers send to change them, and what a filter by them selects.

use aim_core::{AgentId, Ctx, Error, Result, Timestamp, ViolationId};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::{GroupTriageRow, TriageRow};
use crate::{parameters, violations::groups::GroupKey};

/// The longest that a violation can be suppressed.
const LONGEST_SUPPRESSION: TimeDelta = TimeDelta::days(365);
/// The most characters of a reason.
const NOTE_MAX: usize = 500;

/// What people made of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriageState {
    /// Nobody has dealt with it.
    Open,
    /// Somebody has seen it.
    Acknowledged,
    /// It has been dealt with.
    Resolved,
    /// It is not to be shown as open for a while.
    Suppressed,
}

impl TriageState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Acknowledged, Self::Resolved, Self::Suppressed];

    /// The name on the wire and in the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Suppressed => "suppressed",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Which states a list selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriageFilter {
    /// States that somebody set, at least one of them; never `open`.
    pub(in crate::violations) states: Vec<TriageState>,
    /// Whether what is in one of the states is wanted, or all else.
    pub(in crate::violations) inside: bool,
    /// The moment for which a suppression counts.
    pub(in crate::violations) at: Timestamp,
}

impl TriageFilter {
    /// The filter for these names; nothing when they select every state.
    ///
    /// # Errors
    /// Names the parameter when a name is none.
    pub fn parse(names: &[String], at: Timestamp) -> Result<Option<Self>> {
        let help = "state is open, acknowledged, resolved or suppressed";
        let wanted = names
            .iter()
            .map(|name| TriageState::parse(name).ok_or_else(|| Error::field("state", help)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::of(&wanted, at))
    }

    /// The filter for these states; nothing when they are none or all.
    #[must_use]
    pub fn of(wanted: &[TriageState], at: Timestamp) -> Option<Self> {
        // Most violations are open, so "open" is told by what it is not.
        let inside = !wanted.contains(&TriageState::Open);
        let states: Vec<TriageState> = TriageState::ALL
            .into_iter()
            .filter(|state| *state != TriageState::Open && wanted.contains(state) == inside)
            .collect();
        (!states.is_empty() && !wanted.is_empty()).then_some(Self { states, inside, at })
    }

    /// The same states the other way round.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            inside: !self.inside,
            ..self.clone()
        }
    }

    /// The names of the states, as a list in SQL.
    pub(in crate::violations) fn names(&self) -> String {
        let names: Vec<String> = self
            .states
            .iter()
            .map(|state| format!("'{}'", state.as_str()))
            .collect();
        names.join(", ")
    }
}

/// Who set a state, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriageView {
    /// The state that was set.
    pub state: TriageState,
    /// Why, in the words of who set it; may be empty.
    pub reason: String,
    /// Who set it, as `kind:id`.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when it is suppressed.
    pub until: Option<Timestamp>,
    /// Whether it was said of all repeats, or of one violation.
    pub of_group: bool,
}

impl TriageView {
    /// What is said of one violation, if it still counts.
    pub(in crate::violations) fn of_one(row: &TriageRow, now: Timestamp) -> Option<Self> {
        view(
            &row.state,
            &row.note,
            &row.changed_by,
            row.changed_at,
            row.until,
            false,
            now,
        )
    }

    /// What is said of repeats, if it still counts.
    pub(in crate::violations) fn of_repeats(row: &GroupTriageRow, now: Timestamp) -> Option<Self> {
        view(
            &row.state,
            &row.note,
            &row.changed_by,
            row.changed_at,
            row.until,
            true,
            now,
        )
    }
}

fn view(
    state: &str,
    note: &str,
    by: &str,
    at: Timestamp,
    until: Option<Timestamp>,
    of_group: bool,
    now: Timestamp,
) -> Option<TriageView> {
    let state = TriageState::parse(state)?;
    until.is_none_or(|until| until > now).then(|| TriageView {
        state,
        reason: note.to_owned(),
        by: by.to_owned(),
        at,
        until,
        of_group,
    })
}

/// Why a state is set, where that can be left out.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Why; up to 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Why something counts as dealt with.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// Why; 3 to 500 characters.
    pub reason: String,
}

/// Why something is not to be shown as open, and until when.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// Why; 3 to 500 characters.
    pub reason: String,
    /// Until when (RFC 3339); at most a year from now.
    pub until: Timestamp,
}

/// Repeats of one violation.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupNote {
    /// The agent.
    pub agent_id: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denials.
    pub reason_code: String,
    /// Why; up to 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
    /// The latest violation that was looked at: later ones stay open. If left out, the latest there is.
    #[serde(default)]
    pub through: Option<ViolationId>,
}

/// Repeats of one violation, and why they count as dealt with.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupResolution {
    /// The agent.
    pub agent_id: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denials.
    pub reason_code: String,
    /// Why; 3 to 500 characters.
    pub reason: String,
    /// The latest violation that was looked at: later ones stay open. If left out, the latest there is.
    #[serde(default)]
    pub through: Option<ViolationId>,
}

/// Repeats of one violation, why they are not to be shown as open, and until when.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSuppression {
    /// The agent.
    pub agent_id: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denials.
    pub reason_code: String,
    /// Why; 3 to 500 characters.
    pub reason: String,
    /// Until when (RFC 3339); at most a year from now. Repeats until then are suppressed too.
    pub until: Timestamp,
}

/// What is to be done with repeats that are triaged.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupReopening {
    /// The agent.
    pub agent_id: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denials.
    pub reason_code: String,
    /// Why; up to 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A change of state that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The state that follows.
    pub(super) state: TriageState,
    /// Why; may be empty.
    pub(super) note: String,
    /// Until when, for a suppression.
    pub(super) until: Option<Timestamp>,
}

impl Act {
    /// Somebody has seen it.
    ///
    /// # Errors
    /// 422 naming the field.
    pub fn acknowledge(reason: Option<&str>) -> Result<Self> {
        Self::checked(TriageState::Acknowledged, reason.unwrap_or_default(), 0)
    }

    /// It has been dealt with.
    ///
    /// # Errors
    /// 422 naming the field.
    pub fn resolve(reason: &str) -> Result<Self> {
        Self::checked(TriageState::Resolved, reason, 3)
    }

    /// It is not to be shown as open until then.
    ///
    /// # Errors
    /// 422 naming the field.
    pub fn suppress(ctx: &Ctx, reason: &str, until: Timestamp) -> Result<Self> {
        if until <= ctx.now {
            return Err(Error::field(
                "until",
                "until is over already; choose a moment to come",
            ));
        }
        if until > ctx.now + LONGEST_SUPPRESSION {
            return Err(Error::field(
                "until",
                "until is more than a year away; choose an earlier moment",
            ));
        }
        Ok(Self {
            until: Some(until),
            ..Self::checked(TriageState::Suppressed, reason, 3)?
        })
    }

    /// It is open again.
    ///
    /// # Errors
    /// 422 naming the field.
    pub fn reopen(reason: Option<&str>) -> Result<Self> {
        Self::checked(TriageState::Open, reason.unwrap_or_default(), 0)
    }

    fn checked(state: TriageState, reason: &str, least: usize) -> Result<Self> {
        parameters::prose("reason", reason, least, NOTE_MAX)?;
        Ok(Self {
            state,
            note: reason.trim().to_owned(),
            until: None,
        })
    }

    /// What the audit log calls it, done to one violation.
    pub(super) const fn event(&self) -> &'static str {
        match self.state {
            TriageState::Open => "violation.reopened",
            TriageState::Acknowledged => "violation.acknowledged",
            TriageState::Resolved => "violation.resolved",
            TriageState::Suppressed => "violation.suppressed",
        }
    }

    /// What the audit log calls it, done to repeats.
    pub(super) const fn group_event(&self) -> &'static str {
        match self.state {
            TriageState::Open => "violation_group.reopened",
            TriageState::Acknowledged => "violation_group.acknowledged",
            TriageState::Resolved => "violation_group.resolved",
            TriageState::Suppressed => "violation_group.suppressed",
        }
    }
}

/// Which repeats are meant.
pub(super) fn key(ctx: &Ctx, agent: AgentId, capability: &str, reason_code: &str) -> Result<GroupKey> {
    let word = |name: &str, text: &str| parameters::word(name, Some(text)).map(Option::unwrap_or_default);
    Ok(GroupKey {
        organization: ctx.organization,
        agent,
        attempted_capability: word("attempted_capability", capability)?,
        reason_code: word("reason_code", reason_code)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_is_told_by_what_it_is_not_and_every_state_needs_no_filter() {
        use TriageState::{Acknowledged, Open, Resolved, Suppressed};
        let at = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let of = |wanted: &[TriageState]| {
            TriageFilter::of(wanted, at).map(|filter| (filter.inside, filter.states))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&TriageState::ALL), None);
        assert_eq!(
            of(&[Open]),
            Some((false, vec![Acknowledged, Resolved, Suppressed]))
        );
        assert_eq!(
            of(&[Open, Suppressed]),
            Some((false, vec![Acknowledged, Resolved]))
        );
        assert_eq!(of(&[Resolved, Resolved]), Some((true, vec![Resolved])));
        assert_eq!(
            of(&[Suppressed, Acknowledged, Resolved]),
            Some((true, vec![Acknowledged, Resolved, Suppressed]))
        );
        let refusal = TriageFilter::parse(&["closed".to_owned()], at).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("state"));
    }
}
