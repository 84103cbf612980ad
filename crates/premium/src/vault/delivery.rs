//! Handing a secret to an agent in another way than `POST /api/v1/vault/reads` does: the same action, decided by the same
//! code. Whoever calls this seals what it gets.

use aim_audit::Entry;
use aim_core::{Actor, AgentCredential, Code, Ctx, Error, Result};
use aim_crypto::sealing::{self, KEY_LENGTH, SealingError};
use aim_platform::NonceClaim;
use aim_violations::verification::{ActionRequest, DecisionView};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{
    keys::refuse_sealed,
    path::SecretPath,
    reads::{
        COVERING_SCHEME, OWN_CONTEXT, READ_ACTION, ReadSecret, SealedSecret, nothing_there, take,
        unusable_key, within,
    },
    service::VaultService,
};

/// A read by an agent, to be decided.
pub(crate) struct Delivery {
    /// What.
    pub(crate) path: SecretPath,
    /// The arguments, for the constraints of grants.
    pub(crate) context: Map<String, Value>,
    /// What the evidence says of the way it is delivered.
    pub(crate) own: Value,
}

/// The plaintext of a secret, with what is known of it.
pub(crate) type Opened = (ReadSecret, Zeroizing<Vec<u8>>);

/// Refuses an agent whose proof does not cover the body: whoever changed another request on its way could put something of
/// its own into it.
pub(crate) fn requires_covering(ctx: &Ctx, scheme: &str) -> Result<()> {
    let by_key = matches!(
        ctx.actor,
        Actor::Agent {
            credential: AgentCredential::Key { .. },
            ..
        }
    );
    if by_key && scheme == COVERING_SCHEME {
        return Ok(());
    }
    Err(Error::new(
        Code::Forbidden,
        "this counts only as the agent signed it, body and all: sign the request by RFC 9421, with content-digest",
    ))
}

/// The key that something shall be sealed to.
pub(crate) fn parse_recipient(seal_to: &str) -> Result<[u8; KEY_LENGTH]> {
    sealing::parse_public(seal_to).map_err(unusable_key)
}

/// Seals by HPKE, for the occasion `info`.
pub(crate) fn seal_as_hpke(
    recipient: &[u8; KEY_LENGTH],
    info: &[u8],
    plaintext: &[u8],
) -> Result<SealedSecret> {
    let sealed = sealing::seal(recipient, info, plaintext).map_err(|error| match error {
        SealingError::Key => unusable_key(error),
        other => Error::internal(other),
    })?;
    Ok(SealedSecret {
        kem: sealed.kem,
        kdf: sealed.kdf,
        aead: sealed.aead,
        enc: sealed.enc,
        ciphertext: sealed.ciphertext,
    })
}

impl VaultService {
    /// Decides `secret:read` on the path. When this answers, the decision is durable; approved is not yet opened.
    pub(crate) async fn decide_delivery(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        delivery: Delivery,
    ) -> Result<DecisionView> {
        // A sealed vault answers nobody, and no read is approved that cannot happen.
        self.opened(ctx).await?;
        let mut context = delivery.context;
        context.insert(OWN_CONTEXT.to_owned(), delivery.own);
        let action = ActionRequest {
            action: READ_ACTION.to_owned(),
            resource: Some(delivery.path.as_str().to_owned()),
            context,
            approval_requested: false,
        };
        self.verifications
            .verify_within(Some(within(None)), ctx, nonce, scheme, action)
            .await
    }

    /// What came of an approved delivery. Where the decision said yes and nothing was handed over, the log says so too.
    pub(crate) async fn delivered<T>(
        &self,
        ctx: &Ctx,
        decision: &DecisionView,
        path: &SecretPath,
        outcome: Result<T>,
    ) -> Result<T> {
        self.came_of("secret.not_delivered", ctx, decision, path, outcome)
            .await
    }

    /// What came of what a decision approved. Where it failed, the log has `failure` behind the decision.
    pub(super) async fn came_of<T>(
        &self,
        failure: &'static str,
        ctx: &Ctx,
        decision: &DecisionView,
        path: &SecretPath,
        outcome: Result<T>,
    ) -> Result<T> {
        let Err(error) = &outcome else {
            return outcome;
        };
        let entry = Entry::event(ctx, failure)
            .agent(decision.agent_id)
            .target("decision", decision.id)
            .outcome("refused")
            .facts(json!({"code": error.code.slug()}))
            .details(json!({"path": path.as_str()}));
        self.store
            .write(ctx.organization, move |db| {
                aim_audit::append(db, vec![entry.clone()])?;
                Ok(())
            })
            .await?;
        outcome
    }

    /// Opens what was allowed. Only for a caller that holds an approved decision on this very path, or an unused token
    /// that stands for one.
    pub(crate) async fn open_allowed(
        &self,
        ctx: &Ctx,
        path: SecretPath,
        version: Option<i64>,
    ) -> Result<Opened> {
        let (_, keys) = self.opened_now(ctx).await?;
        let keys = keys.ok_or_else(nothing_there)?;
        let ctx = ctx.clone();
        self.store
            .read(ctx.organization, move |db| {
                // Whoever sealed the vault meanwhile is heard at once, on every node.
                refuse_sealed(db)?;
                Ok(take(db, &ctx, &keys, &path, version)?)
            })
            .await
    }
}
