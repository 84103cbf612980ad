//! What is sealed to one reader: HPKE in base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! AES-256-GCM, and the form of a delivered secret. The server that seals and the client that opens both use this
//! file, so that the form exists once; the server seals with rustls's HPKE on aws-lc, and the client opens with another
//! implementation.
//!
//! The reader makes a fresh [`RecipientKey`] for each request and signs its public half; whatever lies between the
//! two, a proxy that ends TLS included, sees a ciphertext. What binds the ciphertext to its occasion is the `info`
//! of RFC 9180 §5.1: see [`SecretInfo`].

pub mod registered;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hpke::{
    Deserializable as _, Kem as _, OpModeR, Serializable as _,
    aead::{Aead as _, AesGcm256},
    inout::InOutBuf,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    single_shot_open_inout_detached,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    digest::{RandomnessError, hex, random_bytes},
    secret::REDACTED,
};

/// The KEM's number at IANA: DHKEM(X25519, HKDF-SHA256).
pub const KEM: u16 = 0x0020;
/// The KDF's number at IANA: HKDF-SHA256.
pub const KDF: u16 = 0x0001;
/// The AEAD's number at IANA: AES-256-GCM.
pub const AEAD: u16 = AesGcm256::AEAD_ID;
/// Length of a public key and of an encapsulated key.
pub const KEY_LENGTH: usize = 32;
/// Length of the tag at a ciphertext's end.
pub const TAG_LENGTH: usize = 16;

type Suite = X25519HkdfSha256;
type Tag = hpke::aead::AeadTag<AesGcm256>;

/// Why something could not be sealed or opened. Never says more than the caller may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The public key has another length, or makes a shared secret of zeroes.
    #[error("the key is no usable X25519 public key of 32 bytes")]
    Key,
    /// The form names other algorithms, or its parts are no base64url.
    #[error("the sealed form is none that this version reads")]
    Form,
    /// It was sealed to another key, for another occasion, or was changed on its way.
    #[error("it was not sealed to this key for this occasion, or was changed since")]
    Open,
    /// It could not be sealed.
    #[error("it could not be sealed")]
    Seal,
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// The reader's fresh key pair. Wiped when dropped; `Debug` prints `[redacted]`. For one request.
pub struct RecipientKey(<Suite as hpke::Kem>::PrivateKey);

impl RecipientKey {
    /// A fresh pair from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomnessError`] when there is no randomness.
    pub fn generate() -> Result<Self, RandomnessError> {
        let material = Zeroizing::new(random_bytes::<KEY_LENGTH>()?);
        Ok(Self::from_material(material.as_slice()))
    }

    /// `DeriveKeyPair` of RFC 9180 §4.1.
    fn from_material(material: &[u8]) -> Self {
        Self(Suite::derive_keypair(material).0)
    }

    /// The pair of a private key that was kept, for what is opened later than it was asked for.
    ///
    /// # Errors
    /// [`SealingError::Key`] for another length.
    pub fn from_private(private: &[u8]) -> Result<Self, SealingError> {
        <Suite as hpke::Kem>::PrivateKey::from_bytes(private)
            .map(Self)
            .map_err(|_| SealingError::Key)
    }

    /// The private half, for the file that keeps it.
    #[must_use]
    pub fn private(&self) -> Zeroizing<[u8; KEY_LENGTH]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public half, for the request.
    #[must_use]
    pub fn public(&self) -> [u8; KEY_LENGTH] {
        Suite::sk_to_pk(&self.0).to_bytes().into()
    }

    /// The public half in base64url without padding, as the wire form has it.
    #[must_use]
    pub fn public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public())
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// Reads a public key as the wire form has it: base64url of 32 bytes, without padding. One of small order is refused here, before
/// anything is used up for it: no shared secret comes of it (RFC 9180 §7.1.4).
///
/// # Errors
/// [`SealingError::Key`].
pub fn parse_public(text: &str) -> Result<[u8; KEY_LENGTH], SealingError> {
    // Decoding longer texts would be work for a caller who sends megabytes.
    if text.len() != 43 {
        return Err(SealingError::Key);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealingError::Key)?;
    let key: [u8; KEY_LENGTH] = bytes.try_into().map_err(|_| SealingError::Key)?;
    if is_of_small_order(&key) {
        return Err(SealingError::Key);
    }
    Ok(key)
}

/// The public keys of small order, without their unused highest bit: 0, 1, both of order 8, p − 1, p and p + 1 (RFC 7748 §7 leaves
/// refusing them to the protocol).
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn is_of_small_order(key: &[u8; KEY_LENGTH]) -> bool {
    let mut key = *key;
    if let Some(last) = key.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&hex(&key).as_str())
}

/// A sealed message as it travels: the algorithms by their numbers, and both parts in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// DHKEM(X25519, HKDF-SHA256): 32.
    pub kem: u16,
    /// HKDF-SHA256: 1.
    pub kdf: u16,
    /// AES-256-GCM: 2.
    pub aead: u16,
    /// The encapsulated key.
    pub enc: String,
    /// The ciphertext with its tag.
    pub ciphertext: String,
}

/// Seals `plaintext` to the holder of `recipient`, for the occasion `info`; no associated data.
///
/// # Errors
/// [`SealingError::Key`] for a key of small order.
#[cfg(feature = "seal")]
pub fn seal(recipient: &[u8; KEY_LENGTH], info: &[u8], plaintext: &[u8]) -> Result<Sealed, SealingError> {
    use rustls::crypto::{
        aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
        hpke::{Hpke as _, HpkePublicKey},
    };

    let (enc, ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
        .seal(info, &[], plaintext, &HpkePublicKey(recipient.to_vec()))
        // A shared secret of zeroes is all that can fail here: without randomness aws-lc ends the process.
        .map_err(|_| SealingError::Key)?;
    Ok(Sealed {
        kem: KEM,
        kdf: KDF,
        aead: AEAD,
        enc: URL_SAFE_NO_PAD.encode(enc.0),
        ciphertext: URL_SAFE_NO_PAD.encode(ciphertext),
    })
}

/// Opens what was sealed to `key` for the occasion `info`.
///
/// # Errors
/// [`SealingError::Form`], [`SealingError::Open`].
pub fn open(key: &RecipientKey, info: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealingError> {
    open_with(key, info, &[], sealed)
}

fn open_with(
    key: &RecipientKey,
    info: &[u8],
    associated: &[u8],
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, SealingError> {
    if (sealed.kem, sealed.kdf, sealed.aead) != (KEM, KDF, AEAD) {
        return Err(SealingError::Form);
    }
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| SealingError::Form);
    let enc = <Suite as hpke::Kem>::EncappedKey::from_bytes(&decode(&sealed.enc)?)
        .map_err(|_| SealingError::Form)?;
    // Zeroizing from the start: it holds the plaintext once it is opened in place.
    let mut buffer = Zeroizing::new(decode(&sealed.ciphertext)?);
    let length = buffer.len().checked_sub(TAG_LENGTH).ok_or(SealingError::Form)?;
    let (message, tag) = buffer.split_at_mut(length);
    let tag = Tag::from_bytes(tag).map_err(|_| SealingError::Form)?;
    single_shot_open_inout_detached::<AesGcm256, HkdfSha256, Suite>(
        &OpModeR::Base,
        &key.0,
        &enc,
        info,
        InOutBuf::from(message),
        associated,
        &tag,
    )
    .map_err(|_| SealingError::Open)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// The occasion on which a secret is handed over: whose, to whom, by which decision, and which version. Both sides
/// build it from what they know themselves, so that a sealed secret moved to another occasion does not open.
#[derive(Debug, Clone, Copy)]
pub struct SecretInfo<'a> {
    /// The organisation's id.
    pub organization: &'a str,
    /// The agent's id.
    pub agent: &'a str,
    /// The decision's id.
    pub decision: &'a str,
    /// The secret's path. No path contains a line feed, so the lines cannot be confused.
    pub path: &'a str,
    /// The version.
    pub version: i64,
}

impl SecretInfo<'_> {
    /// `AIM-SECRET-V1` and the five parts, a line each, without one at the end.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let Self {
            organization,
            agent,
            decision,
            path,
            version,
        } = self;
        format!("AIM-SECRET-V1\n{organization}\n{agent}\n{decision}\n{path}\n{version}").into_bytes()
    }
}

/// The occasion on which a wrap token is used: whose, which token, and which version it stands for.
#[derive(Debug, Clone, Copy)]
pub struct WrapInfo<'a> {
    /// The organisation's id.
    pub organization: &'a str,
    /// The wrap's id.
    pub wrap: &'a str,
    /// The secret's path.
    pub path: &'a str,
    /// The version.
    pub version: i64,
}

impl WrapInfo<'_> {
    /// `AIM-WRAP-V1` and the four parts, a line each, without one at the end.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let Self {
            organization,
            wrap,
            path,
            version,
        } = self;
        format!("AIM-WRAP-V1\n{organization}\n{wrap}\n{path}\n{version}").into_bytes()
    }
}

#[cfg(test)]
mod tests;
