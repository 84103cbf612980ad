//! What the overview shows, and how it says how things stand.

use aim_core::{AgentId, Timestamp};

use crate::activity::model::{Counts, Point};

/// How things stand, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posture {
    /// `good`, `warn`, `bad` or `info`.
    pub tone: &'static str,
    /// The sentence.
    pub words: String,
}

/// What the sentence is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Agents that are not deleted.
    pub agents: i64,
    /// Critical alerts that are not resolved.
    pub critical: i64,
    /// High ones.
    pub high: i64,
    /// Other ones.
    pub other: i64,
    /// Current keys that have expired.
    pub expired_keys: i64,
    /// Current keys that expire within a week.
    pub expiring_keys: i64,
    /// Decisions in the last 24 hours.
    pub decisions: i64,
    /// Denials among them.
    pub denials: i64,
}

impl Standing {
    /// The sentence: the worst thing first, and what to make of it.
    #[must_use]
    pub fn posture(&self) -> Posture {
        let of = |number: i64, one: &str, many: &str| {
            if number == 1 {
                format!("one {one}")
            } else {
                format!("{number} {many}")
            }
        };
        let say = |tone, words: String| Posture {
            tone,
            words: capitalised(&words),
        };
        if self.agents == 0 {
            return say(
                "info",
                "no agent is registered yet: register the first one, and what it does will show here."
                    .to_owned(),
            );
        }
        let mut wrong = Vec::new();
        if self.critical > 0 {
            wrong.push(of(self.critical, "critical alert", "critical alerts"));
        }
        if self.high > 0 {
            wrong.push(of(self.high, "high alert", "high alerts"));
        }
        if self.expired_keys > 0 {
            wrong.push(of(self.expired_keys, "expired key", "expired keys"));
        }
        if !wrong.is_empty() {
            let tone = if self.critical > 0 { "bad" } else { "warn" };
            let needs = if wrong.len() == 1 && self.critical + self.high + self.expired_keys == 1 {
                "needs"
            } else {
                "need"
            };
            return say(tone, format!("{} {needs} attention.", listed(&wrong)));
        }
        let mut notes = Vec::new();
        if self.other > 0 {
            notes.push(of(self.other, "lesser alert is open", "lesser alerts are open"));
        }
        if self.expiring_keys > 0 {
            notes.push(of(
                self.expiring_keys,
                "key expires within a week",
                "keys expire within a week",
            ));
        }
        let activity = match (self.decisions, self.denials) {
            (0, _) => "no agent asked for anything in the last 24 hours".to_owned(),
            (_, 0) => "every action of the last 24 hours was within what was granted".to_owned(),
            (_, denials) => format!(
                "{} in the last 24 hours, and all of them were stopped",
                of(denials, "denied attempt", "denied attempts")
            ),
        };
        if notes.is_empty() {
            return say("good", format!("nothing needs attention: {activity}."));
        }
        say(
            "info",
            format!(
                "nothing is urgent: {}. {}.",
                listed(&notes),
                capitalised(&activity)
            ),
        )
    }
}

fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// A number now, what it was before, and how it came here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trend {
    /// Now, or within the last span.
    pub now: i64,
    /// Before, or within the span before.
    pub before: i64,
    /// The steps in between, the earliest first.
    pub steps: Vec<f64>,
}

impl Trend {
    /// The change in percent; none when there was nothing before.
    #[must_use]
    pub fn change(&self) -> Option<f64> {
        (self.before != 0).then(|| (self.now - self.before) as f64 / self.before as f64 * 100.0)
    }

    /// The trend of one part of the counts over the last 24 of 48 hours.
    #[must_use]
    pub fn of_hours(points: &[Point], part: impl Fn(&Counts) -> i64) -> Self {
        let (before, now) = points.split_at(points.len().saturating_sub(24));
        Self {
            now: now.iter().map(|point| part(&point.counts)).sum(),
            before: before.iter().map(|point| part(&point.counts)).sum(),
            steps: now.iter().map(|point| part(&point.counts) as f64).collect(),
        }
    }

    /// The trend of how many there are, from when each of the latest came; `at` is now.
    #[must_use]
    pub fn of_arrivals(total: i64, arrivals: &[Timestamp], at: Timestamp) -> Self {
        let steps: Vec<f64> = (0..=7)
            .rev()
            .map(|days| {
                let moment = at - chrono::TimeDelta::days(days);
                let later = arrivals.iter().filter(|arrival| **arrival > moment).count();
                (total - i64::try_from(later).unwrap_or(0)) as f64
            })
            .collect();
        Self {
            now: total,
            before: total - i64::try_from(arrivals.len()).unwrap_or(0),
            steps,
        }
    }

    /// The trend of how many came in each of the last seven days, against the seven before.
    #[must_use]
    pub fn of_days(moments: &[Timestamp], at: Timestamp, now: i64) -> Self {
        let within = |from: i64, to: i64| {
            let (from, to) = (
                at - chrono::TimeDelta::days(from),
                at - chrono::TimeDelta::days(to),
            );
            moments
                .iter()
                .filter(|moment| **moment > from && **moment <= to)
                .count()
        };
        Self {
            now,
            before: i64::try_from(within(14, 7)).unwrap_or(0),
            steps: (0..7).rev().map(|day| within(day + 1, day) as f64).collect(),
        }
    }
}

/// A key that expires soon, or has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringKey {
    /// Whose.
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// When.
    pub expires_at: Timestamp,
}

/// A capability that was denied often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedCapability {
    /// The capability.
    pub capability: String,
    /// How often it was denied in the last 24 hours.
    pub count: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_one_is_one() {
        let standing = Standing {
            agents: 3,
            decisions: 10,
            ..Standing::default()
        };
        let say = |standing: Standing| {
            let posture = standing.posture();
            (posture.tone, posture.words)
        };
        assert_eq!(
            say(Standing::default()).1,
            "No agent is registered yet: register the first one, and what it does will show here."
        );
        assert_eq!(
            say(standing),
            (
                "good",
                "Nothing needs attention: every action of the last 24 hours was within what was granted."
                    .to_owned()
            )
        );
        assert_eq!(
            say(Standing {
                denials: 1,
                other: 2,
                expiring_keys: 1,
                ..standing
            }),
            (
                "info",
                "Nothing is urgent: 2 lesser alerts are open and one key expires within a week. One denied \
                 attempt in the last 24 hours, and all of them were stopped."
                    .to_owned()
            )
        );
        assert_eq!(
            say(Standing { high: 1, ..standing }),
            ("warn", "One high alert needs attention.".to_owned())
        );
        assert_eq!(
            say(Standing {
                critical: 1,
                high: 2,
                expired_keys: 1,
                ..standing
            }),
            (
                "bad",
                "One critical alert, 2 high alerts and one expired key need attention.".to_owned()
            )
        );
    }

    #[test]
    fn a_trend_counts_from_when_each_came() {
        let at = Timestamp::parse("2026-11-23T10:00:00Z").unwrap();
        let day = |days| at - chrono::TimeDelta::days(days);
        let trend = Trend::of_arrivals(5, &[day(1), day(3)], at);
        assert_eq!((trend.now, trend.before), (5, 3));
        assert_eq!(trend.steps, [3.0, 3.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]);
        assert_eq!(Trend::of_arrivals(2, &[day(1), day(2)], at).change(), None);
        let raised = Trend::of_days(&[day(0), day(1), day(9)], at, 4);
        assert_eq!((raised.now, raised.before), (4, 1));
        assert_eq!(raised.steps, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }
}
