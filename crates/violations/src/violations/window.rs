//! A range of time as a range of ids: a violation's id is a UUIDv7 made for its `created_at`, so the
//! indexes on ids serve filters by time too.

use aim_core::{Timestamp, ViolationId};
use chrono::TimeDelta;
use uuid::Uuid;

/// From (inclusive) to (exclusive); open where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The first moment after it.
    pub to: Option<Timestamp>,
}

impl Window {
    /// The range between two moments.
    #[must_use]
    pub const fn between(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from: Some(from),
            to: Some(to),
        }
    }

    /// Whether nothing lies in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from.zip(self.to).is_some_and(|(from, to)| from >= to)
    }

    /// What lies in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let from = match (self.from, other.from) {
            (Some(one), Some(another)) => Some(one.max(another)),
            (one, another) => one.or(another),
        };
        let to = match (self.to, other.to) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        Self { from, to }
    }

    /// The smallest id that may lie in it.
    #[must_use]
    pub fn first_id(self) -> Option<ViolationId> {
        self.from.map(|from| smallest_id(milliseconds(from)))
    }

    /// The smallest id that lies after it.
    #[must_use]
    pub fn end_id(self) -> Option<ViolationId> {
        self.to
            .map(|to| smallest_id(milliseconds(to) + u64::from(!is_whole(to))))
    }

    /// The smallest id that may lie in it, and the smallest after it; open ends are the ends of all ids.
    #[must_use]
    pub fn ids(self) -> (ViolationId, ViolationId) {
        let first = self
            .first_id()
            .unwrap_or_else(|| ViolationId::from_uuid(Uuid::nil()));
        let end = self
            .end_id()
            .unwrap_or_else(|| ViolationId::from_uuid(Uuid::max()));
        (first, end)
    }

    /// The start, where ids (which know milliseconds) do not tell it exactly.
    #[must_use]
    pub fn exact_from(self) -> Option<Timestamp> {
        self.from.filter(|from| !is_whole(*from))
    }

    /// The end, where ids (which know milliseconds) do not tell it exactly.
    #[must_use]
    pub fn exact_to(self) -> Option<Timestamp> {
        self.to.filter(|to| !is_whole(*to))
    }
}

/// The milliseconds since 1970 that a UUIDv7 made for the moment carries (RFC 9562 §5.7).
fn milliseconds(moment: Timestamp) -> u64 {
    u64::try_from(moment.timestamp_millis()).unwrap_or(0)
}

fn is_whole(moment: Timestamp) -> bool {
    moment.timestamp_subsec_nanos().is_multiple_of(1_000_000)
}

fn smallest_id(milliseconds: u64) -> ViolationId {
    ViolationId::from_uuid(Uuid::from_u64_pair(milliseconds << 16, 0))
}

/// The parts into which a total takes a window apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Whole days of UTC; nothing, or a window that may be open at either end.
    pub days: Option<Window>,
    /// Whole hours of UTC.
    pub hours: Vec<Window>,
    /// Less than an hour each: here the rows themselves are counted.
    pub rows: Vec<Window>,
}

impl Parts {
    /// Takes the window apart: each moment of it lies in exactly one part.
    #[must_use]
    pub fn of(window: Window) -> Self {
        if window.is_empty() {
            return Self::default();
        }
        let whole_hours = inner(window, TimeDelta::hours(1));
        if whole_hours
            .from
            .zip(whole_hours.to)
            .is_some_and(|(from, to)| from >= to)
        {
            return Self {
                rows: vec![window],
                ..Self::default()
            };
        }
        let whole_days = inner(whole_hours, TimeDelta::days(1));
        let mut parts = Self {
            rows: around(window, whole_hours),
            ..Self::default()
        };
        if whole_days
            .from
            .zip(whole_days.to)
            .is_some_and(|(from, to)| from >= to)
        {
            parts.hours.push(whole_hours);
        } else {
            parts.hours = around(whole_hours, whole_days);
            parts.days = Some(whole_days);
        }
        parts
    }
}

/// The largest window of whole units inside `window`; with its start not before its end if there is none.
fn inner(window: Window, unit: TimeDelta) -> Window {
    Window {
        from: window.from.map(|from| {
            let start = start_of(from, unit);
            if start == from { start } else { start + unit }
        }),
        to: window.to.map(|to| start_of(to, unit)),
    }
}

/// The start of the unit, counted from 1970, in which the moment lies.
pub(super) fn start_of(moment: Timestamp, unit: TimeDelta) -> Timestamp {
    let sub_second = TimeDelta::nanoseconds(i64::from(moment.timestamp_subsec_nanos()));
    let over = moment.timestamp().rem_euclid(unit.num_seconds().max(1));
    moment - sub_second - TimeDelta::seconds(over)
}

/// What lies in `outer` before and after `core`.
fn around(outer: Window, core: Window) -> Vec<Window> {
    let before = outer
        .from
        .zip(core.from)
        .map(|(from, to)| Window::between(from, to));
    let after = core.to.zip(outer.to).map(|(from, to)| Window::between(from, to));
    before
        .into_iter()
        .chain(after)
        .filter(|window| !window.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn window(from: Option<&str>, to: Option<&str>) -> Window {
        Window {
            from: from.map(at),
            to: to.map(at),
        }
    }

    #[test]
    fn a_long_window_is_days_hours_at_the_edges_and_less_than_two_hours_of_rows() {
        let parts = Parts::of(window(
            Some("2026-01-01T10:30:00Z"),
            Some("2026-01-04T02:15:00.5Z"),
        ));
        assert_eq!(
            parts.days,
            Some(window(Some("2026-01-02T00:00:00Z"), Some("2026-01-04T00:00:00Z")))
        );
        assert_eq!(
            parts.hours,
            [
                window(Some("2026-01-01T11:00:00Z"), Some("2026-01-02T00:00:00Z")),
                window(Some("2026-01-04T00:00:00Z"), Some("2026-01-04T02:00:00Z")),
            ]
        );
        assert_eq!(
            parts.rows,
            [
                window(Some("2026-01-01T10:30:00Z"), Some("2026-01-01T11:00:00Z")),
                window(Some("2026-01-04T02:00:00Z"), Some("2026-01-04T02:15:00.5Z")),
            ]
        );
    }

    #[test]
    fn open_windows_stay_open_in_their_days_alone() {
        assert_eq!(
            Parts::of(Window::default()),
            Parts {
                days: Some(Window::default()),
                ..Parts::default()
            }
        );
        let parts = Parts::of(window(Some("2026-01-01T00:00:00Z"), None));
        assert_eq!(
            parts,
            Parts {
                days: Some(window(Some("2026-01-01T00:00:00Z"), None)),
                ..Parts::default()
            }
        );
        let parts = Parts::of(window(None, Some("2026-01-01T01:00:00Z")));
        assert_eq!(parts.days, Some(window(None, Some("2026-01-01T00:00:00Z"))));
        assert_eq!(
            parts.hours,
            [window(Some("2026-01-01T00:00:00Z"), Some("2026-01-01T01:00:00Z"))]
        );
        assert!(parts.rows.is_empty());
    }

    #[test]
    fn short_windows_are_rows_or_hours() {
        let within = window(Some("2026-01-01T10:10:00Z"), Some("2026-01-01T10:20:00Z"));
        assert_eq!(Parts::of(within).rows, [within]);
        let across = window(Some("2026-01-01T10:10:00Z"), Some("2026-01-01T11:20:00Z"));
        assert_eq!(Parts::of(across).rows, [across]);
        let hours = window(Some("2026-01-01T22:00:00Z"), Some("2026-01-02T03:00:00Z"));
        let parts = Parts::of(hours);
        assert_eq!((parts.hours, parts.days), (vec![hours], None));
        assert_eq!(
            Parts::of(window(Some("2026-01-01T10:00:00Z"), Some("2026-01-01T10:00:00Z"))),
            Parts::default()
        );
    }

    #[test]
    fn ids_bound_a_window_to_the_millisecond_and_columns_beyond() {
        let made = |text: &str| ViolationId::generate(at(text));
        let whole = window(Some("2026-01-01T10:00:00.001Z"), Some("2026-01-01T10:00:00.003Z"));
        assert!(made("2026-01-01T10:00:00.000999Z") < whole.first_id().unwrap());
        assert!(made("2026-01-01T10:00:00.001Z") >= whole.first_id().unwrap());
        assert!(made("2026-01-01T10:00:00.002999Z") < whole.end_id().unwrap());
        assert!(made("2026-01-01T10:00:00.003Z") >= whole.end_id().unwrap());
        assert_eq!((whole.exact_from(), whole.exact_to()), (None, None));
        let broken = window(
            Some("2026-01-01T10:00:00.0015Z"),
            Some("2026-01-01T10:00:00.0025Z"),
        );
        assert!(made("2026-01-01T10:00:00.001Z") >= broken.first_id().unwrap());
        assert!(made("2026-01-01T10:00:00.002999Z") < broken.end_id().unwrap());
        assert_eq!((broken.exact_from(), broken.exact_to()), (broken.from, broken.to));
    }
}
