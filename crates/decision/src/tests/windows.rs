//! Boundaries in time: keys, hours, rates.

use super::{at, key};
use crate::*;
use chrono::TimeDelta;
use proptest::prelude::*;

fn window(days: &[Weekday], start: &str, end: &str, offset: i16) -> TimeWindow {
    TimeWindow::new(
        days.to_vec(),
        start.try_into().unwrap(),
        end.try_into().unwrap(),
        offset,
    )
    .unwrap()
}

#[test]
fn a_key_is_usable_until_the_microsecond_before_its_end() {
    let instant = TimeDelta::microseconds(1);
    let expiring = key();
    assert_eq!(expiring.state(expiring.expires_at - instant), KeyState::Active);
    assert_eq!(expiring.state(expiring.expires_at), KeyState::Expired);

    let end = at("2026-06-01T00:00:00Z");
    let replaced = KeyFact {
        grace_until: Some(end),
        ..key()
    };
    assert_eq!(replaced.state(end - instant), KeyState::InGrace);
    assert_eq!(replaced.state(end), KeyState::Retired);
}

#[test]
fn expiry_ends_grace_and_revocation_ends_everything() {
    let end = at("2028-01-01T00:00:00Z");
    let replaced = KeyFact {
        grace_until: Some(end),
        ..key()
    };
    assert_eq!(
        replaced.state(replaced.expires_at),
        KeyState::Expired,
        "grace does not outlive expiry"
    );
    assert_eq!(replaced.state(end), KeyState::Retired);
    let revoked = KeyFact {
        revoked_at: Some(at("2026-03-01T00:00:00Z")),
        ..replaced
    };
    assert_eq!(revoked.state(end), KeyState::Revoked);
    assert_eq!(
        revoked.state(at("2026-02-28T23:59:59Z")),
        KeyState::Revoked,
        "whatever a slow clock says"
    );
    assert!(
        !KeyState::Revoked.is_usable() && !KeyState::Retired.is_usable() && !KeyState::Expired.is_usable()
    );
}

#[test]
fn a_window_includes_its_start_and_excludes_its_end() {
    let office = window(&[], "09:00", "17:00", 0);
    for (instant, inside) in [
        ("2026-03-04T08:59:59.999999Z", false),
        ("2026-03-04T09:00:00Z", true),
        ("2026-03-04T16:59:59.999999Z", true),
        ("2026-03-04T17:00:00Z", false),
    ] {
        assert_eq!(office.contains(at(instant)), inside, "{instant}");
    }
}

#[test]
fn after_midnight_a_window_belongs_to_the_day_on_which_it_started() {
    let friday_night = window(&[Weekday::Fri], "22:00", "06:00", 0);
    for (instant, inside) in [
        ("2026-03-06T21:59:59Z", false),
        ("2026-03-06T22:00:00Z", true),
        ("2026-03-07T00:00:00Z", true),
        ("2026-03-07T05:59:59.999999Z", true),
        ("2026-03-07T06:00:00Z", false),
        ("2026-03-07T22:00:00Z", false),
        ("2026-03-06T05:00:00Z", false),
    ] {
        assert_eq!(friday_night.contains(at(instant)), inside, "{instant}");
    }
}

#[test]
fn the_offset_moves_both_the_hour_and_the_day() {
    let monday_in_auckland = window(&[Weekday::Mon], "00:00", "24:00", 780);
    assert!(!monday_in_auckland.contains(at("2026-03-01T10:59:59.999999Z")));
    assert!(
        monday_in_auckland.contains(at("2026-03-01T11:00:00Z")),
        "Sunday in UTC, Monday there"
    );
    assert!(!monday_in_auckland.contains(at("2026-03-02T11:00:00Z")));

    let sunday_evening_in_honolulu = window(&[Weekday::Sun], "18:00", "24:00", -600);
    assert!(
        sunday_evening_in_honolulu.contains(at("2026-03-02T09:59:59Z")),
        "Monday in UTC, Sunday there"
    );
    assert!(!sunday_evening_in_honolulu.contains(at("2026-03-02T10:00:00Z")));

    let night_in_india = window(&[Weekday::Wed], "23:30", "00:30", 330);
    assert!(night_in_india.contains(at("2026-03-04T18:00:00Z")));
    assert!(
        night_in_india.contains(at("2026-03-04T18:59:59Z")),
        "Thursday there, started on Wednesday"
    );
    assert!(!night_in_india.contains(at("2026-03-04T19:00:00Z")));
}

#[test]
fn rate_windows_are_aligned_to_the_epoch() {
    let per_minute = RateLimit::new(5, 60).unwrap();
    assert_eq!(
        per_minute.window_start(at("2026-03-04T12:00:59.999999Z")),
        at("2026-03-04T12:00:00Z")
    );
    assert_eq!(
        per_minute.window_start(at("2026-03-04T12:01:00Z")),
        at("2026-03-04T12:01:00Z")
    );
    assert_eq!(
        per_minute.window_start(at("1969-12-31T23:59:30Z")),
        at("1969-12-31T23:59:00Z")
    );
    let per_day = RateLimit::new(5, 86_400).unwrap();
    assert_eq!(
        per_day.window_start(at("2026-03-04T23:59:59Z")),
        at("2026-03-04T00:00:00Z")
    );
}

proptest! {
    #[test]
    fn the_weekday_is_the_calendars(seconds in -60_000_000_000_i64..250_000_000_000) {
        let now = Timestamp::from_timestamp(seconds, 0).unwrap();
        let days = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
        let expected = chrono::Datelike::weekday(&now).num_days_from_monday() as usize;
        for (index, day) in days.into_iter().enumerate() {
            prop_assert_eq!(window(&[day], "00:00", "24:00", 0).contains(now), index == expected);
        }
    }

    #[test]
    fn no_instant_is_beyond_a_window(seconds in any::<i64>(), per_seconds in 1_u32..=86_400) {
        let nearest = seconds.clamp(Timestamp::MIN_UTC.timestamp(), Timestamp::MAX_UTC.timestamp());
        let now = Timestamp::from_timestamp(nearest, 0).unwrap();
        let start = RateLimit::new(1, per_seconds).unwrap().window_start(now);
        prop_assert!(start <= now);
        let _ = window(&[Weekday::Mon], "22:00", "06:00", 840).contains(now);
        let _ = window(&[Weekday::Mon], "22:00", "06:00", -720).contains(now);
    }
}
