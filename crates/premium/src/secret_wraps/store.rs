//! Queries on wraps. No rules here; a token is looked up without a tenant, because it is what names one.

use aim_core::{AgentId, DecisionId, OrganizationId, PageRequest, Timestamp};
use aim_store::{Db, Result, each, schema::agents};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::{WrapId, WrapState};
use crate::schema::vault_wraps;

/// A wrap, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_wraps, treat_none_as_default_value = false)]
pub(crate) struct WrapRow {
    pub(super) org_id: OrganizationId,
    pub(crate) id: WrapId,
    pub(super) token_digest: Vec<u8>,
    pub(super) path: String,
    pub(super) version: i64,
    pub(super) for_agent: Option<AgentId>,
    pub(super) made_by_agent: Option<AgentId>,
    pub(super) decision_id: Option<DecisionId>,
    pub(super) created_by: String,
    pub(super) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(super) used_at: Option<Timestamp>,
    pub(super) reason: Option<String>,
    pub(super) revoked_at: Option<Timestamp>,
    pub(super) revoked_by: Option<String>,
}

impl WrapRow {
    /// How it stands at `now`.
    pub(crate) fn state_at(&self, now: Timestamp) -> WrapState {
        if self.used_at.is_some() {
            WrapState::Used
        } else if self.revoked_at.is_some() {
            WrapState::Revoked
        } else if now >= self.expires_at {
            WrapState::Expired
        } else {
            WrapState::Active
        }
    }
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
        .get_result(c)
        .optional())?)
}

/// The wrap of this token, if it is this organisation's.
pub(crate) fn known(db: &mut Db, organization: OrganizationId, digest: &[u8]) -> Result<Option<WrapRow>> {
    Ok(each!(db, c => vault_wraps::table
        .filter(vault_wraps::org_id.eq(organization))
        .filter(vault_wraps::token_digest.eq(digest))
        .select(WrapRow::as_select())
        .get_result(c)
        .optional())?)
}

/// A wrap by its id.
pub(super) fn find(db: &mut Db, organization: OrganizationId, id: WrapId) -> Result<Option<WrapRow>> {
    Ok(each!(db, c => vault_wraps::table
        .find((organization, id))
        .select(WrapRow::as_select())
        .get_result(c)
        .optional())?)
}

/// A page of wraps with one more, the newest first.
pub(super) fn page(
    db: &mut Db,
    organization: OrganizationId,
    state: Option<WrapState>,
    path: Option<&str>,
    now: Timestamp,
    page: &PageRequest,
) -> Result<Vec<WrapRow>> {
    Ok(each!(db, c => {
        let mut query = vault_wraps::table
            .filter(vault_wraps::org_id.eq(organization))
            .order(vault_wraps::id.desc())
            .limit(page.fetch())
            .select(WrapRow::as_select())
            .into_boxed();
        if let Some(path) = path {
            query = query.filter(vault_wraps::path.eq(path.to_owned()));
        }
        query = match state {
            None => query,
            Some(WrapState::Used) => query.filter(vault_wraps::used_at.is_not_null()),
            Some(WrapState::Revoked) => query.filter(vault_wraps::revoked_at.is_not_null()),
            Some(WrapState::Active) => query
                .filter(vault_wraps::used_at.is_null())
                .filter(vault_wraps::revoked_at.is_null())
                .filter(vault_wraps::expires_at.gt(now)),
            Some(WrapState::Expired) => query
                .filter(vault_wraps::used_at.is_null())
                .filter(vault_wraps::revoked_at.is_null())
                .filter(vault_wraps::expires_at.le(now)),
        };
        if let Some(cursor) = page.cursor {
            query = query.filter(vault_wraps::id.lt(WrapId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}

/// Revokes a wrap. `false`: it was used or revoked before.
pub(super) fn revoke(
    db: &mut Db,
    organization: OrganizationId,
    id: WrapId,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let live = vault_wraps::table
        .find((organization, id))
        .filter(vault_wraps::used_at.is_null())
        .filter(vault_wraps::revoked_at.is_null());
    let count = each!(db, c => diesel::update(live)
        .set((vault_wraps::revoked_at.eq(Some(now)), vault_wraps::revoked_by.eq(Some(by))))
        .execute(c))?;
    Ok(count == 1)
}

/// Uses a wrap up. `false`: it was used or revoked before.
pub(super) fn use_up(db: &mut Db, organization: OrganizationId, id: WrapId, now: Timestamp) -> Result<bool> {
    let unused = vault_wraps::table
        .filter(vault_wraps::org_id.eq(organization))
        .filter(vault_wraps::id.eq(id))
        .filter(vault_wraps::used_at.is_null())
        .filter(vault_wraps::revoked_at.is_null());
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
        .get_result(c)
        .optional())?)
}

/// Forgets wraps that ended before `moment`, of all organisations.
pub(super) fn forget(db: &mut Db, moment: Timestamp) -> Result<()> {
    let ended = vault_wraps::table.filter(vault_wraps::expires_at.lt(moment));
    each!(db, c => diesel::delete(ended).execute(c))?;
    Ok(())
}
