//! Passwords of people: Argon2id hashes (RFC 9106) and the rule for new ones.
//!
//! Hashing costs about 30 ms and 19 MiB on purpose; it belongs on a blocking thread and never on an agent's
//! path.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, CustomizedPasswordHasher as _, Params, PasswordVerifier as _, Version};

use crate::digest::{RandomnessError, random_bytes};
use crate::secret::SecretString;

/// Memory in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
const ITERATIONS: u32 = 2;
/// Lanes.
const PARALLELISM: u32 = 1;

/// Shortest new password, in characters.
pub const SHORTEST: usize = 12;
/// Longest password, in characters; longer ones are not hashed at all.
pub const LONGEST: usize = 256;

/// A valid hash of the current strength that no password fits (salt and output are random bytes).
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bxmg+FBXxV/aDViyavfJLw$dB1V3YIbtk0yo8pvKGW6GTW/B00MQrqnIb0w3mpa+/g";

/// Beginnings that make a password guessable when only digits and signs follow.
const COMMON_WORDS: &str = "\
    password passwort passw0rd p@ssword p@ssw0rd motdepasse contrasena wachtwoord parola qwerty \
    qwertyuiop qwertz qwertzuiop azerty azertyuiop asdfgh asdfghjkl zxcvbnm 1q2w3e4r5t6y 1qaz2wsx3edc \
    q1w2e3r4t5y6 qazwsxedc abcdef abcdefgh abcdefghijkl abc admin administrator root superuser default \
    changeme changeit letmein letmeinnow welcome welcomeback willkommen login master secret topsecret \
    test testtest temp temporary demo guest user iloveyou sunshine princess dragon monkey football \
    baseball superman batman pokemon starwars trustno whatever michael shadow summer winter spring \
    autumn january february october november december company agent passwordpassword \
    correcthorsebatterystaple thisisapassword mypassword yourpassword newpassword iloveyouforever \
    opensesame nopassword letmeinplease";

/// Why a new password was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too short.
    #[error(
        "the password has {found} characters; use at least {SHORTEST}, for instance four or five random words"
    )]
    TooShort {
        /// Characters received.
        found: usize,
    },
    /// Too long.
    #[error("the password has {found} characters; use at most {LONGEST}")]
    TooLong {
        /// Characters received.
        found: usize,
    },
    /// One of the first that an attacker tries.
    #[error(
        "the password is among the commonest or follows a simple pattern; use four or five random words, or let a password manager make one"
    )]
    TooCommon,
    /// The hash could not be made.
    #[error("the password could not be hashed, which needs 19 MiB of memory; try again")]
    Hashing,
    /// No randomness for the salt.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl PasswordError {
    /// Stable slug of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "password.too_short",
            Self::TooLong { .. } => "password.too_long",
            Self::TooCommon => "password.too_common",
            Self::Hashing => "password.hashing",
            Self::Randomness(error) => error.code(),
        }
    }
}

/// Hashes with Argon2id (m=19456 KiB, t=2, p=1) and a random salt, as a PHC string. Does not check strength,
/// only that the password is not longer than [`LONGEST`].
///
/// # Errors
/// [`PasswordError::TooLong`], [`PasswordError::Hashing`] or [`PasswordError::Randomness`].
pub fn hash_password(password: &SecretString) -> Result<String, PasswordError> {
    refuse_too_long(password)?;
    let salt = random_bytes::<16>()?;
    let parameters = current_parameters().map_err(|_| PasswordError::Hashing)?;
    let hash: PasswordHash = Argon2::default()
        .hash_password_customized(
            password.expose().as_bytes(),
            &salt,
            Some(Algorithm::Argon2id.as_str()),
            Some(Version::V0x13.into()),
            parameters,
        )
        .map_err(|_| PasswordError::Hashing)?;
    Ok(hash.to_string())
}

/// Whether the password fits the PHC string, which brings its own parameters. A PHC string that cannot be
/// read fits no password.
#[must_use]
pub fn verify_password(password: &SecretString, phc: &str) -> bool {
    if refuse_too_long(password).is_err() {
        return false;
    }
    PasswordHash::new(phc).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

/// A valid PHC string that no password fits. Verify against it when the account does not exist, so that the
/// answer takes as long as for one that does.
#[must_use]
pub fn dummy_hash() -> &'static str {
    DUMMY_HASH
}

/// Whether a stored hash was made with other parameters than today's, and should be made anew at the next
/// successful sign-in.
#[must_use]
pub fn needs_rehash(phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else {
        return true;
    };
    let (Ok(found), Ok(wanted)) = (Params::try_from(&hash), current_parameters()) else {
        return true;
    };
    hash.algorithm.as_str() != Algorithm::Argon2id.as_str()
        || hash.version != Some(Version::V0x13.into())
        || found.m_cost() != wanted.m_cost()
        || found.t_cost() != wanted.t_cost()
        || found.p_cost() != wanted.p_cost()
}

/// The rule for new passwords: 12 to 256 characters, none of the commonest, no plain repetition or row.
/// No composition rules (NIST SP 800-63B §3.1.1.2).
///
/// # Errors
/// [`PasswordError`] with the remedy.
pub fn check_password_strength(password: &SecretString) -> Result<(), PasswordError> {
    refuse_too_long(password)?;
    let characters: Vec<char> = password.expose().chars().flat_map(char::to_lowercase).collect();
    let found = password.expose().chars().count();
    if found < SHORTEST {
        return Err(PasswordError::TooShort { found });
    }
    if is_common(&characters) || is_repetition(&characters) || is_row(&characters) {
        return Err(PasswordError::TooCommon);
    }
    Ok(())
}

fn current_parameters() -> Result<Params, argon2::Error> {
    Params::new(
        MEMORY_KIB,
        ITERATIONS,
        PARALLELISM,
        Some(Params::DEFAULT_OUTPUT_LEN),
    )
}

fn refuse_too_long(password: &SecretString) -> Result<(), PasswordError> {
    match password.expose().chars().count() {
        found if found > LONGEST => Err(PasswordError::TooLong { found }),
        _ => Ok(()),
    }
}

/// A common word, alone or twice, with nothing but digits and signs around it.
fn is_common(lower: &[char]) -> bool {
    let text: String = lower.iter().collect();
    let is_padding = |part: &str| !part.chars().any(char::is_alphabetic);
    COMMON_WORDS.split(' ').any(|word| {
        text.split_once(word).is_some_and(|(before, after)| {
            is_padding(before) && (is_padding(after) || after.split(word).all(is_padding))
        })
    })
}

/// The same unit of at most four characters over and over, or fewer than five different characters.
fn is_repetition(lower: &[char]) -> bool {
    let mut distinct = lower.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let repeats = |unit: usize| {
        lower
            .iter()
            .zip(lower.iter().skip(unit))
            .all(|(left, right)| left == right)
    };
    distinct.len() < 5 || (1..=4).any(repeats)
}

/// Rises or falls by one at every step, as `abcdefghijkl` and `210987654321` do.
fn is_row(lower: &[char]) -> bool {
    let steps = |step: i64| {
        lower.iter().zip(lower.iter().skip(1)).all(|(left, right)| {
            let difference = i64::from(u32::from(*right)) - i64::from(u32::from(*left));
            // A row of digits wraps from 9 to 0 and back.
            difference == step || (left.is_ascii_digit() && right.is_ascii_digit() && difference == -9 * step)
        })
    };
    steps(1) || steps(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strength(password: &str) -> Result<(), PasswordError> {
        check_password_strength(&SecretString::from(password))
    }

    #[test]
    fn a_hash_fits_its_own_password_only() {
        let password = SecretString::from("quiet harbour lantern 7");
        let phc = hash_password(&password).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify_password(&password, &phc));
        assert!(!verify_password(
            &SecretString::from("quiet harbour lantern 8"),
            &phc
        ));
        assert!(!needs_rehash(&phc));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let password = SecretString::from("quiet harbour lantern 7");
        assert_ne!(
            hash_password(&password).unwrap(),
            hash_password(&password).unwrap()
        );
    }

    #[test]
    fn the_dummy_hash_costs_as_much_as_a_real_one_and_fits_nothing() {
        assert!(PasswordHash::new(dummy_hash()).is_ok());
        assert!(!needs_rehash(dummy_hash()));
        for password in ["", "password", "dummy", "aim"] {
            assert!(!verify_password(&SecretString::from(password), dummy_hash()));
        }
    }

    #[test]
    fn weaker_or_foreign_hashes_are_due_for_a_new_one() {
        assert!(needs_rehash(&dummy_hash().replace("m=19456", "m=4096")));
        assert!(needs_rehash(&dummy_hash().replace("t=2", "t=1")));
        assert!(needs_rehash(&dummy_hash().replace("argon2id", "argon2i")));
        assert!(needs_rehash("$2y$10$abcdefghijklmnopqrstuv"));
        assert!(needs_rehash(""));
    }

    #[test]
    fn an_unreadable_hash_fits_no_password() {
        for phc in [
            "",
            "plain",
            "$argon2id$",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
        ] {
            assert!(!verify_password(&SecretString::from("plain"), phc), "{phc}");
        }
    }

    #[test]
    fn the_length_is_counted_in_characters() {
        assert_eq!(
            strength("kurz-aber-x"),
            Err(PasswordError::TooShort { found: 11 })
        );
        assert_eq!(strength("größe-häuslq"), Ok(()));
        assert_eq!(
            strength(&"xyzuvw".repeat(50)),
            Err(PasswordError::TooLong { found: 300 })
        );
        assert!(matches!(
            hash_password(&SecretString::from("x".repeat(257))),
            Err(PasswordError::TooLong { found: 257 })
        ));
    }

    #[test]
    fn common_passwords_and_simple_patterns_are_refused() {
        for password in [
            "password1234",
            "Password123!",
            "1234password",
            "passwordpassword",
            "Administrator",
            "admin1234567",
            "changeme2026!",
            "aaaaaaaaaaaa",
            "abababababab",
            "abcabcabcabc",
            "123456789012",
            "210987654321",
            "abcdefghijkl",
            "CorrectHorseBatteryStaple",
            "1q2w3e4r5t6y",
            "welcome-welcome",
        ] {
            assert_eq!(strength(password), Err(PasswordError::TooCommon), "{password}");
        }
    }

    #[test]
    fn long_phrases_pass_even_when_they_hold_a_common_word() {
        for password in [
            "quiet harbour lantern",
            "my password is a heron",
            "k7#Vq2!mZp0x",
            "testing the seven seas",
        ] {
            assert_eq!(strength(password), Ok(()), "{password}");
        }
    }
}
