//! The signature in `X-AIM-Agent-ID`, `X-AIM-Timestamp` and `X-AIM-Signature`, with which aim-sdk 2.x asks
//! what became of a pending action. It names no key: whichever of the agent's keys fits.

use std::sync::Arc;

use aim_core::AgentId;
use aim_crypto::keys::signature_from_base64;
use aim_identity::{KnownAgent, KnownKey};
use aim_platform::{Authenticated, Authenticator, RequestHead, auth::AuthFuture};

use super::{POLL_SCHEME, Signers, VERIFICATIONS, WRONG, counted, needed, not_its_key};
use crate::signatures::{SignatureProblem, poll_message, unix_seconds};

/// Recognises and checks poll signatures.
pub struct PollSignature(pub(super) Signers);

impl Authenticator for PollSignature {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.method.as_str() == "GET"
            && head.uri.path().starts_with(VERIFICATIONS)
            && head.headers.contains_key("x-aim-signature")
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move { counted(self.check(head).await) })
    }
}

impl PollSignature {
    async fn check(&self, head: &RequestHead<'_>) -> aim_core::Result<Authenticated> {
        let signers = &self.0;
        let agent_text = needed(head, "X-AIM-Agent-ID")?;
        let agent: AgentId = agent_text
            .parse()
            .map_err(|_| SignatureProblem::malformed("X-AIM-Agent-ID", "not the id of an agent"))?;
        let timestamp = needed(head, "X-AIM-Timestamp")?;
        let signed_at = unix_seconds("X-AIM-Timestamp", timestamp)?;
        let signature = signature_from_base64(needed(head, "X-AIM-Signature")?)
            .map_err(|error| SignatureProblem::malformed("X-AIM-Signature", error))?;
        signers.fresh(head.now, signed_at)?;
        let message = poll_message(head.uri.path(), agent_text, timestamp);

        let known = signers.directory.by_agent(agent).await?.ok_or_else(not_its_key)?;
        let key = match signer(&known, 0, &message, &signature) {
            Some(key) => key,
            None => {
                // The agent may have rotated through another node.
                let reloaded = signers.directory.reloaded(agent).await?.ok_or_else(not_its_key)?;
                let Some(key) = signer(&reloaded, known.keys.len(), &message, &signature) else {
                    let claim = (known.organization, agent, None);
                    signers.note(head, POLL_SCHEME, claim, WRONG).await;
                    return Err(SignatureProblem::Wrong.into());
                };
                key
            }
        };
        signers.in_good_standing(head, POLL_SCHEME, &key).await?;
        Ok(signers.authenticated(&key, POLL_SCHEME, POLL_SCHEME, &signature, signed_at))
    }
}

/// The key that signed, among the agent's keys after the first `skip`; the newest first.
fn signer(agent: &KnownAgent, skip: usize, message: &[u8], signature: &[u8; 64]) -> Option<Arc<KnownKey>> {
    let mut keys = agent.keys.iter().skip(skip).rev();
    keys.find(|key| key.public_key.verify(message, signature).is_ok())
        .cloned()
}
