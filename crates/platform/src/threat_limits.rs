//! The thresholds of threat detection. The doc comments are the comments of `config/aim.toml`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When threat detection speaks up. What a finding leads to is set for each organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreatLimits {
    /// Denials of one agent within denial_burst_minutes that are a burst.
    pub denial_burst: i64,
    /// See denial_burst.
    pub denial_burst_minutes: i64,
    /// The share of denials among the agent's decisions in that time below which it is no burst, in percent.
    pub denial_burst_percent: i64,
    /// Different capabilities that one agent was denied within probing_minutes that are probing.
    pub probing: i64,
    /// See probing.
    pub probing_minutes: i64,
    /// How many robust deviations (1.4826 times the median absolute deviation) above its median an hour of an
    /// agent must lie to be unusual.
    pub volume_deviations: i64,
    /// Decisions in an hour below which no volume is unusual.
    pub volume_floor: i64,
    /// Days of history that an agent's baseline looks back to.
    pub baseline_days: i64,
    /// Hours with activity that an agent must have before its baseline counts.
    pub baseline_hours: i64,
    /// Days that an agent must have been known before an hour or weekday can be unusual for it.
    pub baseline_minimum_days: i64,
    /// Hours after an agent's first action in which its addresses are learnt and not judged.
    pub source_settling_hours: i64,
    /// Networks of one agent from which on a further one is nothing special.
    pub source_many: i64,
    /// Changes between two networks within shared_key_minutes that mean that a key is in two hands.
    pub shared_key_changes: i64,
    /// See shared_key_changes.
    pub shared_key_minutes: i64,
    /// Days without any action after which an agent is dormant.
    pub dormant_days: i64,
    /// Hours in which repeats are counted with an open finding instead of making a new one.
    pub repeat_hours: i64,
    /// Days for which a finding that was marked as false keeps the same subject quiet.
    pub false_positive_days: i64,
    /// Hours for which the response require_approval holds.
    pub restriction_hours: i64,
}

impl Default for ThreatLimits {
    fn default() -> Self {
        Self {
            denial_burst: 20,
            denial_burst_minutes: 5,
            denial_burst_percent: 30,
            probing: 5,
            probing_minutes: 15,
            volume_deviations: 8,
            volume_floor: 100,
            baseline_days: 28,
            baseline_hours: 48,
            baseline_minimum_days: 14,
            source_settling_hours: 24,
            source_many: 8,
            shared_key_changes: 6,
            shared_key_minutes: 10,
            dormant_days: 30,
            repeat_hours: 24,
            false_positive_days: 14,
            restriction_hours: 24,
        }
    }
}

impl ThreatLimits {
    /// Every threshold: its key, its value, and the least and the most that it may be.
    #[must_use]
    pub const fn bounds(&self) -> [(&'static str, i64, i64, i64); 18] {
        [
            ("denial_burst", self.denial_burst, 2, 100_000),
            ("denial_burst_minutes", self.denial_burst_minutes, 1, 60),
            ("denial_burst_percent", self.denial_burst_percent, 0, 100),
            ("probing", self.probing, 2, 64),
            ("probing_minutes", self.probing_minutes, 1, 1_440),
            ("volume_deviations", self.volume_deviations, 2, 1_000),
            ("volume_floor", self.volume_floor, 1, 10_000_000),
            ("baseline_days", self.baseline_days, 7, 90),
            ("baseline_hours", self.baseline_hours, 8, 2_000),
            ("baseline_minimum_days", self.baseline_minimum_days, 7, 90),
            ("source_settling_hours", self.source_settling_hours, 0, 720),
            ("source_many", self.source_many, 1, 64),
            ("shared_key_changes", self.shared_key_changes, 2, 32),
            ("shared_key_minutes", self.shared_key_minutes, 1, 60),
            ("dormant_days", self.dormant_days, 1, 3_650),
            ("repeat_hours", self.repeat_hours, 1, 720),
            ("false_positive_days", self.false_positive_days, 1, 3_650),
            ("restriction_hours", self.restriction_hours, 1, 720),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_lie_within_their_bounds() {
        for (key, value, least, most) in ThreatLimits::default().bounds() {
            assert!((least..=most).contains(&value), "{key}");
        }
    }
}
