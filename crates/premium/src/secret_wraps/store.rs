//! Queries on wraps. No rules here; a token is looked up without a tenant, because it is what names one.

use aim_core::{AgentId, DecisionId, OrganizationId, Timestamp};
use aim_store::{Db, Result, each, schema::agents};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::WrapId;
use crate::schema::vault_wraps;

/// A wrap, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_wraps, treat_none_as_default_value = false)]
pub(super) struct WrapRow {
    pub(super) org_id: OrganizationId,
    pub(super) id: WrapId,
    pub(super) token_digest: Vec<u8>,
    pub(super) path: String,
    pub(super) version: i64,
    pub(super) for_agent: Option<AgentId>,
    pub(super) made_by_agent: Option<AgentId>,
    pub(super) decision_id: Option<DecisionId>,
    pub(super) created_by: String,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) used_at: Option<Timestamp>,
}

impl WrapRow {
    /// Whether it was made by a person or an organisation's key, for whoever brings it.
    pub(super) const fn is_for_people(&self) -> bool {
        self.for_agent.is_none() && self.made_by_agent.is_none()
    }
}

/// Adds a wrap.
pub(super) fn insert(db: &mut Db, row: &WrapRow) -> Result<()> {
    each!(db, c => diesel::insert_into(vault_wraps::table).values(row).execute(c))?;
    Ok(())
}

/// The wrap of this token, in whichever organisation.
pub(super) fn by_digest(db: &mut Db, digest: &[u8]) -> Result<Option<WrapRow>> {
    Ok(each!(db, c => vault_wraps::table
        .filter(vault_wraps::token_digest.eq(digest))
        .select(WrapRow::as_select())
        .first(c)
        .optional())?)
}

/// Uses a wrap up. `false`: it was used before.
pub(super) fn use_up(db: &mut Db, organization: OrganizationId, id: WrapId, now: Timestamp) -> Result<bool> {
    let unused = vault_wraps::table
        .filter(vault_wraps::org_id.eq(organization))
        .filter(vault_wraps::id.eq(id))
        .filter(vault_wraps::used_at.is_null());
    let count = each!(db, c => diesel::update(unused)
        .set(vault_wraps::used_at.eq(Some(now)))
        .execute(c))?;
    Ok(count == 1)
}

/// How many this person made since `moment` that are for no agent.
pub(super) fn made_for_people(
    db: &mut Db,
    organization: OrganizationId,
    created_by: &str,
    moment: Timestamp,
) -> Result<i64> {
    Ok(each!(db, c => vault_wraps::table
        .filter(vault_wraps::org_id.eq(organization))
        .filter(vault_wraps::created_by.eq(created_by))
        .filter(vault_wraps::created_at.gt(moment))
        .filter(vault_wraps::for_agent.is_null())
        .filter(vault_wraps::made_by_agent.is_null())
        .count()
        .get_result(c))?)
}

/// The status of an agent that is there.
pub(super) fn agent_status(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
) -> Result<Option<String>> {
    Ok(each!(db, c => agents::table
        .find((organization, agent))
        .filter(agents::deleted_at.is_null())
        .select(agents::status)
        .first(c)
        .optional())?)
}

/// Forgets wraps that ended before `moment`, of all organisations.
pub(super) fn forget(db: &mut Db, moment: Timestamp) -> Result<()> {
    let ended = vault_wraps::table.filter(vault_wraps::expires_at.lt(moment));
    each!(db, c => diesel::delete(ended).execute(c))?;
    Ok(())
}
