//! The name of a public key: its JWK thumbprint.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::KeyError;
use crate::digest::sha256;

/// The RFC 7638 thumbprint of an Ed25519 key as a JWK (RFC 8037 §2, appendix A.3): SHA-256 in base64url
/// without padding, always 43 characters.
///
/// It is the `keyid` of an HTTP message signature (RFC 9421 §2.3) and what people compare. In JSON it is a
/// plain string, checked when read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of 32 raw public-key bytes; the caller has checked the key.
    pub(super) fn of_raw(public_key: &[u8; 32]) -> Self {
        // RFC 7638 §3.2: required members only, in lexicographic order, no white space.
        const HEAD: &str = "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"";
        let mut json = String::with_capacity(HEAD.len() + 45);
        json.push_str(HEAD);
        URL_SAFE_NO_PAD.encode_string(public_key, &mut json);
        json.push_str("\"}");
        Self(URL_SAFE_NO_PAD.encode(sha256(json.as_bytes())))
    }

    /// Reads a fingerprint that came from outside.
    ///
    /// # Errors
    /// [`KeyError::Fingerprint`] unless it is the canonical base64url of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The 43 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses everything but the one base64url spelling of 32 bytes.
    fn check(text: &str) -> Result<(), KeyError> {
        let mut bytes = [0_u8; 32];
        if text.len() != 43 {
            return Err(KeyError::Fingerprint);
        }
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(()),
            _ => Err(KeyError::Fingerprint),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({})", self.0)
    }
}

impl AsRef<str> for Fingerprint {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::check(&text)?;
        Ok(Self(text))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}
