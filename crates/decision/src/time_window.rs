//! Time windows and rate windows of a scope. Everything is arithmetic on seconds since 1970-01-01 UTC:
//! no time zone database, no clock, and no instant for which it could fail.

use crate::Timestamp;
use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const SECONDS_PER_DAY: i64 = 86_400;
const MINUTES_PER_DAY: u16 = 1_440;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Weekday {
    /// The weekday of a day counted from 1970-01-01, which was a Thursday.
    fn of_day(days_since_epoch: i64) -> Self {
        match days_since_epoch.rem_euclid(7) {
            0 => Self::Thu,
            1 => Self::Fri,
            2 => Self::Sat,
            3 => Self::Sun,
            4 => Self::Mon,
            5 => Self::Tue,
            _ => Self::Wed,
        }
    }
}

/// A time of day to the minute, written `HH:MM`; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "09:00")]
pub struct TimeOfDay(u16);

impl TryFrom<String> for TimeOfDay {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&str> for TimeOfDay {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        let two_digits = |part: &str| {
            let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse::<u16>().ok()).flatten()
        };
        text.split_once(':')
            .and_then(|(hours, minutes)| Some((two_digits(hours)?, two_digits(minutes)?)))
            .filter(|(hours, minutes)| *minutes < 60 && (*hours < 24 || (*hours, *minutes) == (24, 0)))
            .map(|(hours, minutes)| Self(hours * 60 + minutes))
            .ok_or_else(|| Invalid::value("is no time of day; write `HH:MM` from `00:00` to `24:00`"))
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// The hours in which a grant holds, at a fixed offset from UTC.
///
/// The window starts at `start` and ends just before `end` (`09:00` to `17:00` excludes 17:00:00 itself).
/// If `end` is not after `start` it lies on the next day, and the part after midnight belongs to the day
/// on which the window started: `fri 22:00`–`06:00` holds on Saturday at 05:59. No days means every day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "WrittenTimeWindow", deny_unknown_fields)]
pub struct TimeWindow {
    /// The days on which the window starts; none means every day.
    #[schema(required = false)]
    days: Vec<Weekday>,
    start: TimeOfDay,
    end: TimeOfDay,
    /// Minutes east of UTC, -720 to 840. It does not follow summer time.
    #[schema(minimum = -720, maximum = 840, required = false)]
    utc_offset_minutes: i16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTimeWindow {
    #[serde(default)]
    days: Vec<Weekday>,
    start: TimeOfDay,
    end: TimeOfDay,
    #[serde(default)]
    utc_offset_minutes: i16,
}

impl TryFrom<WrittenTimeWindow> for TimeWindow {
    type Error = Invalid;

    fn try_from(written: WrittenTimeWindow) -> Result<Self, Invalid> {
        Self::new(
            written.days,
            written.start,
            written.end,
            written.utc_offset_minutes,
        )
    }
}

impl TimeWindow {
    /// A window; days are put in order and named once.
    ///
    /// # Errors
    /// If the window is empty, starts at `24:00`, or lies at an offset that no place on Earth has.
    pub fn new(
        mut days: Vec<Weekday>,
        start: TimeOfDay,
        end: TimeOfDay,
        utc_offset_minutes: i16,
    ) -> Result<Self, Invalid> {
        if start == end {
            return Err(Invalid::value(
                "`start` and `end` are equal; for whole days write `00:00` to `24:00`",
            ));
        }
        if start.0 == MINUTES_PER_DAY {
            return Err(Invalid::value(
                "`start` is `24:00`; write `00:00` of the next day",
            ));
        }
        if !(-720..=840).contains(&utc_offset_minutes) {
            return Err(Invalid::value(
                "`utc_offset_minutes` is out of range; use -720 to 840",
            ));
        }
        days.sort_unstable();
        days.dedup();
        Ok(Self {
            days,
            start,
            end,
            utc_offset_minutes,
        })
    }

    /// The days on which the window starts, Monday first; none means every day.
    #[must_use]
    pub fn days(&self) -> &[Weekday] {
        &self.days
    }

    /// The first minute of the window.
    #[must_use]
    pub fn start(&self) -> TimeOfDay {
        self.start
    }

    /// The minute at which the window has ended.
    #[must_use]
    pub fn end(&self) -> TimeOfDay {
        self.end
    }

    /// Minutes east of UTC.
    #[must_use]
    pub fn utc_offset_minutes(&self) -> i16 {
        self.utc_offset_minutes
    }

    /// Whether the instant lies in the window.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        let local = now
            .timestamp()
            .saturating_add(i64::from(self.utc_offset_minutes) * 60);
        let day = local.div_euclid(SECONDS_PER_DAY);
        let minute = local.rem_euclid(SECONDS_PER_DAY) / 60;
        let (start, end) = (i64::from(self.start.0), i64::from(self.end.0));
        if start < end {
            return self.starts_on(day) && (start..end).contains(&minute);
        }
        (minute >= start && self.starts_on(day)) || (minute < end && self.starts_on(day - 1))
    }

    fn starts_on(&self, day: i64) -> bool {
        self.days.is_empty() || self.days.contains(&Weekday::of_day(day))
    }
}

/// How often a grant may be used: at most `max` times in each window of `per_seconds`. Windows are fixed
/// and aligned to 1970-01-01 UTC, so every node counts in the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "WrittenRateLimit", deny_unknown_fields)]
pub struct RateLimit {
    #[schema(minimum = 1)]
    max: u32,
    #[schema(minimum = 1, maximum = 86400)]
    per_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRateLimit {
    max: u32,
    per_seconds: u32,
}

impl TryFrom<WrittenRateLimit> for RateLimit {
    type Error = Invalid;

    fn try_from(written: WrittenRateLimit) -> Result<Self, Invalid> {
        Self::new(written.max, written.per_seconds)
    }
}

impl RateLimit {
    /// A limit of `max` uses in each window of `per_seconds`.
    ///
    /// # Errors
    /// If `max` is 0 or `per_seconds` is not within 1 to 86,400 (a day).
    pub fn new(max: u32, per_seconds: u32) -> Result<Self, Invalid> {
        if max == 0 {
            return Err(Invalid::value(
                "`max` is 0; use at least 1, or a grant with the effect `deny`",
            ));
        }
        if !(1..=86_400).contains(&per_seconds) {
            return Err(Invalid::value("`per_seconds` is out of range; use 1 to 86400"));
        }
        Ok(Self { max, per_seconds })
    }

    /// The uses that one window allows.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max
    }

    /// The length of a window in seconds.
    #[must_use]
    pub fn per_seconds(&self) -> u32 {
        self.per_seconds
    }

    /// The start of the window in which the instant lies: the key under which its uses are counted.
    #[must_use]
    pub fn window_start(&self, now: Timestamp) -> Timestamp {
        let seconds = now.timestamp();
        let start = seconds.saturating_sub(seconds.rem_euclid(i64::from(self.per_seconds.max(1))));
        Timestamp::from_timestamp(start, 0).unwrap_or(Timestamp::MIN_UTC)
    }
}
