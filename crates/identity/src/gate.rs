//! Something that should happen at most once a minute for each subject, such as a note in the log.

use std::hash::Hash;

use aim_core::Timestamp;
use chrono::TimeDelta;
use moka::{
    ops::compute::{CompResult, Op},
    sync::Cache,
};

/// How long a subject stays quiet.
const QUIET: TimeDelta = TimeDelta::minutes(1);

/// Remembers when each subject last passed; bounded, so a flood of subjects only forgets early.
#[derive(Clone)]
pub(crate) struct Gate<K: Hash + Eq + Send + Sync + 'static>(Cache<K, Timestamp>);

impl<K: Hash + Eq + Send + Sync + 'static> Gate<K> {
    pub(crate) fn new() -> Self {
        Self(Cache::new(10_000))
    }

    /// Whether `subject` may pass at `now`; if so, it may not again for a minute. A clock that was set
    /// back lets it pass.
    pub(crate) fn passes(&self, subject: K, now: Timestamp) -> bool {
        let outcome = self.0.entry(subject).and_compute_with(|last| {
            let is_quiet = |last: Timestamp| (TimeDelta::zero()..QUIET).contains(&(now - last));
            if last.is_some_and(|last| is_quiet(last.into_value())) {
                Op::Nop
            } else {
                Op::Put(now)
            }
        });
        !matches!(outcome, CompResult::Unchanged(_) | CompResult::StillNone(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_passes_once_a_minute_and_does_not_hold_up_another() {
        let gate = Gate::new();
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        assert!(gate.passes("a", start));
        assert!(!gate.passes("a", start + TimeDelta::seconds(59)));
        assert!(gate.passes("b", start));
        assert!(gate.passes("a", start + TimeDelta::seconds(60)));
        assert!(
            gate.passes("a", start),
            "a clock that was set back does not silence it"
        );
    }
}
