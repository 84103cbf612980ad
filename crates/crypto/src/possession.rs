//! Proof that whoever registers or rotates a key holds its private half, and that the old key agreed.
//!
//! Messages start with a fixed line of their own, so that a signature made here is never one over an HTTP
//! request or anything else, nor the other way round. Challenges come from the caller, who makes, binds
//! (to organisation, agent, purpose) and consumes them; this module only builds and checks messages.

use std::fmt;

use crate::keys::{PublicKey, SignatureError};

/// What possession is proved for; a proof for one purpose is none for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An agent brings its first key.
    Register,
    /// An agent brings the key that replaces another.
    Rotate,
}

impl Purpose {
    /// The word that stands in the message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Rotate => "rotate",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What the new key signs to show that its private half is there: four lines without a final newline,
/// `AIM-PROOF-OF-POSSESSION-V1`, the purpose, the challenge, the key's fingerprint.
#[must_use]
pub fn possession_message(purpose: Purpose, challenge: &str, key: &PublicKey) -> Vec<u8> {
    format!(
        "AIM-PROOF-OF-POSSESSION-V1\n{purpose}\n{challenge}\n{}",
        key.fingerprint()
    )
    .into_bytes()
}

/// What the **old** key signs to bring a new key in: four lines without a final newline,
/// `AIM-KEY-ROTATION-V1`, the agent's id, the challenge, the new key's fingerprint.
#[must_use]
pub fn rotation_message(agent_id: &str, challenge: &str, new_key: &PublicKey) -> Vec<u8> {
    format!(
        "AIM-KEY-ROTATION-V1\n{agent_id}\n{challenge}\n{}",
        new_key.fingerprint()
    )
    .into_bytes()
}

/// Checks a proof of possession: `signature` is `key`'s own, over [`possession_message`].
///
/// # Errors
/// [`SignatureError::Message`] when the challenge is empty or has a control character, else as
/// [`PublicKey::verify`].
pub fn verify_possession(
    purpose: Purpose,
    challenge: &str,
    key: &PublicKey,
    signature: &[u8],
) -> Result<(), SignatureError> {
    refuse_ambiguous("challenge", challenge)?;
    key.verify(&possession_message(purpose, challenge, key), signature)
}

/// Checks that `old_key` signed `new_key` in, over [`rotation_message`]. The new key's own proof is
/// [`verify_possession`] with [`Purpose::Rotate`]; a rotation needs both.
///
/// # Errors
/// [`SignatureError::Message`] when the agent id or challenge is empty or has a control character, else as
/// [`PublicKey::verify`].
pub fn verify_rotation(
    agent_id: &str,
    challenge: &str,
    new_key: &PublicKey,
    old_key: &PublicKey,
    signature: &[u8],
) -> Result<(), SignatureError> {
    refuse_ambiguous("agent_id", agent_id)?;
    refuse_ambiguous("challenge", challenge)?;
    old_key.verify(&rotation_message(agent_id, challenge, new_key), signature)
}

/// A newline inside a field would let one message be read as two.
fn refuse_ambiguous(field: &'static str, text: &str) -> Result<(), SignatureError> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(SignatureError::Message { field });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    #[test]
    fn the_messages_are_the_documented_lines() {
        let public = key(1).public();
        let fingerprint = public.fingerprint();
        assert_eq!(
            possession_message(Purpose::Register, "c-1", &public),
            format!("AIM-PROOF-OF-POSSESSION-V1\nregister\nc-1\n{fingerprint}").as_bytes()
        );
        assert_eq!(
            rotation_message("agent-1", "c-1", &public),
            format!("AIM-KEY-ROTATION-V1\nagent-1\nc-1\n{fingerprint}").as_bytes()
        );
    }

    #[test]
    fn a_proof_counts_for_its_purpose_challenge_and_key_only() {
        let signer = key(1);
        let public = signer.public();
        let proof = signer.sign(&possession_message(Purpose::Register, "c-1", &public));
        assert_eq!(
            verify_possession(Purpose::Register, "c-1", &public, &proof),
            Ok(())
        );
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(
            verify_possession(Purpose::Rotate, "c-1", &public, &proof),
            invalid
        );
        assert_eq!(
            verify_possession(Purpose::Register, "c-2", &public, &proof),
            invalid
        );
        assert_eq!(
            verify_possession(Purpose::Register, "c-1", &key(2).public(), &proof),
            invalid
        );
    }

    #[test]
    fn another_holder_cannot_prove_a_key_that_is_not_theirs() {
        let victim = key(1).public();
        let forged = key(2).sign(&possession_message(Purpose::Register, "c-1", &victim));
        assert_eq!(
            verify_possession(Purpose::Register, "c-1", &victim, &forged),
            Err(SignatureError::Invalid)
        );
    }

    #[test]
    fn a_rotation_is_signed_by_the_old_key_for_one_agent() {
        let (old, new) = (key(1), key(2));
        let message = rotation_message("agent-1", "c-1", &new.public());
        let consent = old.sign(&message);
        assert_eq!(
            verify_rotation("agent-1", "c-1", &new.public(), &old.public(), &consent),
            Ok(())
        );
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(
            verify_rotation("agent-2", "c-1", &new.public(), &old.public(), &consent),
            invalid
        );
        let by_new_key = new.sign(&message);
        assert_eq!(
            verify_rotation("agent-1", "c-1", &new.public(), &old.public(), &by_new_key),
            invalid
        );
    }

    #[test]
    fn a_newline_cannot_move_the_border_between_two_fields() {
        let (old, new) = (key(1), key(2));
        let consent = old.sign(&rotation_message("agent-1", "c-1\nc-2", &new.public()));
        assert_eq!(
            verify_rotation("agent-1\nc-1", "c-2", &new.public(), &old.public(), &consent),
            Err(SignatureError::Message { field: "agent_id" })
        );
        assert_eq!(
            verify_possession(Purpose::Register, "", &new.public(), &consent),
            Err(SignatureError::Message { field: "challenge" })
        );
    }
}
