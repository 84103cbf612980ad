//! Counts by hour and by day, and which part of them is wanted.

use aim_core::{AgentId, Error, Result, Timestamp};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The agent that stands for the whole organisation.
pub const EVERYBODY: AgentId = AgentId::from_uuid(Uuid::nil());
/// How many hours one answer holds at most: 31 days.
const MOST_HOURS: i64 = 31 * 24;
/// How many days one answer holds at most.
const MOST_DAYS: i64 = 366;

/// How many of each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Actions that were approved at once.
    pub approved: i64,
    /// Actions that were denied.
    pub denied: i64,
    /// Actions that had to wait for a person.
    pub pending: i64,
    /// Requests that did not get as far as a decision, such as forged or replayed ones.
    pub refused: i64,
}

impl Counts {
    /// Adds `other`.
    pub const fn add(&mut self, other: &Self) {
        self.approved += other.approved;
        self.denied += other.denied;
        self.pending += other.pending;
        self.refused += other.refused;
    }

    /// Counts one record of a kind and outcome; whether it is one that counts.
    pub fn count(&mut self, kind: &str, outcome: &str) -> bool {
        let place = match (kind, outcome) {
            ("decision", "approved") => &mut self.approved,
            ("decision", "denied") => &mut self.denied,
            ("decision", "pending") => &mut self.pending,
            ("event", "refused") => &mut self.refused,
            _ => return false,
        };
        *place += 1;
        true
    }

    /// How many decisions there were.
    #[must_use]
    pub const fn decisions(&self) -> i64 {
        self.approved + self.denied + self.pending
    }
}

/// The start of the hour of `moment`.
#[must_use]
pub fn hour_of(moment: Timestamp) -> Timestamp {
    start_of(moment, 3_600)
}

/// The start of the UTC day of `moment`.
#[must_use]
pub fn day_of(moment: Timestamp) -> Timestamp {
    start_of(moment, 86_400)
}

fn start_of(moment: Timestamp, seconds: i64) -> Timestamp {
    let into = TimeDelta::seconds(moment.timestamp().rem_euclid(seconds))
        + TimeDelta::nanoseconds(i64::from(moment.timestamp_subsec_nanos()));
    moment - into
}

/// How long one point of a series is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// An hour.
    #[default]
    Hour,
    /// A day, in UTC.
    Day,
}

impl Granularity {
    /// How long a point is.
    #[must_use]
    pub const fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
        }
    }

    /// The start of the point that `moment` lies in.
    #[must_use]
    pub fn start_of(self, moment: Timestamp) -> Timestamp {
        match self {
            Self::Hour => hour_of(moment),
            Self::Day => day_of(moment),
        }
    }
}

/// Which activity is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// Of this agent; left out, of the whole organisation.
    pub agent_id: Option<AgentId>,
    /// `hour` (the default) or `day`.
    #[serde(default)]
    pub granularity: Granularity,
    /// From this moment on; left out, 24 hours or 30 days back.
    pub from: Option<Timestamp>,
    /// Up to this moment; left out, now. At most 31 days of hours, or 366 of days.
    pub to: Option<Timestamp>,
}

/// [`ActivityQuery`], checked: whole points, from the first to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The start of the first point.
    pub from: Timestamp,
    /// The end of the last point.
    pub to: Timestamp,
    /// How long a point is.
    pub granularity: Granularity,
}

impl Span {
    /// The points from the one that `from` lies in to the one before `to`.
    ///
    /// # Errors
    /// Names `from` when there is nothing or too much in between.
    pub fn parse(query: &ActivityQuery, now: Timestamp) -> Result<Self> {
        let granularity = query.granularity;
        let (usual, most) = match granularity {
            Granularity::Hour => (24, MOST_HOURS),
            Granularity::Day => (30, MOST_DAYS),
        };
        let length = granularity.length();
        let last = query.to.unwrap_or(now);
        let from = granularity.start_of(query.from.unwrap_or(last - length * (usual - 1)));
        let start_of_last = granularity.start_of(last);
        let to = if start_of_last == last && query.to.is_some() {
            last
        } else {
            start_of_last + length
        };
        if from >= to {
            return Err(Error::field("from", "from must lie before to"));
        }
        if (to - from).num_seconds() / length.num_seconds() > most {
            return Err(Error::field(
                "from",
                format!("at most {most} points at once; take a shorter time, or days instead of hours"),
            ));
        }
        Ok(Self {
            from,
            to,
            granularity,
        })
    }

    /// A series without gaps from the counts by hour.
    #[must_use]
    pub fn series(&self, hours: impl IntoIterator<Item = (Timestamp, Counts)>) -> Vec<Point> {
        let mut points = Vec::new();
        let mut at = self.from;
        while at < self.to {
            points.push(Point {
                at,
                counts: Counts::default(),
            });
            at = at + self.granularity.length();
        }
        for (hour, counts) in hours {
            let start = self.granularity.start_of(hour);
            if let Ok(index) = points.binary_search_by_key(&start, |point| point.at)
                && let Some(point) = points.get_mut(index)
            {
                point.counts.add(&counts);
            }
        }
        points
    }
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// Where it starts.
    pub at: Timestamp,
    /// What there was in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Activity over time, without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activity {
    /// The agent, if it is one agent's.
    pub agent_id: Option<AgentId>,
    /// How long a point is.
    pub granularity: Granularity,
    /// Where the first point starts.
    pub from: Timestamp,
    /// Where the last point ends.
    pub to: Timestamp,
    /// The points, the earliest first.
    pub series: Vec<Point>,
    /// All of them together.
    pub totals: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn an_hour_and_a_day_start_where_the_clock_does() {
        let moment = at("2026-11-23T10:59:59.999999Z");
        assert_eq!(hour_of(moment), at("2026-11-23T10:00:00Z"));
        assert_eq!(day_of(moment), at("2026-11-23T00:00:00Z"));
        assert_eq!(hour_of(at("1969-12-31T23:30:00Z")), at("1969-12-31T23:00:00Z"));
    }

    #[test]
    fn left_out_it_is_the_last_day_or_month_up_to_now() {
        let now = at("2026-11-23T10:30:00Z");
        let span = Span::parse(&ActivityQuery::default(), now).unwrap();
        assert_eq!(
            (span.from, span.to),
            (at("2026-11-22T11:00:00Z"), at("2026-11-23T11:00:00Z"))
        );
        assert_eq!(span.series([]).len(), 24);
        let days = ActivityQuery {
            granularity: Granularity::Day,
            ..ActivityQuery::default()
        };
        let span = Span::parse(&days, now).unwrap();
        assert_eq!(span.series([]).len(), 30);
        assert_eq!(span.to, at("2026-11-24T00:00:00Z"));
    }

    #[test]
    fn hours_fall_into_their_days_and_gaps_are_zero() {
        let query = ActivityQuery {
            granularity: Granularity::Day,
            from: Some(at("2026-11-20T05:00:00Z")),
            to: Some(at("2026-11-23T00:00:00Z")),
            ..ActivityQuery::default()
        };
        let span = Span::parse(&query, at("2026-11-25T00:00:00Z")).unwrap();
        let one = Counts {
            approved: 1,
            ..Counts::default()
        };
        let series = span.series([
            (at("2026-11-20T23:00:00Z"), one),
            (at("2026-11-20T00:00:00Z"), one),
            (at("2026-11-22T10:00:00Z"), one),
        ]);
        let approved: Vec<_> = series.iter().map(|point| point.counts.approved).collect();
        assert_eq!(approved, [2, 0, 1]);
    }

    #[test]
    fn nothing_and_too_much_are_refused_by_name() {
        let now = at("2026-11-23T10:30:00Z");
        for (from, to) in [
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("2026-11-24T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-11-23T10:00:00Z"),
        ] {
            let query = ActivityQuery {
                from: Some(at(from)),
                to: Some(at(to)),
                ..ActivityQuery::default()
            };
            let error = Span::parse(&query, now).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("from"));
        }
    }
}
