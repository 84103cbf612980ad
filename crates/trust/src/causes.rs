//! Why a score changed: what differs between the inputs of two scores. Pure, like the score itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::score::{Cited, Factor, Inputs, compute};

/// One reason why a score changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// The factor whose value changed, or `adjustment`, `configuration` or `data`.
    pub cause: String,
    /// Its value before; none: no data.
    pub before: Option<i64>,
    /// Its value after; none: no data.
    pub after: Option<i64>,
    /// In words.
    pub words: String,
    /// What was recorded since and is cited now.
    pub events: Vec<Cited>,
}

/// The reasons for the step from `before` to `after`: every factor whose value is another one, in the order
/// of what it moved, then adjustments, configuration, and whether there was enough data.
#[must_use]
pub fn explain(before: Option<&Inputs>, after: &Inputs) -> Vec<Cause> {
    let outcome = compute(after);
    let Some(earlier) = before else {
        return vec![Cause {
            cause: "data".to_owned(),
            before: None,
            after: outcome.score,
            words: "The first score.".to_owned(),
            events: Vec::new(),
        }];
    };
    let previous = compute(earlier);
    let mut causes: Vec<(i64, Cause)> = Factor::ALL
        .into_iter()
        .filter_map(|factor| {
            let (old, new) = (previous.value(factor), outcome.value(factor));
            let weight = i64::from(crate::score::weight_of(&after.weights, factor));
            (old != new && weight > 0).then(|| {
                let moved = (new.unwrap_or(0) - old.unwrap_or(0)).abs() * weight;
                (moved, of_factor(factor, old, new, earlier, after))
            })
        })
        .collect();
    causes.sort_by_key(|(moved, _)| std::cmp::Reverse(*moved));
    let mut causes: Vec<Cause> = causes.into_iter().map(|(_, cause)| cause).collect();
    let delta =
        |inputs: &Inputs| -> i64 { inputs.adjustments.iter().map(|adjustment| adjustment.delta).sum() };
    if earlier.adjustments != after.adjustments {
        let (old, new) = (delta(earlier), delta(after));
        causes.push(Cause {
            cause: "adjustment".to_owned(),
            before: Some(old),
            after: Some(new),
            words: format!("Adjustments by hand: {old:+} points before, {new:+} now.").replace("+0", "0"),
            events: Vec::new(),
        });
    }
    let settings = |inputs: &Inputs| {
        (
            inputs.formula,
            inputs.weights,
            inputs.half_life_days,
            inputs.minimum_events,
        )
    };
    if settings(earlier) != settings(after) {
        causes.push(Cause {
            cause: "configuration".to_owned(),
            before: None,
            after: None,
            words: "The weights or other settings of the score were changed.".to_owned(),
            events: Vec::new(),
        });
    }
    if previous.score.is_some() != outcome.score.is_some() {
        let (old, new) = (earlier.decisions.total(), after.decisions.total());
        let least = after.minimum_events;
        causes.push(Cause {
            cause: "data".to_owned(),
            before: Some(old),
            after: Some(new),
            words: if outcome.score.is_some() {
                format!("There are {new} decided actions now, enough for a score (at least {least}).")
            } else {
                format!("There are {new} decided actions only; a score takes at least {least}.")
            },
            events: Vec::new(),
        });
    }
    causes
}

fn of_factor(factor: Factor, old: Option<i64>, new: Option<i64>, earlier: &Inputs, after: &Inputs) -> Cause {
    let known: Vec<(&str, &str, &str)> = earlier
        .cited(factor)
        .map(|cited| (cited.kind.as_str(), cited.id.as_str(), cited.note.as_str()))
        .collect();
    let events: Vec<Cited> = after
        .cited(factor)
        .filter(|cited| !known.contains(&(cited.kind.as_str(), cited.id.as_str(), cited.note.as_str())))
        .cloned()
        .collect();
    let label = factor.label();
    let mut words = match (old, new) {
        (None, Some(new)) => format!("{label} has data now: {new}."),
        (Some(_), None) => format!("{label} has no data any more."),
        (Some(old), Some(new)) if new < old => format!("{label} fell from {old} to {new}."),
        (old, new) => format!("{label} rose from {} to {}.", old.unwrap_or(0), new.unwrap_or(0)),
    };
    let notes: Vec<&str> = events.iter().map(|event| event.note.as_str()).collect();
    if !notes.is_empty() {
        words.push_str(&format!(" New: {}.", notes.join("; ")));
    } else if new > old
        && matches!(
            factor,
            Factor::Violations | Factor::Incidents | Factor::VerificationSuccess
        )
    {
        words.push_str(" What is older counts less.");
    }
    Cause {
        cause: factor.name().to_owned(),
        before: old,
        after: new,
        words,
        events,
    }
}
