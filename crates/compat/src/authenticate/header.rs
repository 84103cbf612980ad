//! The signature in `X-Agent-ID`, `X-Timestamp`, `X-Public-Key` and `X-Signature`: over method, target,
//! time and body. Every call of both generations but the verification and poll of 2.x.

use aim_core::AgentId;
use aim_crypto::keys::{PublicKey, signature_from_base64};
use aim_platform::{Authenticated, Authenticator, RequestHead, auth::AuthFuture};

use super::{
    BODY_SCHEME, HEADER_SCHEME, Signers, body::checked_action, counted, is_decided, is_verification, needed,
    target,
};
use crate::signatures::{SignatureProblem, unix_seconds, verify_header};

/// Recognises and checks header signatures.
pub struct HeaderSignature(pub(super) Signers);

impl Authenticator for HeaderSignature {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.headers.contains_key("x-signature") && head.headers.contains_key("x-agent-id")
    }

    fn needs_body(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, body: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move { counted(self.check(head, body).await) })
    }
}

impl HeaderSignature {
    async fn check(&self, head: &RequestHead<'_>, body: &[u8]) -> aim_core::Result<Authenticated> {
        let signers = &self.0;
        let agent: AgentId = needed(head, "X-Agent-ID")?
            .parse()
            .map_err(|_| SignatureProblem::malformed("X-Agent-ID", "not the id of an agent"))?;
        let timestamp = needed(head, "X-Timestamp")?;
        let signed_at = unix_seconds("X-Timestamp", timestamp)?;
        let public_key = PublicKey::parse(needed(head, "X-Public-Key")?)
            .map_err(|error| SignatureProblem::malformed("X-Public-Key", error))?;
        let signature = signature_from_base64(needed(head, "X-Signature")?)
            .map_err(|error| SignatureProblem::malformed("X-Signature", error))?;
        signers.fresh(head.now, signed_at)?;
        let key = signers.key_of(head, HEADER_SCHEME, agent, &public_key).await?;
        let verified = verify_header(
            &key.public_key,
            (head.method.as_str(), target(head)),
            timestamp,
            body,
            &signature,
        );
        signers.noting(head, HEADER_SCHEME, &key, verified).await?;
        if !is_decided(head) {
            signers.in_good_standing(head, HEADER_SCHEME, &key).await?;
        }
        if !is_verification(head) {
            return Ok(signers.authenticated(&key, HEADER_SCHEME, HEADER_SCHEME, &signature, signed_at));
        }
        // The older generation signs the action in the body as well, with the same text as 2.x, which sends
        // no header signature. So that one is what may be used once; or it could be sent again without headers.
        let action = checked_action(signers, head.now, body)?;
        if action.agent != agent || action.public_key != public_key {
            let problem = "body and headers name different agents or keys";
            return Err(SignatureProblem::malformed("agent_id", problem).into());
        }
        Ok(signers.authenticated(
            &key,
            HEADER_SCHEME,
            BODY_SCHEME,
            &action.signature,
            action.signed_at,
        ))
    }
}
