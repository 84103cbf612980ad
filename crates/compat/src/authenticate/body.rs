//! The signature in the body of a verification: all that aim-sdk 2.x sends there. No header, no key, no
//! token comes with it.

use aim_core::{Code, Error, Result, Timestamp};
use aim_platform::{Authenticated, Authenticator, RequestHead, auth::AuthFuture};

use super::{BODY_SCHEME, Signers, counted, is_verification};
use crate::signatures::{SignatureProblem, SignedAction};

/// Headers that carry another credential, which is then the one that counts.
const OTHER_CREDENTIALS: [&str; 7] = [
    "authorization",
    "x-api-key",
    "x-aim-api-key",
    "x-signature",
    "x-aim-signature",
    "signature",
    "signature-input",
];

/// Recognises and checks body signatures.
pub struct BodySignature(pub(super) Signers);

impl Authenticator for BodySignature {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        is_verification(head)
            && !OTHER_CREDENTIALS
                .iter()
                .any(|name| head.headers.contains_key(*name))
    }

    fn needs_body(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, body: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move { counted(self.check(head, body).await) })
    }
}

impl BodySignature {
    async fn check(&self, head: &RequestHead<'_>, body: &[u8]) -> Result<Authenticated> {
        if body.is_empty() {
            return Err(Error::new(
                Code::CredentialsMissing,
                "this path needs a signed body, and the request has none",
            ));
        }
        let signers = &self.0;
        let action = SignedAction::parse(body)?;
        if action.older {
            let problem = "with these names the request is signed in its headers too; send both signatures";
            return Err(SignatureProblem::malformed("X-Signature", problem).into());
        }
        signers.fresh(head.now, action.signed_at)?;
        let key = signers
            .key_of(head, BODY_SCHEME, action.agent, &action.public_key)
            .await?;
        signers.noting(head, BODY_SCHEME, &key, action.verify()).await?;
        Ok(signers.authenticated(
            &key,
            BODY_SCHEME,
            BODY_SCHEME,
            &action.signature,
            action.signed_at,
        ))
    }
}

/// The action in `body`, fresh and signed by the key that it names. Whose key that is, is not looked at.
pub(super) fn checked_action<'a>(
    signers: &Signers,
    now: Timestamp,
    body: &'a [u8],
) -> Result<SignedAction<'a>> {
    let action = SignedAction::parse(body)?;
    signers.fresh(now, action.signed_at)?;
    action.verify()?;
    Ok(action)
}
