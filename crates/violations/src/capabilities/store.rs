//! Queries for grants and for the agents that hold them. No rule stands here.

use aim_core::{AgentId, GrantId, Json, OrganizationId, Timestamp};
use aim_decision::{CapabilityPattern, Effect, Grant, Scope};
use aim_store::{
    Db, Error, Result, each,
    schema::{agents, grants},
};
use chrono::TimeDelta;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
};

/// How long an expired grant is still told of by a decision (`grant.expired`), in days.
pub const EXPIRED_GRANT_DAYS: i64 = 30;

/// A grant as it is stored.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = grants, treat_none_as_default_value = false)]
pub struct GrantRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The grant.
    pub id: GrantId,
    /// The agent that holds it.
    pub agent_id: AgentId,
    /// The pattern of the actions it covers.
    pub capability: String,
    /// `allow`, `require_approval` or `deny`.
    pub effect: String,
    /// What narrows it, as [`Scope`] serialises itself.
    pub scope: Json,
    /// Why it was given; personal, so never in an audit fact.
    pub reason: String,
    /// Who gave it, as `kind:id`.
    pub granted_by: String,
    /// When it was given.
    pub granted_at: Timestamp,
    /// The first moment at which it no longer holds.
    pub expires_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
    /// Who withdrew it, as `kind:id`.
    pub revoked_by: Option<String>,
    /// When it last permitted an action.
    pub last_used_at: Option<Timestamp>,
}

impl GrantRow {
    /// The grant as a decision reads it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row holds what no service of this crate would have written.
    pub fn to_grant(&self) -> Result<Grant> {
        Ok(Grant {
            id: self.id.uuid(),
            capability: CapabilityPattern::try_from(self.capability.as_str())
                .map_err(|error| self.corrupt(&error))?,
            effect: self.effect()?,
            scope: self.scope()?,
            granted_at: *self.granted_at,
            expires_at: self.expires_at.map(|moment| *moment),
        })
    }

    /// What narrows the grant.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the column holds no scope.
    pub fn scope(&self) -> Result<Scope> {
        Scope::from_json(&self.scope).map_err(|error| self.corrupt(&error))
    }

    /// What the grant does.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the column holds no effect.
    pub fn effect(&self) -> Result<Effect> {
        effect_of(&self.effect).ok_or_else(|| self.corrupt(&"unknown effect"))
    }

    fn corrupt(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::Corrupt(format!("grant {}: {problem}", self.id))
    }
}

/// The effect of that name.
#[must_use]
pub fn effect_of(name: &str) -> Option<Effect> {
    [Effect::Allow, Effect::RequireApproval, Effect::Deny]
        .into_iter()
        .find(|effect| effect.as_str() == name)
}

/// The agent's grants that a decision at `now` may speak of, oldest first: none that was revoked, and of
/// the expired ones those that ended within the last [`EXPIRED_GRANT_DAYS`] days.
///
/// # Errors
/// The database's.
pub fn live_of_agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    now: Timestamp,
) -> Result<Vec<GrantRow>> {
    let expired_before = now - TimeDelta::days(EXPIRED_GRANT_DAYS);
    Ok(each!(db, c => grants::table
        .filter(grants::org_id.eq(organization))
        .filter(grants::agent_id.eq(agent))
        .filter(grants::revoked_at.is_null())
        .filter(grants::expires_at.is_null().or(grants::expires_at.gt(Some(expired_before))))
        .order(grants::id)
        .select(GrantRow::as_select())
        .load(c))?)
}

/// Holds the agent's row until the transaction ends, so that what is decided about its grants is decided
/// one after the other. `false`: there is no such agent, or it was deleted.
///
/// # Errors
/// The database's.
pub fn lock_agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let row = agents::table
        .find((organization, agent))
        .filter(agents::deleted_at.is_null())
        .select(agents::id);
    let found: Option<AgentId> = match db {
        Db::Pg(c) => row.for_update().get_result(&mut **c).optional()?,
        // SQLite has one writer; there is nothing to wait for.
        Db::Sqlite(c) => row.get_result(&mut **c).optional()?,
    };
    Ok(found.is_some())
}

/// Whether the organisation has this agent, deleted ones left out.
///
/// # Errors
/// The database's.
pub fn has_agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let found: Option<AgentId> = each!(db, c => agents::table
        .find((organization, agent))
        .filter(agents::deleted_at.is_null())
        .select(agents::id)
        .get_result(c)
        .optional())?;
    Ok(found.is_some())
}

/// The agent's grants that hold at `now`, oldest first.
///
/// # Errors
/// The database's.
pub fn active(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    now: Timestamp,
) -> Result<Vec<GrantRow>> {
    Ok(each!(db, c => grants::table
        .filter(grants::org_id.eq(organization))
        .filter(grants::agent_id.eq(agent))
        .filter(grants::revoked_at.is_null())
        .filter(grants::expires_at.is_null().or(grants::expires_at.gt(Some(now))))
        .order(grants::id)
        .select(GrantRow::as_select())
        .load(c))?)
}

/// The agent's newest `limit` grants, ended ones included, oldest first.
///
/// # Errors
/// The database's.
pub fn every(db: &mut Db, organization: OrganizationId, agent: AgentId, limit: i64) -> Result<Vec<GrantRow>> {
    let mut rows: Vec<GrantRow> = each!(db, c => grants::table
        .filter(grants::org_id.eq(organization))
        .filter(grants::agent_id.eq(agent))
        .order(grants::id.desc())
        .limit(limit)
        .select(GrantRow::as_select())
        .load(c))?;
    rows.reverse();
    Ok(rows)
}

/// How many grants the agent ever had.
///
/// # Errors
/// The database's.
pub fn count_every(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<i64> {
    Ok(each!(db, c => grants::table
        .filter(grants::org_id.eq(organization))
        .filter(grants::agent_id.eq(agent))
        .count()
        .get_result(c))?)
}

/// Stores a new grant. The agent's epoch must be bumped in the same transaction.
///
/// # Errors
/// The database's.
pub fn insert(db: &mut Db, row: &GrantRow) -> Result<()> {
    each!(db, c => diesel::insert_into(grants::table).values(row).execute(c))?;
    Ok(())
}

/// Withdraws a grant that was not withdrawn yet, and answers it. The agent's epoch must be bumped in the
/// same transaction.
///
/// # Errors
/// The database's.
pub fn revoke(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    id: GrantId,
    by: &str,
    now: Timestamp,
) -> Result<Option<GrantRow>> {
    Ok(each!(db, c => diesel::update(grants::table
            .filter(grants::org_id.eq(organization))
            .filter(grants::id.eq(id))
            .filter(grants::agent_id.eq(agent))
            .filter(grants::revoked_at.is_null()))
        .set((grants::revoked_at.eq(Some(now)), grants::revoked_by.eq(Some(by))))
        .returning(GrantRow::as_returning())
        .get_result(c)
        .optional())?)
}
