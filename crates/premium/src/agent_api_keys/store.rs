//! Queries on agent-scoped API keys. No rules here; every query names the tenant, but for the one that
//! authentication learns it from.

use std::collections::HashMap;

use aim_core::{AgentId, Json, OrganizationId, PageRequest, Timestamp};
use aim_decision::{CapabilityPattern, Effect};
use aim_store::{
    Db, Error, Result, each,
    schema::{agents, grants},
};
use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, NullableExpressionMethods,
    OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper, TextExpressionMethods, sql_types::Text,
};

use super::model::{AgentApiKeyId, AgentApiKeyStatus};
use crate::schema::agent_api_keys;

diesel::define_sql_function! {
    /// The text in lower case; SQLite knows the case of ASCII letters only.
    fn lower(text: Text) -> Text;
}

/// A key's row.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = agent_api_keys, treat_none_as_default_value = false)]
pub(crate) struct AgentApiKeyRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: AgentApiKeyId,
    pub(crate) agent_id: AgentId,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) token_digest: Vec<u8>,
    pub(crate) capabilities: Json,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) secret_paths: Option<Json>,
    pub(crate) addresses: Option<Json>,
    pub(crate) last_used_from: Option<String>,
    pub(crate) rotated_from: Option<AgentApiKeyId>,
    pub(crate) retires_at: Option<Timestamp>,
}

impl AgentApiKeyRow {
    /// What the key is worth at `now`. A revocation counts even if its time lies ahead, so that a node
    /// whose clock runs behind does not go on trusting the key.
    pub(crate) fn status(&self, now: Timestamp) -> AgentApiKeyStatus {
        if self.revoked_at.is_some() || self.retires_at.is_some_and(|end| now >= end) {
            AgentApiKeyStatus::Revoked
        } else if now >= self.expires_at {
            AgentApiKeyStatus::Expired
        } else if self.retires_at.is_some() {
            AgentApiKeyStatus::Rotating
        } else {
            AgentApiKeyStatus::Active
        }
    }
}

/// The agent's name and status, unless it was deleted.
pub(crate) fn agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
) -> Result<Option<(String, String)>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq(agent))
        .filter(agents::deleted_at.is_null())
        .select((agents::name, agents::status))
        .get_result(c)
        .optional())?)
}

/// The capabilities that the agent's grants permit at `now`, with or without an approval.
pub(crate) fn granted(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    now: Timestamp,
) -> Result<Vec<CapabilityPattern>> {
    let permitting = [Effect::Allow.as_str(), Effect::RequireApproval.as_str()];
    let texts: Vec<String> = each!(db, c => grants::table
        .filter(grants::org_id.eq(organization))
        .filter(grants::agent_id.eq(agent))
        .filter(grants::revoked_at.is_null())
        .filter(grants::expires_at.is_null().or(grants::expires_at.gt(Some(now)).assume_not_null()))
        .filter(grants::effect.eq_any(permitting))
        .select(grants::capability)
        .load(c))?;
    texts
        .into_iter()
        .map(|text| {
            CapabilityPattern::try_from(text)
                .map_err(|invalid| Error::Corrupt(format!("a grant: {}", invalid.problem)))
        })
        .collect()
}

/// Adds a key.
pub(crate) fn insert(db: &mut Db, row: &AgentApiKeyRow) -> Result<()> {
    each!(db, c => diesel::insert_into(agent_api_keys::table).values(row).execute(c))?;
    Ok(())
}

/// How many keys the agent has or had.
pub(crate) fn count(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<i64> {
    Ok(each!(db, c => agent_api_keys::table
        .filter(agent_api_keys::org_id.eq(organization))
        .filter(agent_api_keys::agent_id.eq(agent))
        .count()
        .get_result(c))?)
}

/// A page of the agent's keys with one more, the newest first.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    page: &PageRequest,
) -> Result<Vec<AgentApiKeyRow>> {
    Ok(each!(db, c => {
        let mut query = agent_api_keys::table
            .filter(agent_api_keys::org_id.eq(organization))
            .filter(agent_api_keys::agent_id.eq(agent))
            .order(agent_api_keys::id.desc())
            .limit(page.fetch())
            .offset(page.offset)
            .select(AgentApiKeyRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.cursor {
            query = query.filter(agent_api_keys::id.lt(AgentApiKeyId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}

/// The agent's key of that id.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    id: AgentApiKeyId,
) -> Result<Option<AgentApiKeyRow>> {
    Ok(each!(db, c => agent_api_keys::table
        .find((organization, id))
        .filter(agent_api_keys::agent_id.eq(agent))
        .select(AgentApiKeyRow::as_select())
        .get_result(c)
        .optional())?)
}

/// As [`find`], held until the transaction ends: of two rotations, one waits.
pub(crate) fn lock(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    id: AgentApiKeyId,
) -> Result<Option<AgentApiKeyRow>> {
    macro_rules! row {
        () => {
            agent_api_keys::table
                .find((organization, id))
                .filter(agent_api_keys::agent_id.eq(agent))
                .select(AgentApiKeyRow::as_select())
        };
    }
    Ok(match db {
        Db::Pg(c) => row!().for_update().get_result(&mut **c).optional()?,
        Db::Sqlite(c) => row!().get_result(&mut **c).optional()?,
    })
}

/// Sets until when a key that was replaced is accepted.
pub(crate) fn retire(
    db: &mut Db,
    organization: OrganizationId,
    id: AgentApiKeyId,
    until: Timestamp,
) -> Result<()> {
    each!(db, c => diesel::update(agent_api_keys::table.find((organization, id)))
        .set(agent_api_keys::retires_at.eq(Some(until)))
        .execute(c))?;
    Ok(())
}

/// Which keys of an organisation are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) agent: Option<AgentId>,
    pub(crate) status: Option<AgentApiKeyStatus>,
    pub(crate) search: Option<String>,
}

/// The organisation's keys that are wanted at a moment, as a boxed query.
macro_rules! wanted {
    ($organization:expr, $wanted:expr, $now:expr) => {{
        let (wanted, now): (&Wanted, Timestamp) = ($wanted, $now);
        let mut query = agent_api_keys::table
            .filter(agent_api_keys::org_id.eq($organization))
            .into_boxed();
        if let Some(agent) = wanted.agent {
            query = query.filter(agent_api_keys::agent_id.eq(agent));
        }
        if let Some(search) = &wanted.search {
            query = query.filter(
                lower(agent_api_keys::name)
                    .like(containing(search))
                    .escape('\\')
                    .or(agent_api_keys::prefix.eq(search.clone())),
            );
        }
        let retired = || agent_api_keys::retires_at.le(Some(now)).assume_not_null();
        let stays = || {
            agent_api_keys::revoked_at.is_null().and(
                agent_api_keys::retires_at
                    .is_null()
                    .or(agent_api_keys::retires_at.gt(Some(now)).assume_not_null()),
            )
        };
        match wanted.status {
            None => query,
            Some(AgentApiKeyStatus::Revoked) => {
                query.filter(agent_api_keys::revoked_at.is_not_null().or(retired()))
            }
            Some(AgentApiKeyStatus::Expired) => {
                query.filter(stays()).filter(agent_api_keys::expires_at.le(now))
            }
            Some(AgentApiKeyStatus::Rotating) => query
                .filter(stays())
                .filter(agent_api_keys::retires_at.is_not_null())
                .filter(agent_api_keys::expires_at.gt(now)),
            Some(AgentApiKeyStatus::Active) => query
                .filter(stays())
                .filter(agent_api_keys::retires_at.is_null())
                .filter(agent_api_keys::expires_at.gt(now)),
        }
    }};
}

/// How many keys of the organisation are wanted.
pub(crate) fn count_all(
    db: &mut Db,
    organization: OrganizationId,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<i64> {
    Ok(each!(db, c => wanted!(organization, wanted, now).count().get_result(c))?)
}

/// A page of the organisation's keys with one more, the newest first.
pub(crate) fn page_of_all(
    db: &mut Db,
    organization: OrganizationId,
    wanted: &Wanted,
    now: Timestamp,
    page: &PageRequest,
) -> Result<Vec<AgentApiKeyRow>> {
    Ok(each!(db, c => {
        let mut query = wanted!(organization, wanted, now)
            .order(agent_api_keys::id.desc())
            .limit(page.fetch())
            .select(AgentApiKeyRow::as_select());
        if let Some(cursor) = page.cursor {
            query = query.filter(agent_api_keys::id.lt(AgentApiKeyId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}

/// The names of agents that are not deleted.
pub(crate) fn agent_names(
    db: &mut Db,
    organization: OrganizationId,
    wanted: &[AgentId],
) -> Result<HashMap<AgentId, String>> {
    let rows: Vec<(AgentId, String)> = each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq_any(wanted.to_vec()))
        .filter(agents::deleted_at.is_null())
        .select((agents::id, agents::name))
        .load(c))?;
    Ok(rows.into_iter().collect())
}

fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Revokes a key. `false`: it was revoked before.
pub(crate) fn revoke(
    db: &mut Db,
    organization: OrganizationId,
    id: AgentApiKeyId,
    at: Timestamp,
) -> Result<bool> {
    let count = each!(db, c => diesel::update(
            agent_api_keys::table.find((organization, id)).filter(agent_api_keys::revoked_at.is_null()),
        )
        .set(agent_api_keys::revoked_at.eq(Some(at)))
        .execute(c))?;
    Ok(count == 1)
}

/// The key of that digest in the whole installation: the tenant is what authentication learns from it.
pub(crate) fn by_digest(db: &mut Db, digest: &[u8]) -> Result<Option<AgentApiKeyRow>> {
    Ok(each!(db, c => agent_api_keys::table
        .filter(agent_api_keys::token_digest.eq(digest))
        .select(AgentApiKeyRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The organisation's key of that digest.
pub(crate) fn by_digest_of(
    db: &mut Db,
    organization: OrganizationId,
    digest: &[u8],
) -> Result<Option<AgentApiKeyRow>> {
    Ok(by_digest(db, digest)?.filter(|row| row.org_id == organization))
}

/// Notes a use, unless a later one was noted.
pub(crate) fn touch(
    db: &mut Db,
    organization: OrganizationId,
    id: AgentApiKeyId,
    now: Timestamp,
    from: Option<&str>,
) -> Result<()> {
    let earlier = agent_api_keys::last_used_at
        .is_null()
        .or(agent_api_keys::last_used_at.lt(Some(now)).assume_not_null());
    each!(db, c => diesel::update(agent_api_keys::table.find((organization, id)).filter(earlier))
        .set((agent_api_keys::last_used_at.eq(Some(now)), agent_api_keys::last_used_from.eq(from)))
        .execute(c))?;
    Ok(())
}
