//! What is usual for an agent: medians and median absolute deviations over its own hours, so that a few wild
//! hours in the past do not make everything usual (as a mean and a standard deviation would).

use aim_core::Timestamp;
use aim_platform::ThreatLimits;
use chrono::{Datelike, Timelike};

/// 1 / Φ⁻¹(3/4): makes the median absolute deviation of a normal distribution its standard deviation.
const CONSISTENCY: f64 = 1.4826;
/// How far above the greatest hour of the past an hour must lie as well.
const ABOVE_GREATEST: f64 = 1.5;

/// A middle and a spread that outliers do not move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Robust {
    /// The median.
    pub median: f64,
    /// The spread: 1.4826 × MAD, but at least a tenth of the median, and 1.
    pub spread: f64,
    /// The greatest value.
    pub greatest: f64,
    /// How many values there were.
    pub count: usize,
}

impl Robust {
    /// The summary of `values`; none of nothing.
    #[must_use]
    pub fn of(values: &[i64]) -> Option<Self> {
        let mut values: Vec<f64> = values.iter().map(|value| *value as f64).collect();
        let middle = median(&mut values)?;
        let greatest = values.last().copied()?;
        let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        let deviation = median(&mut distances)?;
        Some(Self {
            median: middle,
            spread: (CONSISTENCY * deviation).max(middle / 10.0).max(1.0),
            greatest,
            count: values.len(),
        })
    }

    /// What lies `deviations` spreads above the median.
    #[must_use]
    pub fn above(&self, deviations: i64) -> f64 {
        self.median + deviations as f64 * self.spread
    }
}

/// Sorts `values` and answers their median.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = values.get(middle.checked_sub(1)?).copied()?;
    Some(f64::midpoint(lower, upper))
}

/// What is usual for one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Over all hours in which it acted.
    pub overall: Robust,
    /// By hour of the day (UTC), with the hours before and after.
    by_hour: Vec<Option<Robust>>,
    /// Days of the week (from Monday) on which it acted.
    weekdays: [bool; 7],
    /// How many days there are from its first hour to the moment the baseline was made.
    pub days: i64,
}

/// An hour's limit, and what it was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeLimit {
    /// Decisions above this are unusual.
    pub limit: i64,
    /// The agent's median hour.
    pub median: f64,
    /// The greatest hour around this time of day.
    pub greatest: f64,
}

impl Baseline {
    /// The baseline of whole past hours with their counts, at `now`. None when there is too little history.
    #[must_use]
    pub fn of(hours: &[(Timestamp, i64)], now: Timestamp, limits: &ThreatLimits) -> Option<Self> {
        let active: Vec<(Timestamp, i64)> = hours.iter().copied().filter(|(_, count)| *count > 0).collect();
        let enough = usize::try_from(limits.baseline_hours).unwrap_or(usize::MAX);
        if active.len() < enough {
            return None;
        }
        let counts: Vec<i64> = active.iter().map(|(_, count)| *count).collect();
        let overall = Robust::of(&counts)?;
        let first = active.iter().map(|(hour, _)| *hour).min()?;
        let mut weekdays = [false; 7];
        for (hour, _) in &active {
            if let Some(day) = weekdays.get_mut(hour.weekday().num_days_from_monday() as usize) {
                *day = true;
            }
        }
        let near = |wanted: u32| -> Vec<i64> {
            active
                .iter()
                .filter(|(hour, _)| matches!((hour.hour() + 24 - wanted) % 24, 0 | 1 | 23))
                .map(|(_, count)| *count)
                .collect()
        };
        Some(Self {
            overall,
            by_hour: (0..24).map(|hour| Robust::of(&near(hour))).collect(),
            weekdays,
            days: (now - first).num_days(),
        })
    }

    fn at(&self, hour: Timestamp) -> Option<Robust> {
        self.by_hour.get(hour.hour() as usize).copied().flatten()
    }

    /// How many decisions in this hour would be far outside of what is usual.
    #[must_use]
    pub fn volume_limit(&self, hour: Timestamp, limits: &ThreatLimits) -> VolumeLimit {
        let overall = self.overall.above(limits.volume_deviations);
        let near = self.at(hour);
        // A nightly job is usual at night: the same time of day has a say, and so has its greatest hour.
        let same_time = near.map_or(0.0, |near| near.above(limits.volume_deviations));
        let greatest = near.map_or(0.0, |near| near.greatest);
        let limit = overall
            .max(same_time)
            .max(greatest * ABOVE_GREATEST)
            .max(limits.volume_floor as f64);
        VolumeLimit {
            limit: limit.ceil() as i64,
            median: self.overall.median,
            greatest,
        }
    }

    /// Why it is unusual for the agent to act in this hour, if it is.
    #[must_use]
    pub fn unusual_hour(&self, hour: Timestamp, limits: &ThreatLimits) -> Option<&'static str> {
        if self.days < limits.baseline_minimum_days {
            return None;
        }
        if self.at(hour).is_none() {
            return Some("time_of_day");
        }
        let weekday = hour.weekday().num_days_from_monday() as usize;
        let seen = self.weekdays.get(weekday).copied().unwrap_or(true);
        // Three such days must have gone by.
        (!seen && self.days >= 21).then_some("weekday")
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn start() -> Timestamp {
        // A Monday.
        Timestamp::parse("2026-10-05T00:00:00Z").unwrap()
    }

    /// `days` of work from 8 to 18 o'clock with 40 to 60 decisions an hour; `weekends` or not.
    fn office(days: i64, weekends: bool) -> Vec<(Timestamp, i64)> {
        (0..days)
            .map(|day| start() + TimeDelta::days(day))
            .filter(|day| weekends || day.weekday().num_days_from_monday() < 5)
            .flat_map(|day| (8..18).map(move |hour| (day + TimeDelta::hours(hour), 40 + (hour * 7) % 20)))
            .collect()
    }

    fn baseline(hours: &[(Timestamp, i64)], days: i64) -> Option<Baseline> {
        Baseline::of(hours, start() + TimeDelta::days(days), &ThreatLimits::default())
    }

    #[test]
    fn a_few_wild_hours_do_not_move_the_middle() {
        let usual: Vec<i64> = (0..50).map(|value| 40 + value % 20).collect();
        let mut wild = usual.clone();
        wild.extend([100_000; 5]);
        let (usual, wild) = (Robust::of(&usual).unwrap(), Robust::of(&wild).unwrap());
        assert!((wild.median - usual.median).abs() <= 2.0);
        assert!(wild.above(8) < 150.0, "{wild:?}");
        assert_eq!(Robust::of(&[]), None);
        assert_eq!(Robust::of(&[5]).unwrap().spread, 1.0, "never a spread of nothing");
    }

    #[test]
    fn there_is_no_baseline_of_too_little() {
        assert!(baseline(&office(4, true), 4).is_none());
        assert!(baseline(&office(5, true), 5).is_some());
    }

    #[test]
    fn a_nightly_job_is_usual_at_night_and_not_at_noon() {
        let mut hours = office(28, true);
        hours.extend((0..28).map(|day| (start() + TimeDelta::days(day) + TimeDelta::hours(2), 9_000)));
        let usual = baseline(&hours, 28).unwrap();
        let limits = ThreatLimits::default();
        let at = |hour: i64| start() + TimeDelta::days(28) + TimeDelta::hours(hour);
        assert!(usual.volume_limit(at(2), &limits).limit > 9_000);
        assert!(usual.volume_limit(at(12), &limits).limit < 300);
    }

    #[test]
    fn a_quiet_agent_is_not_unusual_below_the_floor() {
        let hours: Vec<_> = (0..100)
            .map(|hour| (start() + TimeDelta::hours(hour), 1))
            .collect();
        let usual = baseline(&hours, 20).unwrap();
        assert_eq!(usual.volume_limit(start(), &ThreatLimits::default()).limit, 100);
    }

    #[test]
    fn an_hour_is_unusual_only_when_the_agent_is_known_for_long_enough() {
        let limits = ThreatLimits::default();
        let night = |days: i64| start() + TimeDelta::days(days) + TimeDelta::hours(3);
        let young = baseline(&office(10, false), 10).unwrap();
        assert_eq!(young.unusual_hour(night(10), &limits), None);
        let old = baseline(&office(28, false), 28).unwrap();
        assert_eq!(old.unusual_hour(night(28), &limits), Some("time_of_day"));
        let next_to = start() + TimeDelta::days(28) + TimeDelta::hours(7);
        assert_eq!(
            old.unusual_hour(next_to, &limits),
            None,
            "an hour early is no wonder"
        );
        let saturday = start() + TimeDelta::days(33) + TimeDelta::hours(11);
        assert_eq!(old.unusual_hour(saturday, &limits), Some("weekday"));
        let always = baseline(&office(28, true), 28).unwrap();
        assert_eq!(always.unusual_hour(saturday, &limits), None);
    }
}
