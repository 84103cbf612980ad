//! The key vault's types, and the rules that need no database.

use aim_core::{AgentId, Error, Result, Timestamp};
use aim_crypto::keys::{PublicKey, signature_from_base64};
use aim_decision::KeyState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::store::KeyRow;

/// The longest grace period, in hours.
pub const MAX_GRACE_HOURS: i64 = 168;
/// The longest reason, in characters.
pub const MAX_REASON_LENGTH: usize = 500;
/// How many days ahead of a key's expiry people are warned, the tightest first.
pub const WARNING_DAYS: [i64; 4] = [1, 7, 14, 30];

/// An agent's key as it stands. The current key is the one that was neither replaced nor revoked; an
/// expired key is still the current one, and `key_expires_at` says that it has expired. When there is
/// no current key (all were revoked), `public_key`, `key_created_at`, `key_expires_at` and
/// `fingerprint` are null until a manager installs a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyVaultView {
    /// The agent.
    pub agent_id: AgentId,
    /// Its unique name.
    pub agent_name: String,
    /// The current public key: standard base64 of the SPKI DER (RFC 8410).
    #[schema(example = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub public_key: Option<String>,
    /// Always `Ed25519`.
    pub key_algorithm: String,
    /// When the current key was brought.
    pub key_created_at: Option<Timestamp>,
    /// The first instant at which the current key is refused for its age.
    pub key_expires_at: Option<Timestamp>,
    /// The first instant at which no earlier key works any more; null unless one is in its grace
    /// period now.
    pub key_rotation_grace_until: Option<Timestamp>,
    /// How often the agent's key was rotated or replaced.
    pub rotation_count: i64,
    /// Whether the history holds a key from before the current one, whatever that is worth now; when
    /// there is no current key, whether it holds any.
    pub has_previous_public_key: bool,
    /// The current key's RFC 7638 thumbprint: the `keyid` of a signed request.
    pub fingerprint: Option<String>,
}

impl KeyVaultView {
    /// The view of an agent with these `keys`, in order of their sequence, at `now`.
    ///
    /// # Errors
    /// [`aim_store::Error::Corrupt`] when the stored key is none.
    pub fn of(agent: AgentId, name: &str, keys: &[KeyRow], now: Timestamp) -> aim_store::Result<Self> {
        let current = keys.iter().rev().find(|key| key.is_current());
        let grace_until = keys
            .iter()
            .filter(|key| key.state(now) == KeyState::InGrace)
            .filter_map(|key| key.grace_until.map(|end| end.min(key.expires_at)))
            .max();
        let earlier = current.map_or(!keys.is_empty(), |current| {
            keys.iter().any(|key| key.sequence < current.sequence)
        });
        Ok(Self {
            agent_id: agent,
            agent_name: name.to_owned(),
            public_key: current
                .map(KeyRow::public_key)
                .transpose()?
                .map(|key| key.spki_base64()),
            key_algorithm: "Ed25519".to_owned(),
            key_created_at: current.map(|key| key.created_at),
            key_expires_at: current.map(|key| key.expires_at),
            key_rotation_grace_until: grace_until,
            rotation_count: i64::try_from(keys.len().saturating_sub(1)).unwrap_or(i64::MAX),
            has_previous_public_key: earlier,
            fingerprint: current.map(|key| key.fingerprint.clone()),
        })
    }
}

/// The current public key in the forms that other systems ask for; all of them are the same 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyFormats {
    /// RFC 7638 thumbprint.
    pub fingerprint: String,
    /// Standard base64 of the SPKI DER (RFC 8410).
    #[schema(example = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub spki_base64: String,
    /// Standard base64 of the 32 bytes themselves.
    #[schema(example = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub raw_base64: String,
    /// PEM `PUBLIC KEY` with a final newline (RFC 7468).
    pub pem: String,
    /// JWK with `kty`, `crv` and `x` (RFC 8037).
    #[schema(value_type = Object)]
    pub jwk: serde_json::Value,
    /// Multibase base58btc of the multicodec form, as a `did:key` has it.
    #[schema(example = "z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw")]
    pub multibase: String,
}

impl KeyFormats {
    /// The forms of this key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self {
            fingerprint: key.fingerprint().as_str().to_owned(),
            spki_base64: key.spki_base64(),
            raw_base64: key.raw_base64(),
            pem: key.pem(),
            jwk: key.jwk(),
            multibase: key.multibase(),
        }
    }
}

/// One key of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRecord {
    /// RFC 7638 thumbprint.
    pub fingerprint: String,
    /// Standard base64 of the SPKI DER.
    pub public_key: String,
    /// What the key is worth now.
    pub status: KeyState,
    /// The place among the agent's keys, from 1.
    pub sequence: i64,
    /// When it was brought.
    pub created_at: Timestamp,
    /// Who brought it, as `kind:id`.
    pub created_by: String,
    /// Why it was brought.
    pub created_reason: String,
    /// Who made the key pair: `client` or `server`.
    pub generated_by: String,
    /// The first instant at which it is refused for its age.
    pub expires_at: Timestamp,
    /// When another key took its place.
    pub replaced_at: Option<Timestamp>,
    /// The first instant at which it is refused for having been replaced.
    pub grace_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Who ended it, as `kind:id`; of a replacement and a later revocation, the revocation.
    pub ended_by: Option<String>,
    /// Why it ended; of a replacement and a later revocation, the revocation.
    pub end_reason: Option<String>,
}

impl KeyRecord {
    /// The record of `row` at `now`.
    ///
    /// # Errors
    /// [`aim_store::Error::Corrupt`] when the stored key is none.
    pub fn of(row: KeyRow, now: Timestamp) -> aim_store::Result<Self> {
        Ok(Self {
            public_key: row.public_key()?.spki_base64(),
            status: row.state(now),
            fingerprint: row.fingerprint,
            sequence: row.sequence,
            created_at: row.created_at,
            created_by: row.created_by,
            created_reason: row.created_reason,
            generated_by: row.generated_by,
            expires_at: row.expires_at,
            replaced_at: row.replaced_at,
            grace_until: row.grace_until,
            revoked_at: row.revoked_at,
            ended_by: row.ended_by,
            end_reason: row.end_reason,
        })
    }
}

/// Every key that an agent ever had, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyHistory {
    /// The keys.
    pub keys: Vec<KeyRecord>,
    /// How many.
    pub total: i64,
}

/// A rotation: the new key proves possession, and the old one signs it in.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// The new public key: base64 of the raw bytes or of the SPKI DER, PEM, or JWK.
    pub public_key: String,
    /// A challenge of `key-vault/challenges`.
    pub challenge: String,
    /// The **new** key's signature over `AIM-PROOF-OF-POSSESSION-V1`, `rotate`, the challenge and the
    /// new fingerprint, a line each; standard base64.
    pub proof: String,
    /// The **current** key's signature over `AIM-KEY-ROTATION-V1`, the agent's id, the challenge and
    /// the new fingerprint, a line each; standard base64.
    pub previous_signature: String,
    /// Why; at most 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
    /// How long the previous key still works, 0 to 168 hours; the installation's default if absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 168)]
    pub grace_hours: Option<i64>,
}

/// A new key for an agent whose old one is lost or not to be trusted: all earlier keys are revoked.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceKey {
    /// The new public key: base64 of the raw bytes or of the SPKI DER, PEM, or JWK.
    pub public_key: String,
    /// A challenge of `key-vault/challenges`.
    pub challenge: String,
    /// The new key's signature, as for a rotation.
    pub proof: String,
    /// Why; 1 to 500 characters.
    pub reason: String,
}

/// An emergency revocation.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeKeys {
    /// The key to revoke; all keys of the agent if absent.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Why; 1 to 500 characters.
    pub reason: String,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// How many to skip.
    pub offset: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A current key that expires soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyWarning {
    /// The agent.
    pub agent_id: AgentId,
    /// Its unique name.
    pub agent_name: String,
    /// The key.
    pub fingerprint: String,
    /// Days until it expires, the one that has begun included; 0 when it has expired.
    pub days_left: i64,
    /// The tightest threshold that was passed: 30, 14, 7 or 1.
    pub threshold_days: i64,
    /// The first instant at which the key is refused.
    pub expires_at: Timestamp,
    /// When that threshold's warning was given.
    pub created_at: Timestamp,
}

/// Current keys that expire soon, the most urgent first; one entry a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyWarnings {
    /// The warnings.
    pub warnings: Vec<KeyWarning>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

/// Days from `now` to `expires_at`, rounded up; 0 when that is past.
#[must_use]
pub fn days_left(expires_at: Timestamp, now: Timestamp) -> i64 {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let left = (expires_at - now).num_microseconds().unwrap_or(i64::MAX);
    if left > 0 { (left - 1) / DAY + 1 } else { 0 }
}

/// Reads the public key of a request.
///
/// # Errors
/// `request.field_invalid` at `public_key`.
pub fn parse_public_key(text: &str) -> Result<PublicKey> {
    PublicKey::parse(text).map_err(|error| Error::field("public_key", error.to_string()))
}

/// Reads a signature of a request.
///
/// # Errors
/// `request.field_invalid` at `field`.
pub fn parse_signature(field: &'static str, text: &str) -> Result<[u8; 64]> {
    signature_from_base64(text).map_err(|error| Error::field(field, error.to_string()))
}

/// Checks a reason.
///
/// # Errors
/// `request.field_invalid` at `reason` when it is empty or too long.
pub fn check_reason(reason: &str) -> Result<String> {
    let reason = reason.trim();
    match reason.chars().count() {
        0 => Err(Error::field(
            "reason",
            "the reason is empty; say in a few words why, for those who read the history",
        )),
        length if length > MAX_REASON_LENGTH => Err(Error::field(
            "reason",
            format!("the reason has {length} characters; use at most {MAX_REASON_LENGTH}"),
        )),
        _ => Ok(reason.to_owned()),
    }
}

/// Checks a grace period in hours.
///
/// # Errors
/// `request.field_invalid` at `grace_hours` when it is out of range.
pub fn check_grace_hours(hours: i64) -> Result<chrono::TimeDelta> {
    if (0..=MAX_GRACE_HOURS).contains(&hours) {
        Ok(chrono::TimeDelta::hours(hours))
    } else {
        Err(Error::field(
            "grace_hours",
            format!("grace_hours is 0 to {MAX_GRACE_HOURS}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn days_are_counted_with_the_one_that_has_begun() {
        let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        for (left, days) in [
            (TimeDelta::days(30), 30),
            (TimeDelta::days(29) + TimeDelta::microseconds(1), 30),
            (TimeDelta::microseconds(1), 1),
            (TimeDelta::zero(), 0),
            (TimeDelta::days(-3), 0),
        ] {
            assert_eq!(days_left(now + left, now), days, "{left}");
        }
    }

    #[test]
    fn a_grace_period_is_none_to_a_week() {
        assert_eq!(check_grace_hours(0).unwrap(), TimeDelta::zero());
        assert_eq!(check_grace_hours(168).unwrap(), TimeDelta::days(7));
        for hours in [-1, 169, i64::MAX, i64::MIN] {
            assert_eq!(
                check_grace_hours(hours).unwrap_err().field.as_deref(),
                Some("grace_hours")
            );
        }
    }

    #[test]
    fn a_reason_says_something_and_is_no_novel() {
        assert_eq!(check_reason("  laptop stolen ").unwrap(), "laptop stolen");
        assert!(check_reason(&"ü".repeat(500)).is_ok());
        for reason in ["", " \n", &"x".repeat(501)] {
            assert_eq!(check_reason(reason).unwrap_err().field.as_deref(), Some("reason"));
        }
    }
}
