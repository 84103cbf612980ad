//! How sure one can be that a server offers what its manifest says.
//!
//! Each active agent that attested the present manifest takes half of the doubt that is left; how much of that half
//! fades evenly from all of it, at the attestation, to nothing 30 days later:
//!
//! `confidence = 100 × (1 − Π (1 − ½ · freshness))`, `freshness = 1 − age / 30 days`, within 0 and 1.
//!
//! So one agent of today gives 50, two give 75, three 88; one of 15 days ago gives 25. Only an agent's last attestation
//! counts, however often it repeats itself, and only of the manifest that counts now: a change of the manifest starts
//! from nothing. The sixteen newest votes are enough; more of them do not move a whole number. Where there is no vote
//! at all there is no figure.

use aim_core::Timestamp;
use chrono::TimeDelta;

/// How long an attestation counts.
pub const COUNTS_FOR: TimeDelta = TimeDelta::days(30);
/// How many of the newest votes are looked at.
pub const MOST_VOTES: i64 = 16;

/// When an agent last attested the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// When.
    pub attested_at: Timestamp,
}

impl Vote {
    /// How fresh it is at `now`: 1 when it was given, 0 after [`COUNTS_FOR`].
    #[must_use]
    pub fn freshness(self, now: Timestamp) -> f64 {
        let age = (now - self.attested_at).num_milliseconds() as f64;
        let span = COUNTS_FOR.num_milliseconds() as f64;
        (1.0 - age / span).clamp(0.0, 1.0)
    }
}

/// The confidence, 0 to 100, that the votes of distinct agents give at `now`; none without a vote that still counts.
#[must_use]
pub fn confidence(votes: &[Vote], now: Timestamp) -> Option<i64> {
    let mut fresh: Vec<f64> = votes
        .iter()
        .map(|vote| vote.freshness(now))
        .filter(|freshness| *freshness > 0.0)
        .collect();
    // One order, so that the same votes give the same figure to the last bit.
    fresh.sort_by(f64::total_cmp);
    let doubt: f64 = fresh.iter().map(|freshness| 1.0 - freshness / 2.0).product();
    (!fresh.is_empty()).then(|| ((1.0 - doubt) * 100.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days_ago: i64) -> Vote {
        Vote {
            attested_at: now() - TimeDelta::days(days_ago),
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-23T10:00:00Z").unwrap()
    }

    #[test]
    fn the_figures_are_those_of_the_formula() {
        for (votes, figure) in [
            (vec![], None),
            (vec![at(0)], Some(50)),
            (vec![at(15)], Some(25)),
            (vec![at(0), at(0)], Some(75)),
            (vec![at(0), at(0), at(0)], Some(88)),
            (vec![at(0), at(15)], Some(63)),
            (vec![at(29)], Some(2)),
            (vec![at(30)], None),
            (vec![at(400)], None),
            (vec![at(0), at(400)], Some(50)),
            (vec![at(0); 16], Some(100)),
        ] {
            assert_eq!(confidence(&votes, now()), figure, "{votes:?}");
        }
    }

    #[test]
    fn more_agents_never_make_it_less_sure_and_time_never_surer() {
        let mut votes = Vec::new();
        let mut last = 0;
        for age in [29, 3, 17, 0, 8, 22] {
            votes.push(at(age));
            let figure = confidence(&votes, now()).unwrap();
            assert!(figure >= last, "{figure} after {last}");
            last = figure;
        }
        let mut earlier = 100;
        for day in 0..30 {
            let figure = confidence(&votes, now() + TimeDelta::days(day)).unwrap_or(0);
            assert!(figure <= earlier);
            earlier = figure;
        }
    }

    #[test]
    fn a_vote_from_a_clock_that_runs_ahead_counts_as_one_of_now() {
        assert_eq!(confidence(&[at(-1)], now()), Some(50));
    }

    #[test]
    fn the_order_of_the_votes_does_not_matter() {
        let (one, other) = ([at(1), at(9), at(20)], [at(20), at(1), at(9)]);
        assert_eq!(confidence(&one, now()), confidence(&other, now()));
    }
}
