//! What is sealed to an agent's *registered* key, in the form that the published AIM SDK opens: X25519 from the Ed25519
//! key, SHA-256 of the shared secret as the key, ChaCha20-Poly1305 without associated data.
//!
//! The form is the SDK's and not ours: unlike HPKE it binds nothing but the key. What AIM's own clients read is sealed
//! by the module above. The primitives are `ring`'s.

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    rand::SystemRandom,
};
use zeroize::Zeroizing;

use super::{KEY_LENGTH, SealingError};
use crate::{
    digest::{RandomnessError, random_bytes, sha256},
    keys::PublicKey,
};

/// The name of the form on the wire.
pub const ALGORITHM: &str = "X25519-ChaCha20-Poly1305";

/// A message sealed to a registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedToRegistered {
    /// Nonce, ciphertext and tag, one after another.
    pub blob: Vec<u8>,
    /// The public half of the pair that was made for this message.
    pub ephemeral: [u8; KEY_LENGTH],
}

/// Seals `plaintext` to the holder of the Ed25519 key.
///
/// # Errors
/// [`SealingError::Key`] for a key of small order, [`SealingError::Randomness`].
pub fn seal_to_registered(key: &PublicKey, plaintext: &[u8]) -> Result<SealedToRegistered, SealingError> {
    let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| RandomnessError)?;
    let public = own.compute_public_key().map_err(|_| SealingError::Seal)?;
    let ephemeral = public.as_ref().try_into().map_err(|_| SealingError::Seal)?;
    let peer = UnparsedPublicKey::new(&X25519, key.x25519());
    // `ring` refuses a shared secret of zeroes.
    let secret = agree_ephemeral(own, &peer, |shared| Zeroizing::new(sha256(shared)))
        .map_err(|_| SealingError::Key)?;
    let cipher = UnboundKey::new(&CHACHA20_POLY1305, secret.as_slice()).map_err(|_| SealingError::Seal)?;
    let nonce: [u8; NONCE_LEN] = random_bytes()?;
    let mut blob = Vec::with_capacity(NONCE_LEN + plaintext.len() + CHACHA20_POLY1305.tag_len());
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(plaintext);
    let (_, message) = blob.split_at_mut(NONCE_LEN);
    let tag = LessSafeKey::new(cipher)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), message)
        .map_err(|_| SealingError::Seal)?;
    blob.extend_from_slice(tag.as_ref());
    Ok(SealedToRegistered { blob, ephemeral })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn the_point_on_the_other_curve_is_libsodiums() {
        // PyNaCl 1.6: crypto_sign_ed25519_pk_to_curve25519 of the public key of the seed 07…07.
        let key = SigningKey::from_seed(&[7; 32]).public();
        assert_eq!(
            crate::digest::hex(&key.x25519()),
            "761d88ec830413919dfe9d4d1d56f17e653c8c994082df5b137b90a0ae6edf74"
        );
    }

    #[test]
    fn two_messages_share_neither_key_nor_nonce() {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let one = seal_to_registered(&key, b"a value").unwrap();
        let two = seal_to_registered(&key, b"a value").unwrap();
        assert_eq!(one.blob.len(), NONCE_LEN + 7 + 16);
        assert_ne!(one.ephemeral, two.ephemeral);
        assert_ne!(one.blob.get(..NONCE_LEN), two.blob.get(..NONCE_LEN));
        assert!(!one.blob.windows(7).any(|part| part == b"a value"));
    }
}
