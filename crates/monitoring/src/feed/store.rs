//! Queries for the feed. No rule stands here.

use aim_audit::Record;
use aim_core::{AgentId, ApiKeyId, OrganizationId, SessionId, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{agents, api_keys, audit_log, sessions, users},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, RunQueryDsl,
    SelectableHelper,
};

/// The tenant's records after `after` and before `before`, the earliest first.
///
/// # Errors
/// The database's.
pub fn between(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    after: i64,
    before: i64,
    limit: i64,
) -> Result<Vec<Record>> {
    Ok(each!(db, c => {
        let mut query = audit_log::table
            .filter(audit_log::org_id.eq(organization))
            .filter(audit_log::leaf_index.gt(after))
            .filter(audit_log::leaf_index.lt(before))
            // The newest of them, if there are too many.
            .order(audit_log::leaf_index.desc())
            .limit(limit)
            .select(Record::as_select())
            .into_boxed();
        if let Some(agent) = agent { query = query.filter(audit_log::agent_id.eq(Some(agent))); }
        query.load(c)
    })?)
}

/// The names of agents of any tenant, deleted ones too.
///
/// # Errors
/// The database's.
pub fn names(
    db: &mut Db,
    of: &[(OrganizationId, AgentId)],
) -> Result<Vec<(OrganizationId, AgentId, String)>> {
    let organizations: Vec<_> = of.iter().map(|(organization, _)| *organization).collect();
    let ids: Vec<_> = of.iter().map(|(_, agent)| *agent).collect();
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq_any(&organizations))
        .filter(agents::id.eq_any(&ids))
        .select((agents::org_id, agents::id, agents::name))
        .load(c))?)
}

/// Those of the sessions that are still good.
///
/// # Errors
/// The database's.
pub fn live_sessions(
    db: &mut Db,
    organizations: &[OrganizationId],
    ids: &[SessionId],
    now: Timestamp,
) -> Result<Vec<SessionId>> {
    Ok(each!(db, c => sessions::table
        .inner_join(users::table.on(users::org_id.eq(sessions::org_id).and(users::id.eq(sessions::user_id))))
        .filter(sessions::org_id.eq_any(organizations))
        .filter(sessions::id.eq_any(ids))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .filter(users::status.eq("active"))
        .select(sessions::id)
        .load(c))?)
}

/// Those of the organisation API keys that are still good.
///
/// # Errors
/// The database's.
pub fn live_api_keys(
    db: &mut Db,
    organizations: &[OrganizationId],
    ids: &[ApiKeyId],
    now: Timestamp,
) -> Result<Vec<ApiKeyId>> {
    Ok(each!(db, c => api_keys::table
        .filter(api_keys::org_id.eq_any(organizations))
        .filter(api_keys::id.eq_any(ids))
        .filter(api_keys::disabled_at.is_null())
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(Some(now)).assume_not_null()))
        .select(api_keys::id)
        .load(c))?)
}
