//! Time as a parameter. Services take `now` from their [`crate::Ctx`]; only a [`Clock`] reads the system.

use std::sync::Mutex;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// A moment in UTC with microsecond precision: what both databases store exactly.
pub type Timestamp = DateTime<Utc>;

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, truncated to microseconds.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        truncate(Utc::now())
    }
}

/// A clock that moves only when it is told to: for tests, and for looking at a database as of a moment.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(truncate(start)))
    }

    /// Moves the clock by `delta`, backwards too.
    pub fn advance(&self, delta: TimeDelta) {
        let mut moment = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *moment += delta;
    }

    /// Sets the clock.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = truncate(to);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Cuts a moment to whole microseconds, so that what is stored equals what was decided on.
#[must_use]
pub fn truncate(moment: Timestamp) -> Timestamp {
    moment.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(moment)
}
