//! A secret written by an agent: the action `secret:write` on its path, decided as every action is, with the values inside of
//! the request that the agent signed.
//!
//! The evidence tells what was written, and not with which values: it holds a keyed digest of them under a salt, so that what
//! a person approved is what is written, and nobody who reads the evidence can try values. While a person has to
//! approve, the values are kept nowhere: the agent sends them again.

use std::sync::{Arc, Mutex, PoisonError};

use aim_audit::Entry;
use aim_core::{Code, Ctx, DecisionId, Error, OrganizationId, Result, Timestamp};
use aim_crypto::{
    digest::{RandomnessError, random_bytes},
    secret::ct_eq,
};
use aim_platform::NonceClaim;
use aim_violations::verification::{ActionRequest, DecisionView};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    delivery::requires_covering,
    envelope::{Key, value_digest},
    keys::{OrganizationKeys, ensure},
    kinds::{Fields, SecretKind},
    model::{PutSecret, SecretView, Wish},
    path::SecretPath,
    provider::Provider,
    reads::{OWN_CONTEXT, within},
    root::Root,
    service::{Draft, NewVersion, VaultService, in_transaction},
    store,
};

/// The capability that a write takes.
pub const WRITE_ACTION: &str = "secret:write";
/// What the digest of a write begins with, so that it is no digest by which values are looked up.
const CONTENT: &[u8] = b"AIM-SECRET-WRITE-V1\0";

/// What an agent writes.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteRequest {
    /// The secret's path.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The new version, as `PUT /api/v1/vault/secrets/{path}` takes it.
    pub secret: PutSecret,
    /// The arguments, for the constraints of grants. The member `secret` is the vault's own.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The decision of an earlier write that had to be approved by a person: this takes it up, once. Path and secret are those
    /// of that write, values included, and there is no context.
    #[serde(default)]
    pub decision_id: Option<DecisionId>,
}

/// A decision, and what was written if it was approved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WriteReply {
    /// The decision, as the verified action answers it.
    pub decision: DecisionView,
    /// What was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<WrittenSecret>,
}

/// What an agent is told of what it wrote: nothing that it did not bring itself, but the number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WrittenSecret {
    /// The organisation.
    pub organization_id: OrganizationId,
    /// The path.
    pub path: String,
    /// The new version.
    pub version: i64,
    /// Its kind.
    pub kind: SecretKind,
    /// From when on it is not handed over any more.
    pub expires_at: Option<Timestamp>,
}

/// A write that was checked.
#[derive(Clone)]
pub(super) struct Content {
    path: SecretPath,
    wish: Arc<Wish>,
    fields: Arc<Fields>,
    plaintext: Arc<Zeroizing<Vec<u8>>>,
}

impl Content {
    /// # Errors
    /// `request.field_invalid` at the field; no value is repeated.
    pub(super) fn of(path: SecretPath, request: PutSecret, now: Timestamp) -> Result<Self> {
        let (wish, fields) = request.check(now)?;
        Ok(Self {
            plaintext: Arc::new(fields.plaintext(wish.kind)?),
            path,
            wish: Arc::new(wish),
            fields: Arc::new(fields),
        })
    }

    /// Writes it as the next version, in the caller's transaction, with its record.
    pub(super) fn write(
        &self,
        db: &mut aim_store::Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        decision: Option<DecisionId>,
    ) -> aim_store::Result<SecretView> {
        let mut draft = Draft::take(db, ctx, keys, &self.path)?;
        draft.check_cas(self.wish.cas)?;
        draft.describe(&self.wish);
        let written = NewVersion {
            kind: self.wish.kind.as_str(),
            fields: &self.fields,
            plaintext: &self.plaintext,
            rolled_back_from: None,
        };
        let destroyed = draft.add(db, ctx, keys, &self.path, &written)?;
        if let Some(tags) = &self.wish.tags {
            store::set_tags(db, ctx.organization, draft.row.id, tags)?;
        }
        let mut facts =
            json!({"version": draft.row.current_version, "kind": draft.row.kind, "destroyed": destroyed});
        if let (Some(decision), Some(facts)) = (decision, facts.as_object_mut()) {
            facts.insert("decision".to_owned(), json!(decision));
        }
        let provider = draft.row.provider.as_deref().and_then(Provider::parse);
        let mut view = draft.finish(db, ctx, keys, &self.path, "secret.written", facts)?;
        view.warnings = provider
            .and_then(|provider| provider.doubt(&self.fields))
            .into_iter()
            .collect();
        Ok(view)
    }

    /// A keyed digest of everything that is to be written.
    fn digest(&self, index: &Key, organization: OrganizationId, salt: &[u8]) -> [u8; 32] {
        // Its debug form has every part of the wish, those of later days included, and no value.
        let wish = format!("{:?}", self.wish);
        let parts = [
            salt,
            self.path.as_str().as_bytes(),
            wish.as_bytes(),
            &self.plaintext,
        ];
        let length: usize = parts.iter().map(|part| part.len() + 8).sum();
        let mut content = Zeroizing::new(Vec::with_capacity(CONTENT.len() + length));
        content.extend_from_slice(CONTENT);
        for part in parts {
            content.extend_from_slice(&(part.len() as u64).to_be_bytes());
            content.extend_from_slice(part);
        }
        value_digest(index, organization, &content)
    }

    /// What the evidence of the decision holds of it.
    fn evidence(
        &self,
        keys: &OrganizationKeys,
        organization: OrganizationId,
    ) -> std::result::Result<Value, RandomnessError> {
        let salt: [u8; 16] = random_bytes()?;
        let digest = self.digest(&keys.index, organization, &salt);
        Ok(json!({
            "kind": self.wish.kind,
            "fields": self.fields.names(),
            "cas": self.wish.cas,
            "expires_at": self.wish.expires_at,
            // Fewer than there are destroys versions, which whoever approves it shall see.
            "max_versions": self.wish.max_versions,
            "salt": URL_SAFE_NO_PAD.encode(salt),
            "content": URL_SAFE_NO_PAD.encode(digest),
        }))
    }

    /// Whether that evidence is of this very content.
    fn is_that_of(&self, evidence: &Value, keys: &OrganizationKeys, organization: OrganizationId) -> bool {
        let bytes = |name: &str| {
            let text = evidence.get(name).and_then(Value::as_str)?;
            URL_SAFE_NO_PAD.decode(text).ok()
        };
        // The key may have been rotated since somebody was asked.
        bytes("salt")
            .zip(bytes("content"))
            .is_some_and(|(salt, content)| {
                keys.indexes()
                    .any(|index| ct_eq(&self.digest(index, organization, &salt), &content))
            })
    }
}

impl VaultService {
    /// Decides whether the agent may write the secret and, if it may, writes it. The decision is durable before the write is
    /// begun; an approval by a person is used up in the transaction of the write.
    ///
    /// # Errors
    /// `auth.forbidden` for a request whose signature does not cover the values; `request.field_invalid` at a field;
    /// `secret.version_conflict` when `secret.cas` is not the current version; `resource.state` for an approval that cannot be
    /// taken up any more; `vault.sealed`; `vault.integrity`; what the verified action refuses.
    pub async fn write_as_agent(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        request: WriteRequest,
    ) -> Result<WriteReply> {
        requires_covering(ctx, scheme)?;
        let path = SecretPath::parse(&request.path)?;
        let content = Content::of(path, request.secret, ctx.now).map_err(|error| inside("secret", error))?;
        let (root, cached) = self.opened(ctx).await?;
        let keys = match cached {
            Some(keys) => keys,
            // The first secret of an organisation: what a digest is keyed with must be there before the decision.
            None => {
                let (at, root) = (ctx.clone(), Arc::clone(&root));
                self.store
                    .write(ctx.organization, move |db| ensure(db, &at, &root).map(Arc::new))
                    .await?
            }
        };
        let (decision, written) = match request.decision_id {
            Some(id) if request.context.is_empty() => {
                self.take_up_write(ctx, nonce, id, (root, keys), content).await?
            }
            Some(_) => {
                let detail = "the arguments are those that were approved; send none";
                return Err(Error::field("context", detail));
            }
            None => {
                let decision = self
                    .decide_write(ctx, nonce, scheme, request.context, &keys, &content)
                    .await?;
                let written = match decision.status.as_str() {
                    "approved" => Some(self.write_decided(ctx, &decision, content).await?),
                    _ => None,
                };
                (decision, written)
            }
        };
        Ok(WriteReply {
            decision,
            secret: written.map(|view| WrittenSecret {
                organization_id: ctx.organization,
                path: view.secret.path,
                version: view.secret.current_version,
                kind: view.secret.kind,
                expires_at: view.secret.expires_at,
            }),
        })
    }

    /// Decides the write, as every action is decided.
    async fn decide_write(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        mut context: Map<String, Value>,
        keys: &OrganizationKeys,
        content: &Content,
    ) -> Result<DecisionView> {
        if context.contains_key(OWN_CONTEXT) {
            return Err(Error::field(
                "context.secret",
                "this member is the vault's own; name yours otherwise",
            ));
        }
        let own = content
            .evidence(keys, ctx.organization)
            .map_err(Error::internal)?;
        context.insert(OWN_CONTEXT.to_owned(), own);
        let action = ActionRequest {
            action: WRITE_ACTION.to_owned(),
            resource: Some(content.path.as_str().to_owned()),
            context,
            approval_requested: false,
        };
        self.verifications
            .verify_within(Some(within(None)), ctx, nonce, scheme, action)
            .await
    }

    async fn write_decided(
        &self,
        ctx: &Ctx,
        decision: &DecisionView,
        content: Content,
    ) -> Result<SecretView> {
        let (root, cached) = self.opened(ctx).await?;
        let (caller, id, path) = (ctx.clone(), decision.id, content.path.clone());
        let written = self
            .store
            .write(ctx.organization, move |db| {
                let keys = in_transaction(db, &caller, &root, cached.as_ref())?;
                content.write(db, &caller, &keys, Some(id))
            })
            .await;
        self.came_of("secret.not_written", ctx, decision, &path, written)
            .await
    }

    /// Takes up a write that a person approved: once, and with the content that was approved. Approval and write are one
    /// transaction: a write that is refused uses nothing up.
    async fn take_up_write(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        id: DecisionId,
        (root, keys): (Arc<Root>, Arc<OrganizationKeys>),
        content: Content,
    ) -> Result<(DecisionView, Option<SecretView>)> {
        let written = Arc::new(Mutex::new(None));
        let (caller, slot) = (ctx.clone(), Arc::clone(&written));
        let decision = self
            .verifications
            .take_up(ctx, nonce, id, move |db, decision, context| {
                let keys = in_transaction(db, &caller, &root, Some(&keys))?;
                let own = context.get(OWN_CONTEXT).unwrap_or(&Value::Null);
                let same = decision.action == WRITE_ACTION
                    && decision.resource.as_deref() == Some(content.path.as_str())
                    && content.is_that_of(own, &keys, caller.organization);
                if !same {
                    let detail =
                        "that decision is about another action, path or content; send what was approved";
                    return Err(Error::field("decision_id", detail).into());
                }
                if !store::use_approval(db, caller.organization, id, caller.now)? {
                    let detail = "this approval was taken up before; ask anew";
                    return Err(Error::new(Code::StateConflict, detail).at("decision_id").into());
                }
                let used = Entry::event(&caller, "secret.approval_used")
                    .agent(decision.agent_id)
                    .target("decision", id)
                    .facts(json!({"action": WRITE_ACTION}))
                    .details(json!({"path": content.path.as_str()}));
                let view = content.write(db, &caller, &keys, Some(id))?;
                aim_audit::append(db, vec![used])?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
                Ok(())
            })
            .await?;
        let written = written.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((decision, written))
    }
}

/// The refusal of a member of `outer`.
fn inside(outer: &str, error: Error) -> Error {
    match error.field.clone() {
        Some(field) => error.at(format!("{outer}.{field}")),
        None => error,
    }
}
