//! The thresholds of the access audit. Each organisation may set its own.

use aim_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When something about reads of secrets is out of the ordinary. What is left out of a change is the usual again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Days that a secret must have been read by others before a new reader is worth a word.
    pub learning_days: i64,
    /// Denied reads of an agent within denial_minutes after which a read that is approved is worth a word.
    pub denials: i64,
    /// See denials.
    pub denial_minutes: i64,
    /// Reads of one secret by one agent in an hour below which no number is unusual.
    pub volume_floor: i64,
    /// How many robust deviations above its median an hour must lie to be unusual.
    pub volume_deviations: i64,
    /// Hours with reads that there must be before a number of reads can be unusual.
    pub volume_hours: i64,
    /// Days that an agent must have been reading a secret before an hour or a weekday can be unusual.
    pub hour_days: i64,
    /// Reads that there must have been by then.
    pub hour_reads: i64,
    /// Days without a read after which a secret is unused.
    pub unused_days: i64,
    /// A grant is broad if it covers at least so many secrets, and broad_factor times what was read by it.
    pub broad_secrets: i64,
    /// See broad_secrets.
    pub broad_factor: i64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            learning_days: 7,
            denials: 5,
            denial_minutes: 10,
            volume_floor: 60,
            volume_deviations: 8,
            volume_hours: 24,
            hour_days: 14,
            hour_reads: 20,
            unused_days: 90,
            broad_secrets: 5,
            broad_factor: 5,
        }
    }
}

impl Thresholds {
    /// Every threshold: its name, its value, and the least and the most that it may be.
    #[must_use]
    pub const fn bounds(&self) -> [(&'static str, i64, i64, i64); 11] {
        [
            ("learning_days", self.learning_days, 0, 365),
            ("denials", self.denials, 1, 100),
            ("denial_minutes", self.denial_minutes, 1, 1_440),
            ("volume_floor", self.volume_floor, 1, 10_000_000),
            ("volume_deviations", self.volume_deviations, 2, 1_000),
            ("volume_hours", self.volume_hours, 8, 600),
            ("hour_days", self.hour_days, 1, 90),
            ("hour_reads", self.hour_reads, 1, 100_000),
            ("unused_days", self.unused_days, 1, 3_650),
            ("broad_secrets", self.broad_secrets, 1, 1_000),
            ("broad_factor", self.broad_factor, 2, 1_000),
        ]
    }

    /// Checks each.
    ///
    /// # Errors
    /// `request.field_invalid` at the threshold.
    pub fn check(&self) -> Result<()> {
        match self
            .bounds()
            .into_iter()
            .find(|(_, value, least, most)| !(least..=most).contains(&value))
        {
            None => Ok(()),
            Some((name, _, least, most)) => Err(Error::field(name, format!("{name} is {least} to {most}"))),
        }
    }
}

/// The thresholds that hold, and who set them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ThresholdsView {
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Who set them, as `kind:id`; nobody if they are the usual ones.
    pub updated_by: Option<String>,
    /// When.
    pub updated_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_lie_within_their_bounds_and_others_are_refused_by_name() {
        assert!(Thresholds::default().check().is_ok());
        let wrong = Thresholds {
            denials: 0,
            ..Thresholds::default()
        };
        assert_eq!(wrong.check().unwrap_err().field.as_deref(), Some("denials"));
    }

    #[test]
    fn what_is_left_out_is_the_usual() {
        let set: Thresholds = serde_json::from_str(r#"{"learning_days": 30}"#).unwrap();
        assert_eq!(
            set,
            Thresholds {
                learning_days: 30,
                ..Thresholds::default()
            }
        );
        assert!(serde_json::from_str::<Thresholds>(r#"{"learning": 30}"#).is_err());
    }
}
