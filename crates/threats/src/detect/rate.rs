//! Counts of the last minutes, in a bucket a minute: exact to the minute, and as large as the window.

use std::collections::VecDeque;

use aim_core::Timestamp;

/// The decisions of one minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    number: i64,
    all: i64,
    denied: i64,
}

/// Decisions and denials of the last minutes.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    minutes: VecDeque<Minute>,
    denied: VecDeque<i64>,
}

/// How many denials are remembered by their records.
const REMEMBERED: usize = 10;

impl Recent {
    /// Counts a decision in a window of so many minutes.
    pub(super) fn count(&mut self, at: Timestamp, index: i64, denied: bool, window: i64) {
        let number = at.timestamp().div_euclid(60);
        match self.minutes.back_mut() {
            // A clock that runs behind counts into the last minute.
            Some(last) if last.number >= number => {
                last.all += 1;
                last.denied += i64::from(denied);
            }
            _ => self.minutes.push_back(Minute {
                number,
                all: 1,
                denied: i64::from(denied),
            }),
        }
        let latest = self.minutes.back().map_or(number, |last| last.number);
        while self
            .minutes
            .front()
            .is_some_and(|first| first.number + window <= latest)
        {
            self.minutes.pop_front();
        }
        if denied {
            self.denied.push_back(index);
            if self.denied.len() > REMEMBERED {
                self.denied.pop_front();
            }
        }
    }

    /// Decisions and denials in the window.
    pub(super) fn totals(&self) -> (i64, i64) {
        self.minutes.iter().fold((0, 0), |(all, denied), minute| {
            (all + minute.all, denied + minute.denied)
        })
    }

    /// The records of the latest denials.
    pub(super) fn records(&self) -> Vec<i64> {
        self.denied.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let mut recent = Recent::default();
        for minute in 0..20 {
            recent.count(start + TimeDelta::minutes(minute), minute, minute % 2 == 0, 5);
        }
        assert_eq!(recent.totals(), (5, 2));
        assert!(recent.minutes.len() <= 5 && recent.denied.len() <= REMEMBERED);
        recent.count(start, 99, true, 5);
        assert_eq!(
            recent.totals(),
            (6, 3),
            "a clock set back counts into the last minute"
        );
    }
}
