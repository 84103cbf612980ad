//! A private key. Lives in clients, in tests and, for the moment of one answer, in a server that was asked to
//! make a pair; AIM stores none.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use zeroize::Zeroizing;

use super::public_key::PKCS8_PREFIX;
use super::{KeyError, PublicKey};
use crate::digest::{RandomnessError, random_bytes};
use crate::secret::{REDACTED, SecretString};

/// An Ed25519 private key with its public half. Wiped when dropped; `Debug` prints `[redacted]`.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A fresh key from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomnessError`] when there is no randomness.
    pub fn generate() -> Result<Self, RandomnessError> {
        let seed = Zeroizing::new(random_bytes::<32>()?);
        Ok(Self::from_seed(&seed))
    }

    /// The key of a 32-byte seed (RFC 8032 §5.1.5). Any seed is valid.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads an unencrypted PKCS#8 PEM `PRIVATE KEY`, version 1 or 2 (RFC 8410 §7, RFC 5958).
    ///
    /// # Errors
    /// [`KeyError::PrivateEncoding`]; the text never quotes what it read.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim())
            .map(Self)
            .map_err(|_| KeyError::PrivateEncoding)
    }

    /// PKCS#8 PEM, version 1 (without the public half), which every common library reads.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> SecretString {
        const HEAD: &str = "-----BEGIN PRIVATE KEY-----\n";
        const TAIL: &str = "\n-----END PRIVATE KEY-----\n";
        let mut der = Zeroizing::new([0_u8; 48]);
        let (prefix, seed) = der.split_at_mut(PKCS8_PREFIX.len());
        prefix.copy_from_slice(&PKCS8_PREFIX);
        seed.copy_from_slice(self.0.as_bytes());
        // Sized in advance: a growing string would leave copies of the secret behind.
        let mut pem = String::with_capacity(HEAD.len() + 64 + TAIL.len());
        pem.push_str(HEAD);
        STANDARD.encode_string(der.as_slice(), &mut pem);
        pem.push_str(TAIL);
        SecretString::new(pem)
    }

    /// Standard base64 of seed and public key together (64 bytes), the form of the published AIM SDKs.
    #[must_use]
    pub fn seed_and_public_base64(&self) -> SecretString {
        let pair = Zeroizing::new(self.0.to_keypair_bytes());
        let mut text = String::with_capacity(88);
        STANDARD.encode_string(pair.as_slice(), &mut text);
        SecretString::new(text)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::of_verifying_key(self.0.verifying_key())
    }

    /// Signs deterministically (RFC 8032 §5.1.6).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}
