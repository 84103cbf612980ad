//! Making, looking at and using wrap tokens.

use aim_audit::Entry;
use aim_core::{
    Actor, AgentCredential, AgentId, Code, Ctx, DecisionId, Error, PageRequest, RequiredPermission, Result,
    Timestamp,
};
use aim_crypto::{
    sealing::WrapInfo,
    token::{IssuedToken, ParsedToken},
};
use aim_platform::{
    Kernel, NonceClaim,
    extract::{note_refusal, replayed},
};
use aim_store::{Db, Scope};
use aim_violations::verification::{DecisionView, still_approved};
use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{
        TOKEN_KIND, UnwrapReply, UnwrapRequest, WrapId, WrapList, WrapListed, WrapLookup, WrapQuery,
        WrapRequest, WrapState, WrapTokenRequest, WrapView,
    },
    permission::SecretsWrap,
    store::{self, WrapRow},
};
use crate::{
    agent_choice::AgentChoice,
    vault::{
        Delivery, VaultService,
        kinds::SecretValue,
        parse_recipient,
        path::SecretPath,
        requires_covering,
        reveals::{
            model::ASKS_AN_HOUR,
            service::{refuse_old_sign_in, refuse_unless_shown},
        },
        seal_as_hpke,
    },
};

/// How long a wrap that ended is remembered: so long a second use is told from a wrong token.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// The use cases of wrapping.
#[derive(Clone)]
pub struct SecretWrapsService {
    kernel: Kernel,
    vault: VaultService,
}

/// A token, or the decision by which there is none.
#[derive(Debug, Clone)]
pub enum WrapReply {
    /// The token.
    Made(Box<WrapView>),
    /// Denied, or pending.
    Decided(Box<DecisionView>),
}

/// What became of a use.
enum Use {
    Good(Box<WrapRow>),
    Again,
}

impl SecretWrapsService {
    pub(super) fn new(kernel: &Kernel, vault: VaultService) -> Self {
        Self {
            kernel: kernel.clone(),
            vault,
        }
    }

    /// Makes a token for a person or an organisation key. The route asks for the permission. One that whoever brings it can
    /// use obeys what the organisation has set about showing values; one for an agent does not show any.
    ///
    /// # Errors
    /// `resource.state` where values are not shown; `auth.forbidden` for a person who signed in too long ago; `limit.requests`;
    /// `request.field_invalid` at a field; `resource.not_found` when there is nothing to hand over; `vault.sealed`.
    pub async fn wrap_for_person(&self, ctx: &Ctx, request: WrapRequest) -> Result<WrapView> {
        if matches!(ctx.actor, Actor::Agent { .. } | Actor::Anonymous) {
            return Err(Error::forbidden(SecretsWrap::PERMISSION.name));
        }
        let (path, ttl) = request.check()?;
        let reason = request.reason_of_person()?;
        self.make(ctx, path, ttl, &request, None, Some(reason)).await
    }

    /// Makes a token for an agent that may read: the action `secret:read` on the path, decided as every read is.
    ///
    /// # Errors
    /// As [`Self::wrap_for_person`]; what the verified action refuses.
    pub async fn wrap_for_agent(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        request: WrapRequest,
    ) -> Result<WrapReply> {
        requires_covering(ctx, scheme)?;
        let (path, ttl) = request.check()?;
        if request.context.contains_key("secret") {
            return Err(Error::field(
                "context.secret",
                "this member is the vault's own; name yours otherwise",
            ));
        }
        let delivery = Delivery {
            path: path.clone(),
            context: request.context.clone(),
            own: json!({"version": request.version, "delivery": "wrap", "for_agent": request.for_agent}),
        };
        let decision = self.vault.decide_delivery(ctx, nonce, scheme, delivery).await?;
        if decision.status != "approved" {
            return Ok(WrapReply::Decided(Box::new(decision)));
        }
        let reason = request.reason.clone();
        let by = Some((decision.agent_id, decision.id));
        let made = self.make(ctx, path.clone(), ttl, &request, by, reason).await;
        let made = self.vault.delivered(ctx, &decision, &path, made).await?;
        Ok(WrapReply::Made(Box::new(made)))
    }

    async fn make(
        &self,
        ctx: &Ctx,
        path: SecretPath,
        ttl: TimeDelta,
        request: &WrapRequest,
        by_agent: Option<(AgentId, DecisionId)>,
        reason: Option<String>,
    ) -> Result<WrapView> {
        // Whether it can be handed over at all, and which version is the newest; what was opened is wiped at once.
        let (secret, _) = self
            .vault
            .open_allowed(ctx, path.clone(), request.version)
            .await?;
        let token = IssuedToken::generate(TOKEN_KIND).map_err(Error::internal)?;
        let row = WrapRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            token_digest: token.digest(&self.kernel.pepper).to_vec(),
            path: path.as_str().to_owned(),
            version: secret.version,
            for_agent: request.for_agent,
            made_by_agent: by_agent.map(|(agent, _)| agent),
            decision_id: by_agent.map(|(_, decision)| decision),
            created_by: ctx.actor_text(),
            created_at: ctx.now,
            expires_at: ctx.now + ttl,
            used_at: None,
            reason: reason.clone(),
            revoked_at: None,
            revoked_by: None,
        };
        let view = WrapView {
            token: token.text().expose().to_owned(),
            wrap: WrapLookup::of(row.clone()),
        };
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                if row.is_for_people() {
                    refuse_unless_shown(db, ctx.organization)?;
                    refuse_old_sign_in(db, &ctx)?;
                    check_rate(db, &ctx)?;
                }
                if let Some(agent) = row.for_agent
                    && store::agent_status(db, ctx.organization, agent)?.is_none()
                {
                    let detail = "no agent of your organisation has this id";
                    return Err(Error::field("for_agent", detail).into());
                }
                store::insert(db, &row)?;
                let mut entry = Entry::event(&ctx, "secret.wrapped")
                    .target("secret_wrap", row.id)
                    .facts(json!({
                        "version": row.version,
                        "expires_at": row.expires_at,
                        "for_agent": row.for_agent,
                        "decision_id": row.decision_id,
                    }))
                    .details(json!({"path": row.path, "reason": row.reason}));
                if let Some(agent) = row.made_by_agent {
                    entry = entry.agent(agent);
                }
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await?;
        Ok(view)
    }

    /// The agents that a token can be for.
    pub(super) async fn agents_to_choose(&self, ctx: &Ctx) -> Result<AgentChoice> {
        AgentChoice::load(&self.kernel.store, ctx).await
    }

    /// The organisation's wraps, the newest first. The route asks for the permission.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn list(&self, ctx: &Ctx, query: WrapQuery) -> Result<WrapList> {
        refuse_agents(ctx)?;
        let page = PageRequest::parse(query.limit, None, query.cursor.as_deref())?;
        let path = query.path.filter(|path| !path.is_empty());
        let path = path.map(|path| SecretPath::parse(&path)).transpose()?;
        let (organization, now, state) = (ctx.organization, ctx.now, query.state);
        self.kernel
            .store
            .read(organization, move |db| {
                let path = path.as_ref().map(SecretPath::as_str);
                let rows = store::page(db, organization, state, path, now, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(WrapList {
                    wraps: rows.into_iter().map(|row| WrapListed::of(row, now)).collect(),
                    limit: page.limit,
                    next_cursor,
                })
            })
            .await
    }

    /// Takes a token back before it is used: whoever brings it is told what a wrong one is told.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` for one that was used, revoked or has expired.
    pub async fn revoke(&self, ctx: &Ctx, id: WrapId) -> Result<()> {
        refuse_agents(ctx)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = store::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                let live = row.state_at(ctx.now) == WrapState::Active
                    && store::revoke(db, ctx.organization, id, &ctx.actor_text(), ctx.now)?;
                if !live {
                    let detail = "this token is not active any more: it was used or revoked, or has expired";
                    return Err(Error::new(Code::StateConflict, detail).into());
                }
                let entry = Entry::event(&ctx, "secret.wrap_revoked")
                    .target("secret_wrap", row.id)
                    .facts(json!({"version": row.version, "expires_at": row.expires_at}))
                    .details(json!({"path": row.path}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }

    /// What a token is for. It is not used by this.
    ///
    /// # Errors
    /// `resource.not_found` for one that is unknown, has ended, or is another's; `secret.wrap_used`; `resource.state` for a
    /// person's, where values are not shown any more; `auth.signature_replayed`.
    pub async fn lookup(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        request: WrapTokenRequest,
    ) -> Result<WrapLookup> {
        let digest = self.digest(&request.token)?;
        let row = self.found(ctx, digest).await?;
        if nonce.is_some() {
            let claiming = self
                .kernel
                .store
                .write(row.org_id, move |db| claim(db, nonce.as_ref()))
                .await;
            self.noting(ctx, claiming).await?;
        }
        if row.used_at.is_some() {
            return Err(used());
        }
        Ok(WrapLookup::of(row))
    }

    /// Uses a token: the secret, sealed to the key in the request. The use is durable before this answers. A second use is
    /// refused, and leaves a record.
    ///
    /// # Errors
    /// As [`Self::lookup`]; `auth.forbidden` for the agent that it is for, unless its signature covers the body;
    /// `resource.not_found` when the version is deleted, destroyed or expired by now: then the token is not used up.
    pub async fn unwrap(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &str,
        request: UnwrapRequest,
    ) -> Result<UnwrapReply> {
        let recipient = parse_recipient(&request.seal_to)?;
        let digest = self.digest(&request.token)?;
        let row = self.found(ctx, digest).await?;
        if row.for_agent.is_some() {
            requires_covering(ctx, scheme)?;
        }
        let mut ctx = ctx.clone();
        ctx.organization = row.org_id;
        let opened = if row.used_at.is_none() {
            let path = SecretPath::parse(&row.path)?;
            let opened = self.vault.open_allowed(&ctx, path, Some(row.version)).await;
            Some(opened.map_err(|error| match error.code {
                Code::NotFound => not_there(),
                _ => error,
            })?)
        } else {
            None
        };
        let acting = ctx.clone();
        let used_now = self
            .kernel
            .store
            .write(ctx.organization, move |db| {
                // A request that is sent again is a replay; only a token that is brought again is used a second time.
                claim(db, nonce.as_ref())?;
                use_once(db, &acting, &digest)
            })
            .await;
        let used_now = self.noting(&ctx, used_now).await?;
        let (Use::Good(row), Some((secret, plaintext))) = (used_now, opened) else {
            return Err(used());
        };
        let info = WrapInfo {
            organization: &row.org_id.to_string(),
            wrap: &row.id.to_string(),
            path: &row.path,
            version: row.version,
        };
        let sealed = seal_as_hpke(&recipient, &info.bytes(), &plaintext)?;
        Ok(UnwrapReply {
            wrap: WrapLookup::of(*row),
            kind: secret.kind,
            sealed,
        })
    }

    /// Forgets what ended long ago.
    ///
    /// # Errors
    /// The database's.
    pub async fn tidy(&self, now: Timestamp) -> Result<()> {
        self.kernel
            .store
            .write(Scope::Installation, move |db| store::forget(db, now - REMEMBERED))
            .await
    }

    async fn found(&self, ctx: &Ctx, digest: [u8; 32]) -> Result<WrapRow> {
        let caller = ctx.clone();
        let found = self
            .kernel
            .store
            .read(Scope::Installation, move |db| found(db, &caller, &digest))
            .await;
        self.noting(ctx, found).await
    }

    /// A replay, and the use of a key that has ended, leave evidence here as on any other route.
    async fn noting<T>(&self, ctx: &Ctx, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            note_refusal(&self.kernel, ctx, error.code).await;
        }
        outcome
    }

    fn digest(&self, token: &SecretValue) -> Result<[u8; 32]> {
        let token = ParsedToken::parse_with(token.0.expose(), &[TOKEN_KIND])
            .map_err(|error| Error::field("token", error.to_string()))?;
        if token.kind() != TOKEN_KIND {
            return Err(Error::field(
                "token",
                "this is another kind of token; a wrap token begins with aim_wrap_",
            ));
        }
        Ok(token.digest(&self.kernel.pepper))
    }
}

/// The wrap of a token that the caller may use, used or not. All others are answered alike.
fn found(db: &mut Db, ctx: &Ctx, digest: &[u8]) -> aim_store::Result<WrapRow> {
    let row = store::by_digest(db, digest)?.ok_or_else(not_there)?;
    let anonymous = matches!(ctx.actor, Actor::Anonymous);
    if !anonymous && ctx.organization != row.org_id {
        return Err(not_there().into());
    }
    // By its own signature: a key for programs reads no value, and nothing that it sends proves to whom to seal one.
    if let Some(agent) = row.for_agent
        && !is_signed_by(ctx, agent)
    {
        return Err(not_there().into());
    }
    if matches!(row.state_at(ctx.now), WrapState::Revoked | WrapState::Expired) {
        return Err(not_there().into());
    }
    if row.is_for_people() {
        refuse_unless_shown(db, row.org_id)?;
    }
    // Whoever signs for an agent must still be it; and what an agent might not read by now, its token does not hand over.
    aim_platform::standing::check(db, row.org_id, &ctx.actor, ctx.now)?;
    if let Some(agent) = row.made_by_agent {
        let active = store::agent_status(db, row.org_id, agent)?.as_deref() == Some("active");
        let approved = match row.decision_id {
            Some(id) if active => still_approved(db, row.org_id, id, ctx.now)?,
            _ => false,
        };
        if !approved {
            return Err(not_there().into());
        }
    }
    Ok(row)
}

fn is_signed_by(ctx: &Ctx, agent: AgentId) -> bool {
    matches!(&ctx.actor, Actor::Agent { id, credential: AgentCredential::Key { .. } } if *id == agent)
}

/// Uses up the nonce of a signed request, in the transaction of what it asks for.
fn claim(db: &mut Db, nonce: Option<&NonceClaim>) -> aim_store::Result<()> {
    let Some(nonce) = nonce else {
        return Ok(());
    };
    if aim_store::nonces::claim(db, nonce.organization, &nonce.digest, nonce.expires_at)? {
        Ok(())
    } else {
        Err(replayed().into())
    }
}

/// As for values that are shown: one person gets at so many an hour.
fn check_rate(db: &mut Db, ctx: &Ctx) -> aim_store::Result<()> {
    if !matches!(ctx.actor, Actor::User { .. }) {
        return Ok(());
    }
    let since = ctx.now - TimeDelta::hours(1);
    if store::made_for_people(db, ctx.organization, &ctx.actor_text(), since)? < ASKS_AN_HOUR {
        return Ok(());
    }
    let detail = format!("one person makes at most {ASKS_AN_HOUR} tokens an hour that are for no agent");
    Err(Error::new(Code::RateLimited, detail).retry_after(3600).into())
}

fn use_once(db: &mut Db, ctx: &Ctx, digest: &[u8]) -> aim_store::Result<Use> {
    let row = found(db, ctx, digest)?;
    let first = store::use_up(db, row.org_id, row.id, ctx.now)?;
    // It may have been revoked in between; then it is not there.
    let row = if first { row } else { found(db, ctx, digest)? };
    let (event, outcome) = if first {
        ("secret.unwrapped", "ok")
    } else {
        ("secret.wrap_reused", "refused")
    };
    // The access audit lists what was handed over, and how; what was not is no access.
    let facts = if first {
        json!({"version": row.version, "delivery": "unwrapped"})
    } else {
        json!({"version": row.version, "used_at": row.used_at})
    };
    let mut entry = Entry::event(ctx, event)
        .target("secret_wrap", row.id)
        .outcome(outcome)
        .facts(facts)
        .details(json!({"path": row.path, "source_ip": ctx.source_ip}));
    if let Actor::Agent { id, .. } = &ctx.actor {
        entry = entry.agent(*id);
    }
    aim_audit::append(db, vec![entry])?;
    Ok(if first {
        Use::Good(Box::new(row))
    } else {
        Use::Again
    })
}

/// An agent manages no tokens, not even its own.
fn refuse_agents(ctx: &Ctx) -> Result<()> {
    match ctx.actor {
        Actor::Agent { .. } | Actor::Anonymous => Err(Error::forbidden(SecretsWrap::PERMISSION.name)),
        _ => Ok(()),
    }
}

fn not_there() -> Error {
    Error::new(
        Code::NotFound,
        "no such token is good here: it is unknown, has ended, or is meant for somebody else",
    )
}

fn used() -> Error {
    Error::new(Code::WrapUsed, "this token has handed its secret over already")
}
