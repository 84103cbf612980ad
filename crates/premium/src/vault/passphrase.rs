//! A root key that is made of a passphrase, by Argon2id (RFC 9106): for servers on whose disks no key shall lie. Somebody
//! gives the passphrase after each start (`aim vault unseal`).

use aim_core::{Error, Json, Result};
use aim_crypto::{digest::random_bytes, password::check_password_strength, secret::SecretString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{KEY_LENGTH, Key};

/// The shortest passphrase, in characters. Whoever has the database can try passphrases at leisure.
pub const SHORTEST: usize = 20;
/// The longest, in bytes.
pub const LONGEST: usize = 1_024;

/// Memory in KiB: the second recommendation of RFC 9106 §4.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over the memory.
const PASSES: u32 = 3;
/// Lanes.
const LANES: u32 = 4;
/// The most memory that stored parameters may ask for, in KiB.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
/// The most passes that they may ask for.
const MOST_PASSES: u32 = 16;

/// How the key is made. It stands in the database, and is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    /// 16 random bytes in base64.
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Derivation {
    /// A fresh salt, and the present strength.
    ///
    /// # Errors
    /// `server.internal` when the operating system has no randomness.
    pub fn fresh() -> Result<Self> {
        Ok(Self {
            salt: STANDARD.encode(random_bytes::<16>().map_err(Error::internal)?),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
        })
    }

    /// Reads what the database has. What it could never have been is refused: it may be somebody else's writing.
    #[must_use]
    pub fn read(stored: &Json) -> Option<Self> {
        let read: Self = serde_json::from_value(stored.0.clone()).ok()?;
        let fits = (MEMORY_KIB..=MOST_MEMORY_KIB).contains(&read.memory_kib)
            && (PASSES..=MOST_PASSES).contains(&read.passes)
            && read.lanes == LANES;
        Some(read).filter(|_| fits)
    }

    /// The key of this passphrase. Takes a tenth of a second and 64 MiB on purpose: for a blocking thread.
    ///
    /// # Errors
    /// `server.internal` for parameters that cannot be.
    pub fn key(&self, passphrase: &SecretString) -> Result<Key> {
        let salt = STANDARD.decode(&self.salt).map_err(Error::internal)?;
        let parameters = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LENGTH))
            .map_err(|error| Error::internal(error.to_string()))?;
        let mut bytes = Zeroizing::new([0_u8; KEY_LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(passphrase.expose().as_bytes(), &salt, bytes.as_mut_slice())
            .map_err(|error| Error::internal(error.to_string()))?;
        Key::from_bytes(bytes.as_slice()).ok_or_else(|| Error::internal("a derived key has another length"))
    }
}

/// Checks a passphrase that is set for the first time.
///
/// # Errors
/// `request.field_invalid` at `passphrase`.
pub fn check_new(passphrase: &SecretString) -> Result<()> {
    let length = passphrase.expose().chars().count();
    if length < SHORTEST {
        return Err(refused(format!(
            "the first passphrase is the one that is set: use at least {SHORTEST} characters, such as six random words"
        )));
    }
    check_password_strength(passphrase).map_err(|error| refused(error.to_string()))
}

/// The refusal of a passphrase.
pub(super) fn refused(problem: impl Into<String>) -> Error {
    Error::field("passphrase", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_passphrase_and_salt_make_the_same_key_and_no_other() {
        let derivation = Derivation::fresh().unwrap();
        let key =
            |derivation: &Derivation, text: &str| derivation.key(&SecretString::from(text)).unwrap().id();
        let id = key(&derivation, "six words that nobody else has");
        assert_eq!(key(&derivation, "six words that nobody else has"), id);
        assert_ne!(key(&derivation, "six words that nobody else had"), id);
        assert_ne!(
            key(&Derivation::fresh().unwrap(), "six words that nobody else has"),
            id
        );
        let stored = Json::of(&derivation);
        assert_eq!(Derivation::read(&stored), Some(derivation));
    }

    #[test]
    fn weak_or_absurd_parameters_are_not_believed() {
        let with = |memory_kib: u32, passes: u32, lanes: u32| {
            let salt = "AAAAAAAAAAAAAAAAAAAAAA==";
            Derivation::read(&Json::of(&serde_json::json!({
                "salt": salt, "memory_kib": memory_kib, "passes": passes, "lanes": lanes,
            })))
        };
        assert!(with(MEMORY_KIB, PASSES, LANES).is_some());
        for (memory_kib, passes, lanes) in [
            (8, 3, 4),
            (u32::MAX, 3, 4),
            (65_536, 1, 4),
            (65_536, 1_000_000, 4),
            (65_536, 3, 64),
        ] {
            assert_eq!(with(memory_kib, passes, lanes), None);
        }
        assert_eq!(Derivation::read(&Json::default()), None);
    }

    #[test]
    fn a_first_passphrase_is_long_and_no_common_one() {
        assert!(check_new(&SecretString::from("six words that nobody else has")).is_ok());
        for text in [
            "",
            "too short",
            "passwordpassword12345678",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(
                check_new(&SecretString::from(text)).unwrap_err().field.as_deref(),
                Some("passphrase")
            );
        }
    }
}
