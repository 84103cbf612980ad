//! Granting and revoking capabilities. Every change bumps the agent's epoch in its own transaction, so
//! that the very next decision, on whichever node, sees it.

use aim_audit::Entry;
use aim_core::{AgentId, Code, Ctx, Error, GrantId, Result, id::GrantKind};
use aim_key_vault::store::bump_agent_epoch;
use aim_platform::Kernel;
use aim_store::{Db, Result as StoreResult, Store};
use serde_json::json;

use super::{
    model::{GRANTS_MAX, GrantList, GrantView, LISTED_MAX, NewGrant, WantedGrant},
    store::{self, GrantRow},
};

/// Grants, and requests for them. Cloning is cheap.
#[derive(Clone)]
pub struct CapabilityService {
    pub(super) store: Store,
}

impl CapabilityService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            store: kernel.store.clone(),
        }
    }

    /// Grants a capability to an agent.
    ///
    /// # Errors
    /// 404 for an unknown agent, 409 when it holds the same already, 422 naming a field.
    pub async fn grant(&self, ctx: &Ctx, agent: AgentId, new: NewGrant) -> Result<GrantView> {
        people_only(ctx)?;
        let wanted = WantedGrant::check(new, ctx.now)?;
        let (ctx, id) = (ctx.clone(), ctx.new_id::<GrantKind>());
        self.store
            .write(ctx.organization, move |db| {
                if !store::lock_agent(db, ctx.organization, agent)? {
                    return Err(Error::not_found().into());
                }
                let row = give(db, &ctx, agent, id, &wanted)?;
                let entry = Entry::event(&ctx, "capability.granted")
                    .agent(agent)
                    .target("capability", id)
                    .facts(json!({"capability": row.capability, "effect": row.effect, "expires_at": row.expires_at}))
                    .details(json!({"scope": row.scope, "reason": row.reason}));
                aim_audit::append(db, vec![entry])?;
                GrantView::of(&row, ctx.now)
            })
            .await
    }

    /// The agent's grants that hold.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one.
    pub async fn list(&self, ctx: &Ctx, agent: AgentId) -> Result<GrantList> {
        self.grants(ctx, agent, false).await
    }

    /// The agent's grants, also those that ended if `ended_too`.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one.
    pub async fn grants(&self, ctx: &Ctx, agent: AgentId, ended_too: bool) -> Result<GrantList> {
        ctx.acts_for(agent)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.store
            .read(organization, move |db| {
                if !store::has_agent(db, organization, agent)? {
                    return Err(Error::not_found().into());
                }
                let (rows, total) = if ended_too {
                    let rows = store::every(db, organization, agent, LISTED_MAX)?;
                    (rows, store::count_every(db, organization, agent)?)
                } else {
                    let rows = store::active(db, organization, agent, now)?;
                    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                    (rows, total)
                };
                let capabilities = rows
                    .iter()
                    .map(|row| GrantView::of(row, now))
                    .collect::<StoreResult<Vec<_>>>()?;
                Ok(GrantList { capabilities, total })
            })
            .await
    }

    /// Withdraws a grant. The agent's next action is decided without it.
    ///
    /// # Errors
    /// 404 for an unknown agent or grant, and for one that was withdrawn before.
    pub async fn revoke(&self, ctx: &Ctx, agent: AgentId, id: GrantId) -> Result<()> {
        people_only(ctx)?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                if !store::lock_agent(db, ctx.organization, agent)? {
                    return Err(Error::not_found().into());
                }
                let row = store::revoke(db, ctx.organization, agent, id, &ctx.actor_text(), ctx.now)?
                    .ok_or_else(Error::not_found)?;
                bump_agent_epoch(db, ctx.organization, agent)?;
                let entry = Entry::event(&ctx, "capability.revoked")
                    .agent(agent)
                    .target("capability", id)
                    .facts(json!({"capability": row.capability, "effect": row.effect}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }
}

/// Makes a grant inside the caller's transaction, which holds the agent's row.
pub(super) fn give(
    db: &mut Db,
    ctx: &Ctx,
    agent: AgentId,
    id: GrantId,
    wanted: &WantedGrant,
) -> StoreResult<GrantRow> {
    let held = store::active(db, ctx.organization, agent, ctx.now)?;
    for row in &held {
        if wanted.is_same_as(row)? {
            let detail = format!("the agent holds the same grant already: {}", row.id);
            return Err(Error::new(Code::Conflict, detail).at("capability").into());
        }
    }
    if held.len() >= GRANTS_MAX {
        let detail =
            format!("an agent holds at most {GRANTS_MAX} grants; revoke some, or grant wider patterns");
        return Err(Error::new(Code::StateConflict, detail).into());
    }
    let row = wanted.row(ctx, agent, id);
    store::insert(db, &row)?;
    bump_agent_epoch(db, ctx.organization, agent)?;
    Ok(row)
}

/// No agent grants, revokes or reviews, whichever way it came.
pub(super) fn people_only(ctx: &Ctx) -> Result<()> {
    match ctx.actor {
        aim_core::Actor::Agent { .. } | aim_core::Actor::Anonymous => Err(Error::new(
            Code::Forbidden,
            "agents cannot grant, revoke or review capabilities",
        )),
        _ => Ok(()),
    }
}
