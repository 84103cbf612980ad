//! What can be done with agents' keys: one transaction a use case, and each leaves an audit record.
//!
//! Signatures are checked before the transaction, against the key that the transaction then requires
//! to be still the current one; so the writer never waits for arithmetic, and of two rotations at once
//! one wins.

use aim_audit::Entry;
use aim_core::{
    Actor, AgentCredential, AgentId, Code, Ctx, Error, PageRequest, RequiredPermission, Result,
    role::permission,
};
use aim_crypto::{
    keys::PublicKey,
    possession::{Purpose, verify_possession, verify_rotation},
};
use aim_decision::KeyState;
use aim_platform::Kernel;
use aim_store::Db;
use chrono::TimeDelta;
use serde_json::json;

use crate::{
    challenge::{self, ChallengeView},
    model::{
        KeyFormats, KeyHistory, KeyRecord, KeyVaultView, KeyWarning, KeyWarnings, ReplaceKey, RevokeKeys,
        RotateKey, check_grace_hours, check_reason, days_left, parse_public_key, parse_signature,
    },
    store::{self, AgentFacts, End, KeyRow, NewKey},
    warnings,
};

/// The use cases of the key vault.
#[derive(Clone)]
pub struct KeyVaultService {
    kernel: Kernel,
}

impl KeyVaultService {
    /// The use cases on this kernel's store and settings.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// The agent's key as it stands.
    ///
    /// # Errors
    /// `resource.not_found` for an agent that is unknown, deleted, of another tenant, or not the
    /// caller itself when that is an agent.
    pub async fn view(&self, ctx: &Ctx, agent: AgentId) -> Result<KeyVaultView> {
        ctx.acts_for(agent)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                let facts = store::agent(db, organization, agent)?.ok_or_else(Error::not_found)?;
                KeyVaultView::of(
                    agent,
                    &facts.name,
                    &store::of_agent(db, organization, agent)?,
                    now,
                )
            })
            .await
    }

    /// The agent's current public key in every form that we write.
    ///
    /// # Errors
    /// As [`Self::view`]; `resource.state` when the agent has no current key.
    pub async fn formats(&self, ctx: &Ctx, agent: AgentId) -> Result<KeyFormats> {
        ctx.acts_for(agent)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                store::agent(db, organization, agent)?.ok_or_else(Error::not_found)?;
                let keys = store::of_agent(db, organization, agent)?;
                let current = keys.iter().rev().find(|key| key.is_current()).ok_or_else(|| {
                    Error::new(
                        Code::StateConflict,
                        "the agent has no current key: all were revoked; see key-vault/history for them",
                    )
                })?;
                Ok(KeyFormats::of(&current.public_key()?))
            })
            .await
    }

    /// Every key the agent ever had, the latest first.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn history(&self, ctx: &Ctx, agent: AgentId) -> Result<KeyHistory> {
        ctx.acts_for(agent)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                store::agent(db, organization, agent)?.ok_or_else(Error::not_found)?;
                let rows = store::of_agent(db, organization, agent)?;
                let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                let keys = rows
                    .into_iter()
                    .rev()
                    .map(|row| KeyRecord::of(row, now))
                    .collect::<aim_store::Result<_>>()?;
                Ok(KeyHistory { keys, total })
            })
            .await
    }

    /// A challenge for a rotation or a replacement of this agent's key.
    ///
    /// # Errors
    /// As [`Self::view`]; `auth.forbidden` for an agent that did not sign with its key.
    pub async fn challenge(&self, ctx: &Ctx, agent: AgentId) -> Result<ChallengeView> {
        with_its_own_key(ctx, agent)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                store::agent(db, organization, agent)?.ok_or_else(|| Error::not_found().into())
            })
            .await?;
        challenge::issue(ctx, &self.kernel.store, Purpose::Rotate, Some(agent)).await
    }

    /// Lets a new key take the place of the current one, which signed it in. The previous key works
    /// until its grace period ends; keys that are in grace already stay as they are.
    ///
    /// # Errors
    /// `auth.proof_invalid` at `proof` or `previous_signature`, `auth.challenge_invalid`,
    /// `resource.conflict` for a key that was registered before, `resource.state` when the agent is
    /// not active, has no current unexpired key, or when another rotation was quicker.
    pub async fn rotate(&self, ctx: &Ctx, agent: AgentId, request: RotateKey) -> Result<KeyVaultView> {
        with_its_own_key(ctx, agent)?;
        let key = parse_public_key(&request.public_key)?;
        let proof = parse_signature("proof", &request.proof)?;
        let consent = parse_signature("previous_signature", &request.previous_signature)?;
        let reason = request
            .reason
            .as_deref()
            .map_or_else(|| Ok("rotation".to_owned()), check_reason)?;
        let grace = check_grace_hours(request.grace_hours.unwrap_or(self.kernel.config.key_grace_hours))?;

        let organization = ctx.organization;
        let (facts, keys) = self
            .kernel
            .store
            .read(organization, move |db| {
                let facts = store::agent(db, organization, agent)?.ok_or_else(Error::not_found)?;
                Ok((facts, store::of_agent(db, organization, agent)?))
            })
            .await?;
        let previous = rotatable(&facts, &keys, ctx)?;
        check_possession(&key, &request.challenge, &proof)?;
        let old_key = previous.public_key().map_err(aim_store::Error::into_core)?;
        verify_rotation(&agent.to_string(), &request.challenge, &key, &old_key, &consent).map_err(
            |error| {
                Error::new(
                    Code::ProofInvalid,
                    format!("the current key did not sign the new one in: {error}"),
                )
                .at("previous_signature")
            },
        )?;

        let signed_by = previous.fingerprint.clone();
        let (ctx, lifetime) = (ctx.clone(), self.key_lifetime());
        self.kernel
            .store
            .write(organization, move |db| {
                let (facts, keys) = locked(db, &ctx, agent)?;
                let previous = rotatable(&facts, &keys, &ctx)?;
                if previous.fingerprint != signed_by {
                    return Err(overtaken().into());
                }
                challenge::consume(db, &ctx, Purpose::Rotate, Some(agent), &request.challenge)?;
                let grace_until = ctx.now + grace;
                let actor = ctx.actor_text();
                let end = End {
                    at: ctx.now,
                    by: &actor,
                    reason: &reason,
                };
                store::mark_replaced(db, previous, grace_until, &end)?;
                let row = install(db, &ctx, agent, &key, lifetime, &reason)?;
                let entry = Entry::event(&ctx, "agent_key.rotated")
                    .agent(agent)
                    .target("agent_key", &row.fingerprint)
                    .facts(json!({
                        "fingerprint": row.fingerprint,
                        "previous_fingerprint": previous.fingerprint,
                        "previous_grace_until": grace_until,
                        "expires_at": row.expires_at,
                    }))
                    .details(json!({"agent_name": facts.name, "reason": reason}));
                finished(db, &ctx, agent, &facts, vec![entry])
            })
            .await
    }

    /// Installs a new key without the old one's signature, and revokes every earlier key at once: for
    /// keys that are lost, stolen or expired.
    ///
    /// # Errors
    /// As [`Self::rotate`] where it applies.
    pub async fn replace(&self, ctx: &Ctx, agent: AgentId, request: ReplaceKey) -> Result<KeyVaultView> {
        refuse_agents(ctx)?;
        let key = parse_public_key(&request.public_key)?;
        let proof = parse_signature("proof", &request.proof)?;
        let reason = check_reason(&request.reason)?;
        check_possession(&key, &request.challenge, &proof)?;

        let (ctx, lifetime) = (ctx.clone(), self.key_lifetime());
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let (facts, keys) = locked(db, &ctx, agent)?;
                if facts.status == "revoked" {
                    return Err(not_usable(&facts).into());
                }
                challenge::consume(db, &ctx, Purpose::Rotate, Some(agent), &request.challenge)?;
                let live: Vec<&KeyRow> = keys.iter().filter(|key| key.revoked_at.is_none()).collect();
                let mut entries = revoke_each(db, &ctx, agent, &facts, &live, &reason)?;
                let row = install(db, &ctx, agent, &key, lifetime, &reason)?;
                let revoked: Vec<&str> = live.iter().map(|key| key.fingerprint.as_str()).collect();
                entries.push(
                    Entry::event(&ctx, "agent_key.replaced")
                        .agent(agent)
                        .target("agent_key", &row.fingerprint)
                        .facts(json!({
                            "fingerprint": row.fingerprint,
                            "revoked_fingerprints": revoked,
                            "expires_at": row.expires_at,
                        }))
                        .details(json!({"agent_name": facts.name, "reason": reason})),
                );
                finished(db, &ctx, agent, &facts, entries)
            })
            .await
    }

    /// Revokes one key or all of them. From the commit on, no request signed by them is accepted.
    ///
    /// # Errors
    /// `request.field_invalid` at `fingerprint` when the agent has no such key, `resource.state` when
    /// nothing is left to revoke.
    pub async fn revoke(&self, ctx: &Ctx, agent: AgentId, request: RevokeKeys) -> Result<KeyVaultView> {
        refuse_agents(ctx)?;
        let reason = check_reason(&request.reason)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let (facts, keys) = locked(db, &ctx, agent)?;
                let named: Vec<&KeyRow> = match &request.fingerprint {
                    Some(fingerprint) => keys
                        .iter()
                        .filter(|key| key.fingerprint == *fingerprint)
                        .collect(),
                    None => keys.iter().collect(),
                };
                if let (true, Some(_)) = (named.is_empty(), &request.fingerprint) {
                    return Err(Error::field(
                        "fingerprint",
                        "the agent has no key with this fingerprint; see key-vault/history",
                    )
                    .into());
                }
                let live: Vec<&KeyRow> = named.into_iter().filter(|key| key.revoked_at.is_none()).collect();
                if live.is_empty() {
                    return Err(Error::new(
                        Code::StateConflict,
                        "nothing is left to revoke: it was revoked before",
                    )
                    .into());
                }
                let entries = revoke_each(db, &ctx, agent, &facts, &live, &reason)?;
                finished(db, &ctx, agent, &facts, entries)
            })
            .await
    }

    /// The current keys that people were warned of, the soonest to expire first.
    ///
    /// # Errors
    /// `request.field_invalid` at `cursor`, or the database's.
    pub async fn warnings(&self, ctx: &Ctx, page: PageRequest) -> Result<KeyWarnings> {
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                let total = warnings::count(db, organization)?;
                let (rows, next_cursor) =
                    page.cut(warnings::page(db, organization, &page)?, |row| row.0.uuid());
                let agents: Vec<AgentId> = rows.iter().map(|row| row.0).collect();
                let given = warnings::given_to(db, organization, &agents)?;
                let warnings = rows
                    .into_iter()
                    .filter_map(|(agent_id, agent_name, fingerprint, expires_at)| {
                        let (_, _, threshold_days, created_at) = given
                            .iter()
                            .filter(|(agent, key, ..)| *agent == agent_id && *key == fingerprint)
                            .min_by_key(|(.., days, _)| *days)?;
                        Some(KeyWarning {
                            agent_id,
                            agent_name,
                            fingerprint,
                            days_left: days_left(expires_at, now),
                            threshold_days: *threshold_days,
                            expires_at,
                            created_at: *created_at,
                        })
                    })
                    .collect();
                Ok(KeyWarnings {
                    warnings,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    fn key_lifetime(&self) -> TimeDelta {
        TimeDelta::days(self.kernel.config.key_lifetime_days)
    }
}

/// Holds an agent to itself, and to its key: a credential for a part of its capabilities is none for
/// its identity.
fn with_its_own_key(ctx: &Ctx, agent: AgentId) -> Result<()> {
    ctx.acts_for(agent)?;
    match &ctx.actor {
        Actor::Agent {
            credential: AgentCredential::Limited { .. },
            ..
        } => Err(Error::forbidden(permission::KeysRotate::PERMISSION.name)),
        _ => Ok(()),
    }
}

/// Whoever holds an agent's key must not be able to put another in its place without its consent, nor
/// to shut the agent out.
fn refuse_agents(ctx: &Ctx) -> Result<()> {
    match &ctx.actor {
        Actor::Agent { .. } | Actor::Anonymous => {
            Err(Error::forbidden(permission::KeysRevoke::PERMISSION.name))
        }
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::System(_) => Ok(()),
    }
}

/// The key that may sign a new one in.
fn rotatable<'a>(facts: &AgentFacts, keys: &'a [KeyRow], ctx: &Ctx) -> Result<&'a KeyRow> {
    if facts.status != "active" {
        return Err(not_usable(facts));
    }
    let current = keys.iter().rev().find(|key| key.is_current());
    match current.map(|key| (key, key.state(ctx.now))) {
        Some((key, KeyState::Active)) => Ok(key),
        Some(_) => Err(Error::new(
            Code::StateConflict,
            "the current key has expired and cannot sign a new one in; a manager installs one through key-vault/replace",
        )),
        None => Err(Error::new(
            Code::StateConflict,
            "the agent has no current key: all were revoked; a manager installs one through key-vault/replace",
        )),
    }
}

fn check_possession(key: &PublicKey, challenge: &str, proof: &[u8; 64]) -> Result<()> {
    verify_possession(Purpose::Rotate, challenge, key, proof).map_err(|error| {
        Error::new(
            Code::ProofInvalid,
            format!("the new key did not prove possession: {error}"),
        )
        .at("proof")
    })
}

fn not_usable(facts: &AgentFacts) -> Error {
    Error::new(
        Code::StateConflict,
        format!(
            "the agent is {}; only an active agent's key is rotated",
            facts.status
        ),
    )
}

fn overtaken() -> Error {
    Error::new(
        Code::StateConflict,
        "the agent's key was changed by somebody else in the meantime",
    )
}

/// The agent and its keys, which nobody else changes before this transaction ends.
fn locked(db: &mut Db, ctx: &Ctx, agent: AgentId) -> aim_store::Result<(AgentFacts, Vec<KeyRow>)> {
    let facts = store::lock_agent(db, ctx.organization, agent)?.ok_or_else(Error::not_found)?;
    Ok((facts, store::of_agent(db, ctx.organization, agent)?))
}

fn install(
    db: &mut Db,
    ctx: &Ctx,
    agent: AgentId,
    key: &PublicKey,
    lifetime: TimeDelta,
    reason: &str,
) -> aim_store::Result<KeyRow> {
    store::insert(
        db,
        &NewKey {
            organization: ctx.organization,
            agent,
            public_key: key,
            created_at: ctx.now,
            expires_at: ctx.now + lifetime,
            created_by: ctx.actor_text(),
            reason,
            generated_by: "client",
        },
    )
}

/// Revokes `keys` and answers an audit record for each, so that every key's end has a leaf.
fn revoke_each(
    db: &mut Db,
    ctx: &Ctx,
    agent: AgentId,
    facts: &AgentFacts,
    keys: &[&KeyRow],
    reason: &str,
) -> aim_store::Result<Vec<Entry>> {
    let actor = ctx.actor_text();
    let end = End {
        at: ctx.now,
        by: &actor,
        reason,
    };
    keys.iter()
        .map(|key| {
            store::mark_revoked(db, key, &end)?;
            Ok(Entry::event(ctx, "agent_key.revoked")
                .agent(agent)
                .target("agent_key", &key.fingerprint)
                .facts(json!({"fingerprint": key.fingerprint}))
                .details(json!({"agent_name": facts.name, "reason": reason})))
        })
        .collect()
}

/// Ends a change: every node learns of it, the view is taken, and the log is written last.
fn finished(
    db: &mut Db,
    ctx: &Ctx,
    agent: AgentId,
    facts: &AgentFacts,
    entries: Vec<Entry>,
) -> aim_store::Result<KeyVaultView> {
    store::bump_agent_epoch(db, ctx.organization, agent)?;
    let keys = store::of_agent(db, ctx.organization, agent)?;
    let view = KeyVaultView::of(agent, &facts.name, &keys, ctx.now)?;
    aim_audit::append(db, entries)?;
    Ok(view)
}
