//! Use cases of agents, one transaction each.

use std::collections::BTreeSet;

use aim_audit::Entry;
use aim_core::{Actor, AgentId, Code, Ctx, Error, Json, Result, UserId};
use aim_crypto::{
    keys::{PublicKey, SigningKey},
    possession::{self, Purpose},
};
use aim_decision::AgentStatus;
use aim_key_vault::{
    challenge::{self, ChallengeView},
    store::{self as keys, End, NewKey},
};
use aim_platform::Kernel;
use aim_store::Db;
use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{
        AgentFilter, AgentList, AgentView, NewAgent, RegisteredAgent, SuspendedAgents, UpdateAgent,
        status_text,
    },
    rules::{check_name, check_text},
    store::{self, AgentRow},
};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1024;
/// The most agents that one call suspends.
const MOST_AT_ONCE: usize = 100;

/// Registers, shows and changes agents.
#[derive(Clone)]
pub struct AgentService {
    kernel: Kernel,
}

impl AgentService {
    pub(crate) fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Where agents are kept.
    pub(super) fn store(&self) -> &aim_store::Store {
        &self.kernel.store
    }

    /// A challenge for the registration of an agent, to be signed by the key that it brings.
    ///
    /// # Errors
    /// The database's.
    pub async fn challenge(&self, ctx: &Ctx) -> Result<ChallengeView> {
        challenge::issue(ctx, &self.kernel.store, Purpose::Register, None).await
    }

    /// Registers an agent with a key of its own, after it proved that it holds the private half.
    ///
    /// # Errors
    /// `request.field_invalid` by field, `auth.proof_invalid`, `auth.challenge_invalid`,
    /// `resource.name_taken`, `resource.conflict` at `public_key` when the key was registered before.
    pub async fn register(&self, ctx: &Ctx, new: NewAgent) -> Result<AgentView> {
        let mut new = new.checked()?;
        let key = new
            .key
            .take()
            .ok_or_else(|| Error::field("public_key", "send a public key, and a challenge that it signed"))?;
        possession::verify_possession(Purpose::Register, &key.challenge, &key.public_key, &key.proof)
            .map_err(|error| Error::new(Code::ProofInvalid, error.to_string()).at("proof"))?;
        self.store_new(ctx, new, key.public_key, Some(key.challenge))
            .await
    }

    /// Registers an agent with a key pair made here: the private half is in the answer and nowhere else.
    ///
    /// # Errors
    /// As [`Self::register`], and `request.field_invalid` when a key was brought after all.
    pub async fn register_with_generated_key(&self, ctx: &Ctx, new: NewAgent) -> Result<RegisteredAgent> {
        let new = new.checked()?;
        if new.key.is_some() {
            return Err(Error::field(
                "public_key",
                "leave the key out where the pair is to be made here",
            ));
        }
        let pair = SigningKey::generate().map_err(Error::internal)?;
        let public_key = pair.public();
        let agent = self.store_new(ctx, new, public_key.clone(), None).await?;
        Ok(RegisteredAgent {
            agent,
            public_key,
            private_key: pair.seed_and_public_base64(),
        })
    }

    async fn store_new(
        &self,
        ctx: &Ctx,
        new: NewAgent,
        public_key: PublicKey,
        challenge: Option<String>,
    ) -> Result<AgentView> {
        let own_id = match &ctx.actor {
            Actor::User { id, .. } => Some(*id),
            _ => None,
        };
        let row = AgentRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            display_name: new.display_name.unwrap_or_else(|| new.name.clone()),
            name: new.name,
            description: new.description,
            agent_type: new.agent_type,
            version: new.version,
            status: status_text(AgentStatus::Active).to_owned(),
            owner_id: new.owner_id.or(own_id),
            tags: Json::of(&new.tags),
            talks_to: Json::of(&new.talks_to),
            repository_url: new.repository_url,
            documentation_url: new.documentation_url,
            trust_score: None,
            epoch: 0,
            created_by: ctx.actor_text(),
            created_at: ctx.now,
            updated_at: ctx.now,
            deleted_at: None,
        };
        let named_owner = new.owner_id;
        let key_expires_at = ctx.now + TimeDelta::days(self.kernel.config.key_lifetime_days);
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                if let Some(challenge) = &challenge {
                    challenge::consume(db, &ctx, Purpose::Register, None, challenge)?;
                }
                check_owner(db, &ctx, named_owner)?;
                store::insert(db, &row)?;
                let key = keys::insert(
                    db,
                    &NewKey {
                        organization: row.org_id,
                        agent: row.id,
                        public_key: &public_key,
                        created_at: ctx.now,
                        expires_at: key_expires_at,
                        created_by: ctx.actor_text(),
                        reason: "registration",
                        generated_by: if challenge.is_some() { "client" } else { "server" },
                    },
                )?;
                let registered = Entry::event(&ctx, "agent.registered")
                    .agent(row.id)
                    .target("agent", row.id)
                    .details(
                        json!({ "name": row.name, "agent_type": row.agent_type, "owner_id": row.owner_id }),
                    );
                let key_registered = Entry::event(&ctx, "agent_key.registered")
                    .agent(row.id)
                    .target("agent_key", &key.fingerprint)
                    .facts(json!({
                        "fingerprint": key.fingerprint,
                        "generated_by": key.generated_by,
                        "expires_at": key.expires_at,
                    }))
                    .details(json!({ "agent_name": row.name, "reason": key.created_reason }));
                let view = row.clone().view(Some(&key))?;
                aim_audit::append(db, vec![registered, key_registered])?;
                Ok(view)
            })
            .await
    }

    /// One agent. An agent sees itself only.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get(&self, ctx: &Ctx, agent: AgentId) -> Result<AgentView> {
        ctx.acts_for(agent)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let row = store::find(db, organization, agent, false)?;
                store::view(db, row)
            })
            .await
    }

    /// The agent of that name, if there is one.
    ///
    /// # Errors
    /// The database's; `resource.not_found` when an agent asks for another one.
    pub async fn get_by_name(&self, ctx: &Ctx, name: &str) -> Result<Option<AgentView>> {
        if check_name(name).is_err() {
            // No agent has such a name; PostgreSQL could not even be asked for one with U+0000.
            return Ok(None);
        }
        let (organization, name) = (ctx.organization, name.to_owned());
        let found = self
            .kernel
            .store
            .read(organization, move |db| {
                let row = store::find_by_name(db, organization, &name)?;
                row.map(|row| store::view(db, row)).transpose()
            })
            .await?;
        if let Some(agent) = &found {
            ctx.acts_for(agent.id)?;
        }
        Ok(found)
    }

    /// A page of the organisation's agents.
    ///
    /// # Errors
    /// `request.field_invalid` at `cursor`, or the database's.
    pub async fn list(&self, ctx: &Ctx, filter: AgentFilter) -> Result<AgentList> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let page = filter.page;
                let (rows, total) = store::page(db, organization, &filter)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let ids: Vec<AgentId> = rows.iter().map(|row| row.id).collect();
                let keys = store::current_keys(db, organization, &ids)?;
                let agents = rows
                    .into_iter()
                    .map(|row| {
                        let key = keys.iter().find(|key| key.agent_id == row.id);
                        row.view(key)
                    })
                    .collect::<aim_store::Result<_>>()?;
                Ok(AgentList {
                    agents,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Changes what is kept about an agent.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.name_taken`, `request.field_invalid` by field.
    pub async fn update(&self, ctx: &Ctx, agent: AgentId, update: UpdateAgent) -> Result<AgentView> {
        update.check()?;
        let changed = changed_fields(&update);
        self.change(ctx, agent, "agent.updated", move |db, ctx, row| {
            check_owner(db, ctx, update.owner_id.flatten())?;
            apply(row, &update);
            Ok(json!({ "changed": changed, "name": row.name }))
        })
        .await
    }

    /// Stops an agent: from the next request on, on every node, it is refused.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state` unless it is active, `request.field_invalid` at `reason`.
    pub async fn suspend(&self, ctx: &Ctx, agent: AgentId, reason: &str) -> Result<AgentView> {
        let reason = checked_reason(reason)?;
        self.change(ctx, agent, "agent.suspended", move |_, _, row| {
            turn(row, AgentStatus::Active, AgentStatus::Suspended)?;
            Ok(json!({ "reason": reason }))
        })
        .await
    }

    /// Stops several agents in one transaction: all of them, or none. Those that are suspended already stay as
    /// they are.
    ///
    /// # Errors
    /// `resource.not_found` when one of them is unknown, `request.field_invalid` at `ids` or `reason`.
    pub async fn suspend_all(&self, ctx: &Ctx, ids: &[AgentId], reason: &str) -> Result<SuspendedAgents> {
        if ids.is_empty() || ids.len() > MOST_AT_ONCE {
            return Err(Error::field("ids", format!("name 1 to {MOST_AT_ONCE} agents")));
        }
        let reason = checked_reason(reason)?;
        // In order, so that two calls that name the same agents wait for each other and not in a ring.
        let ids: BTreeSet<AgentId> = ids.iter().copied().collect();
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut done = SuspendedAgents::default();
                let mut entries = Vec::new();
                for agent in &ids {
                    let mut row = store::find(db, ctx.organization, *agent, true)?;
                    if row.status()? != AgentStatus::Active {
                        done.unchanged.push(*agent);
                        continue;
                    }
                    turn(&mut row, AgentStatus::Active, AgentStatus::Suspended)?;
                    row.updated_at = ctx.now;
                    row.epoch += 1;
                    store::save(db, &row)?;
                    done.suspended.push(*agent);
                    entries.push(
                        Entry::event(&ctx, "agent.suspended")
                            .agent(*agent)
                            .target("agent", *agent)
                            .details(json!({ "reason": reason })),
                    );
                }
                if !entries.is_empty() {
                    aim_audit::append(db, entries)?;
                }
                Ok(done)
            })
            .await
    }

    /// Lets a suspended agent act again.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state` unless it is suspended.
    pub async fn reactivate(&self, ctx: &Ctx, agent: AgentId) -> Result<AgentView> {
        self.change(ctx, agent, "agent.reactivated", |_, _, row| {
            turn(row, AgentStatus::Suspended, AgentStatus::Active)?;
            Ok(json!({}))
        })
        .await
    }

    /// Deletes an agent: it is revoked, its keys end, and its name is free again. What it did stays on record.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn delete(&self, ctx: &Ctx, agent: AgentId) -> Result<()> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, agent, true)?;
                status_text(AgentStatus::Revoked).clone_into(&mut row.status);
                row.deleted_at = Some(ctx.now);
                row.updated_at = ctx.now;
                row.epoch += 1;
                store::save(db, &row)?;
                let mut entries = revoke_keys(db, &ctx, &row)?;
                entries.push(
                    Entry::event(&ctx, "agent.deleted")
                        .agent(agent)
                        .target("agent", agent)
                        .details(json!({ "name": row.name })),
                );
                aim_audit::append(db, entries)?;
                Ok(())
            })
            .await
    }

    /// Changes one agent's row by `edit`, which answers what the audit log keeps of it.
    async fn change(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        action: &'static str,
        edit: impl Fn(&mut Db, &Ctx, &mut AgentRow) -> aim_store::Result<serde_json::Value> + Send + 'static,
    ) -> Result<AgentView> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, agent, true)?;
                let details = edit(db, &ctx, &mut row)?;
                row.updated_at = ctx.now;
                row.epoch += 1;
                store::save(db, &row)?;
                let view = store::view(db, row)?;
                let entry = Entry::event(&ctx, action)
                    .agent(agent)
                    .target("agent", agent)
                    .details(details);
                aim_audit::append(db, vec![entry])?;
                Ok(view)
            })
            .await
    }
}

/// Ends every key that is not revoked yet; answers an audit record for each, so that every key's end
/// has a leaf.
fn revoke_keys(db: &mut Db, ctx: &Ctx, row: &AgentRow) -> aim_store::Result<Vec<Entry>> {
    const REASON: &str = "the agent was deleted";
    let actor = ctx.actor_text();
    let end = End {
        at: ctx.now,
        by: &actor,
        reason: REASON,
    };
    let mut entries = Vec::new();
    for key in keys::of_agent(db, row.org_id, row.id)? {
        if key.revoked_at.is_some() {
            continue;
        }
        keys::mark_revoked(db, &key, &end)?;
        entries.push(
            Entry::event(ctx, "agent_key.revoked")
                .agent(row.id)
                .target("agent_key", &key.fingerprint)
                .facts(json!({ "fingerprint": key.fingerprint }))
                .details(json!({ "agent_name": row.name, "reason": REASON })),
        );
    }
    Ok(entries)
}

fn checked_reason(reason: &str) -> Result<String> {
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return Err(Error::field("reason", "say why the agent is suspended"));
    }
    check_text("reason", &reason, LONGEST_REASON)?;
    Ok(reason)
}

fn turn(row: &mut AgentRow, from: AgentStatus, to: AgentStatus) -> aim_store::Result<()> {
    if row.status()? != from {
        let text = format!("the agent is {}, not {}", row.status, status_text(from));
        return Err(Error::new(Code::StateConflict, text).into());
    }
    status_text(to).clone_into(&mut row.status);
    Ok(())
}

fn check_owner(db: &mut Db, ctx: &Ctx, owner: Option<UserId>) -> aim_store::Result<()> {
    match owner {
        Some(owner) if !store::has_user(db, ctx.organization, owner)? => {
            Err(Error::field("owner_id", "no active user of your organisation has this id").into())
        }
        _ => Ok(()),
    }
}

fn apply(row: &mut AgentRow, update: &UpdateAgent) {
    let update = update.clone();
    row.name = update.name.unwrap_or_else(|| row.name.clone());
    row.display_name = update.display_name.unwrap_or_else(|| row.display_name.clone());
    row.description = update.description.unwrap_or_else(|| row.description.clone());
    row.agent_type = update.agent_type.unwrap_or_else(|| row.agent_type.clone());
    row.version = update.version.unwrap_or_else(|| row.version.clone());
    row.tags = update
        .tags
        .map_or_else(|| row.tags.clone(), |tags| Json::of(&tags));
    row.talks_to = update
        .talks_to
        .map_or_else(|| row.talks_to.clone(), |names| Json::of(&names));
    row.owner_id = update.owner_id.unwrap_or(row.owner_id);
    row.repository_url = update
        .repository_url
        .unwrap_or_else(|| row.repository_url.clone());
    row.documentation_url = update
        .documentation_url
        .unwrap_or_else(|| row.documentation_url.clone());
}

/// The names of the fields that an update carries, for the audit log.
fn changed_fields(update: &UpdateAgent) -> Vec<&'static str> {
    [
        ("name", update.name.is_some()),
        ("display_name", update.display_name.is_some()),
        ("description", update.description.is_some()),
        ("agent_type", update.agent_type.is_some()),
        ("version", update.version.is_some()),
        ("tags", update.tags.is_some()),
        ("talks_to", update.talks_to.is_some()),
        ("owner_id", update.owner_id.is_some()),
        ("repository_url", update.repository_url.is_some()),
        ("documentation_url", update.documentation_url.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| is_there.then_some(name))
    .collect()
}
