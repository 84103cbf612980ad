//! Secret values: text that is wiped from memory when dropped and cannot be printed by accident.
//!
//! May not gain a `Serialize` implementation: a secret leaves only where the code says `expose`.

use std::fmt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// What every secret type prints in place of its value.
pub const REDACTED: &str = "[redacted]";

/// Text that must not be shown: a password, an issued key, a private key in PEM.
///
/// Wiped when dropped; `Debug` and `Display` print [`REDACTED`]. Not comparable with `==`, use
/// [`SecretString::ct_eq`].
#[derive(Clone, Default)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the text over; the caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Each call is a place where it may leak: hand it on at once, do not store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes (not secret).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in constant time for texts of the same length.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        ct_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl fmt::Display for SecretString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl Zeroize for SecretString {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Compares two byte strings in time that depends on their lengths alone. Different lengths are unequal.
#[must_use]
pub fn ct_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_string_prints_neither_in_debug_nor_in_display() {
        let secret = SecretString::from("hunter2-hunter2");
        assert_eq!(
            format!("{secret:?} {secret} {:?}", Some(&secret)),
            "[redacted] [redacted] Some([redacted])"
        );
        assert_eq!(secret.expose(), "hunter2-hunter2");
    }

    #[test]
    fn a_secret_string_is_read_from_json() {
        let secret: SecretString = serde_json::from_str("\"se\\u0063ret\"").unwrap();
        assert_eq!(secret.expose(), "secret");
    }

    #[test]
    fn equality_is_that_of_the_bytes() {
        assert!(ct_eq(b"abc", b"abc"));
        assert!(!ct_eq(b"abc", b"abd"));
        assert!(!ct_eq(b"abc", b"ab"));
        assert!(SecretString::from("a").ct_eq(&SecretString::from("a")));
        assert!(!SecretString::from("a").ct_eq(&SecretString::from("")));
    }
}
