//! Ed25519 keys (RFC 8032): parsing, forms, fingerprints, signing and strict verification.
//!
//! There is one acceptance rule for signatures, that of [`PublicKey::verify`], and one for keys, that of
//! [`PublicKey::from_bytes`]; nothing in AIM verifies an Ed25519 signature in another way.

mod fingerprint;
mod public_key;
mod signing_key;
#[cfg(test)]
mod tests;

pub use fingerprint::Fingerprint;
pub use public_key::PublicKey;
pub use signing_key::SigningKey;

use crate::digest::RandomnessError;

/// Why a key or a fingerprint was refused. `code()` is stable, the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 32 bytes.
    #[error(
        "an Ed25519 public key has 32 bytes, this one has {found}; send the raw 32 bytes or the 44-byte SPKI form in base64, or a PEM or JWK"
    )]
    Length {
        /// Bytes received.
        found: usize,
    },
    /// Neither base64, PEM nor JWK.
    #[error(
        "the key cannot be read: {reason}; send standard base64 of the raw 32 bytes or of the SPKI DER, a PEM \"PUBLIC KEY\", or a JWK"
    )]
    Encoding {
        /// What was wrong.
        reason: &'static str,
    },
    /// A key of another kind.
    #[error("the key is not an Ed25519 key; generate one with `openssl genpkey -algorithm ed25519`")]
    Algorithm,
    /// The bytes name no point of the curve, or name one in a second, non-canonical way (RFC 8032 §5.1.3).
    #[error(
        "the 32 bytes are no canonical Ed25519 public key; check that the whole key was copied, and that it is not the private half"
    )]
    NotAPoint,
    /// A point of small order: everybody can sign for it.
    #[error(
        "the key is one of the weak points of small order, for which anybody can forge signatures; generate a fresh key pair"
    )]
    Weak,
    /// A private key was sent where a public one belongs.
    #[error(
        "this is private key material; send the public half only, and replace this key pair, since its private half has left its owner"
    )]
    PrivateMaterial,
    /// A private key in PKCS#8 PEM that cannot be read.
    #[error(
        "the private key cannot be read; expected an unencrypted PKCS#8 PEM \"PRIVATE KEY\" that holds an Ed25519 key"
    )]
    PrivateEncoding,
    /// Not a fingerprint.
    #[error(
        "a key fingerprint is the RFC 7638 thumbprint: 43 characters of base64url; take it from the key vault or from `aim agent show`"
    )]
    Fingerprint,
    /// No randomness for a new key.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl KeyError {
    /// Stable slug of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "key.length",
            Self::Encoding { .. } => "key.encoding",
            Self::Algorithm => "key.algorithm",
            Self::NotAPoint => "key.not_a_point",
            Self::Weak => "key.weak",
            Self::PrivateMaterial => "key.private_material",
            Self::PrivateEncoding => "key.private_encoding",
            Self::Fingerprint => "key.fingerprint",
            Self::Randomness(error) => error.code(),
        }
    }
}

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not 64 bytes.
    #[error("an Ed25519 signature has 64 bytes, this one has {found}")]
    Length {
        /// Bytes received.
        found: usize,
    },
    /// Not base64.
    #[error("the signature is not standard base64; send the 64 bytes in base64 with padding")]
    Encoding,
    /// A text that was to be signed has a control character, so that its message would be ambiguous.
    #[error("{field} is empty or has a control character, so that the signed message would be ambiguous")]
    Message {
        /// Which part of the message.
        field: &'static str,
    },
    /// The signature is not this key's signature over this message.
    #[error(
        "the signature does not fit the message and the key; sign exactly the bytes that are sent, with the private half of the key that is named"
    )]
    Invalid,
}

impl SignatureError {
    /// Stable slug of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } | Self::Encoding | Self::Message { .. } => "signature.malformed",
            Self::Invalid => "signature.invalid",
        }
    }
}

/// Reads a signature from standard base64 with padding.
///
/// # Errors
/// [`SignatureError::Encoding`] or [`SignatureError::Length`].
pub fn signature_from_base64(text: &str) -> Result<[u8; 64], SignatureError> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| SignatureError::Encoding)?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| SignatureError::Length { found })
}
