//! A public key that has been checked once and needs no check again.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::pkcs8::{DecodePublicKey as _, PublicKeyBytes};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use serde::Deserialize;

use super::{Fingerprint, KeyError, SignatureError};

/// DER of `SubjectPublicKeyInfo` before the 32 key bytes (RFC 8410 §4, §10.1).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// DER of an Ed25519 PKCS#8 private key before its seed; recognised so that it is refused by name.
pub(super) const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// Multicodec `ed25519-pub` (0xed) as a varint.
const MULTICODEC_PREFIX: [u8; 2] = [0xed, 0x01];
/// A key text longer than this is refused unread; the longest real form is a JWK with a few extra members.
const LONGEST_TEXT: usize = 4096;

/// The points of small order, in their canonical encodings.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// An Ed25519 public key, decompressed and checked: 32 bytes, canonical, on the curve, not of small order.
///
/// Equal and hashed by its bytes; `Debug` prints the fingerprint.
#[derive(Clone)]
pub struct PublicKey(VerifyingKey);

/// The members of a JWK that matter (RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    /// The private half. Read only to refuse it.
    d: Option<serde::de::IgnoredAny>,
}

impl PublicKey {
    /// Takes the raw 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::NotAPoint`] (not on the curve, or not the canonical encoding of its
    /// point, so that one key has one name) or [`KeyError::Weak`] (small order).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let raw: &[u8; 32] = bytes
            .try_into()
            .map_err(|_| KeyError::Length { found: bytes.len() })?;
        let key = VerifyingKey::from_bytes(raw).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        if key.to_edwards().compress().as_bytes() != raw {
            return Err(KeyError::NotAPoint);
        }
        Ok(Self(key))
    }

    /// Reads any of the four accepted texts: standard base64 of the raw 32 bytes, standard base64 of the SPKI
    /// DER (44 bytes), PEM `PUBLIC KEY`, or a JWK in JSON. White space around the text is ignored.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`], and [`KeyError::Encoding`], [`KeyError::Algorithm`], or
    /// [`KeyError::PrivateMaterial`] when a private key was sent.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.len() > LONGEST_TEXT {
            return Err(KeyError::Encoding {
                reason: "it is longer than 4096 characters",
            });
        }
        if text.starts_with("-----BEGIN") {
            return Self::from_pem(text);
        }
        if text.starts_with('{') {
            return Self::from_jwk(text);
        }
        let bytes = STANDARD.decode(text).map_err(|_| KeyError::Encoding {
            reason: "it is not standard base64 with padding",
        })?;
        match bytes.len() {
            32 => Self::from_bytes(&bytes),
            // A seed followed by its public key: how the published SDKs write private keys.
            64 => Err(KeyError::PrivateMaterial),
            _ if bytes.starts_with(&PKCS8_PREFIX) => Err(KeyError::PrivateMaterial),
            _ if bytes.first() == Some(&0x30) => Self::from_spki_der(&bytes),
            found => Err(KeyError::Length { found }),
        }
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The same point on the curve of X25519, by the birational map of RFC 7748 §4.1: what the holder of the private
    /// half can open, who converts it as libsodium does.
    #[must_use]
    pub fn x25519(&self) -> [u8; 32] {
        self.0.to_montgomery().to_bytes()
    }

    /// Standard base64 of the raw bytes (44 characters).
    #[must_use]
    pub fn raw_base64(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }

    /// Standard base64 of the SPKI DER (60 characters, starts `MCowBQYDK2VwAyEA`).
    #[must_use]
    pub fn spki_base64(&self) -> String {
        let mut der = [0_u8; 44];
        let (head, tail) = der.split_at_mut(SPKI_PREFIX.len());
        head.copy_from_slice(&SPKI_PREFIX);
        tail.copy_from_slice(self.as_bytes());
        STANDARD.encode(der)
    }

    /// PEM `PUBLIC KEY` with a final newline (RFC 7468 §13).
    #[must_use]
    pub fn pem(&self) -> String {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            self.spki_base64()
        )
    }

    /// The key as a JWK with `kty`, `crv` and `x` (RFC 8037 §2).
    #[must_use]
    pub fn jwk(&self) -> serde_json::Value {
        serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.as_bytes()) })
    }

    /// Multibase base58btc of the multicodec form, as in `did:key` (starts `z6Mk`).
    #[must_use]
    pub fn multibase(&self) -> String {
        let mut bytes = [0_u8; 34];
        let (head, tail) = bytes.split_at_mut(MULTICODEC_PREFIX.len());
        head.copy_from_slice(&MULTICODEC_PREFIX);
        tail.copy_from_slice(self.as_bytes());
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// The key's name: its RFC 7638 thumbprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_raw(self.as_bytes())
    }

    /// Verifies strictly: the scalar is reduced (RFC 8032 §5.1.7), the point `R` is canonical and not of
    /// small order, the key is not weak, and the cofactorless equation holds. This is the only rule in AIM;
    /// a signature that passes has no second form that passes for the same message and `R`.
    ///
    /// # Errors
    /// [`SignatureError::Length`] or [`SignatureError::Invalid`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let bytes: &[u8; 64] = signature.try_into().map_err(|_| SignatureError::Length {
            found: signature.len(),
        })?;
        let signature = Signature::from_bytes(bytes);
        // This is `verify_strict` without its decoding of `R`, an eighth of its time: the plain verification computes the canonical
        // encoding of what `R` has to be and compares the bytes, so that only the eight canonical encodings have to be looked for.
        // That the key is not weak was found out when it was read.
        if SMALL_ORDER.contains(signature.r_bytes()) {
            return Err(SignatureError::Invalid);
        }
        self.0
            .verify(message, &signature)
            .map_err(|_| SignatureError::Invalid)
    }

    /// A key that `ed25519-dalek` derived from a seed, hence valid by construction.
    pub(super) fn of_verifying_key(key: VerifyingKey) -> Self {
        Self(key)
    }

    fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = PublicKeyBytes::from_public_key_der(der).map_err(spki_error)?;
        Self::from_bytes(&key.0)
    }

    fn from_pem(text: &str) -> Result<Self, KeyError> {
        // Every private PEM label ends so: PKCS#8, encrypted PKCS#8, EC, RSA and OpenSSH.
        if text
            .lines()
            .next()
            .is_some_and(|line| line.contains("PRIVATE KEY"))
        {
            return Err(KeyError::PrivateMaterial);
        }
        let key = PublicKeyBytes::from_public_key_pem(text).map_err(spki_error)?;
        Self::from_bytes(&key.0)
    }

    fn from_jwk(text: &str) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_str(text).map_err(|_| KeyError::Encoding {
            reason: "it is not a JWK with the text members kty, crv and x",
        })?;
        if jwk.d.is_some() {
            return Err(KeyError::PrivateMaterial);
        }
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
            return Err(KeyError::Algorithm);
        }
        let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).map_err(|_| KeyError::Encoding {
            reason: "the JWK member x is not base64url without padding",
        })?;
        Self::from_bytes(&bytes)
    }
}

/// Tells a key of another algorithm from a broken encoding.
fn spki_error(error: ed25519_dalek::pkcs8::spki::Error) -> KeyError {
    match error {
        ed25519_dalek::pkcs8::spki::Error::OidUnknown { .. } => KeyError::Algorithm,
        _ => KeyError::Encoding {
            reason: "it is not an Ed25519 SubjectPublicKeyInfo (RFC 8410)",
        },
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.fingerprint())
    }
}
