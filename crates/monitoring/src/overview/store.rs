//! Queries for the overview. No rule stands here.

use aim_core::{AgentId, Id, OrganizationId, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{agent_keys, agents, violation_counts},
};
use chrono::TimeDelta;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, QueryDsl, RunQueryDsl, dsl::sql, sql_types::BigInt,
};
use uuid::Uuid;

use super::model::{DeniedCapability, ExpiringKey};
use crate::{activity::model::EVERYBODY, alerts::model::AlertId, schema::alerts};

/// The most rows that a trend is made of.
const MOST_ROWS: i64 = 20_000;

/// The least id of a moment (RFC 9562 §5.7): ids carry the time at which they were made.
fn first_id<Kind>(moment: Timestamp) -> Id<Kind> {
    let millisecond = u64::try_from(moment.timestamp_millis()).unwrap_or(0);
    Id::from_uuid(Uuid::from_u128(u128::from(millisecond) << 80))
}

/// How many agents there are, and how many of them are suspended.
pub(super) fn count_agents(db: &mut Db, organization: OrganizationId) -> Result<(i64, i64)> {
    let rows: Vec<(String, i64)> = each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::deleted_at.is_null())
        .group_by(agents::status)
        .select((agents::status, diesel::dsl::count_star()))
        .load(c))?;
    let all = rows.iter().map(|(_, count)| count).sum();
    let suspended = rows.iter().find(|(status, _)| status == "suspended");
    Ok((all, suspended.map_or(0, |(_, count)| *count)))
}

/// When the agents that came since `since` came.
pub(super) fn arrivals(
    db: &mut Db,
    organization: OrganizationId,
    since: Timestamp,
) -> Result<Vec<Timestamp>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.ge(first_id::<aim_core::id::AgentKind>(since)))
        .filter(agents::deleted_at.is_null())
        .limit(MOST_ROWS)
        .select(agents::created_at)
        .load(c))?)
}

/// When the alerts that were raised since `since` were seen first.
pub(super) fn raised(db: &mut Db, organization: OrganizationId, since: Timestamp) -> Result<Vec<Timestamp>> {
    let from: AlertId = first_id(since);
    Ok(each!(db, c => alerts::table
        .filter(alerts::org_id.eq(organization))
        .filter(alerts::id.ge(from))
        .limit(MOST_ROWS)
        .select(alerts::first_seen_at)
        .load(c))?)
}

/// Current keys of active agents that expire between the moments, the soonest first.
pub(super) fn expiring(
    db: &mut Db,
    organization: OrganizationId,
    from: Timestamp,
    to: Timestamp,
    limit: i64,
) -> Result<Vec<ExpiringKey>> {
    let rows: Vec<(AgentId, String, Timestamp)> = each!(db, c => agent_keys::table
        .inner_join(agents::table.on(agents::org_id.eq(agent_keys::org_id).and(agents::id.eq(agent_keys::agent_id))))
        .filter(agent_keys::org_id.eq(organization))
        .filter(agent_keys::expires_at.gt(from))
        .filter(agent_keys::expires_at.le(to))
        .filter(agent_keys::replaced_at.is_null())
        .filter(agent_keys::revoked_at.is_null())
        .filter(agents::deleted_at.is_null())
        .filter(agents::status.ne("revoked"))
        .order(agent_keys::expires_at)
        .limit(limit)
        .select((agent_keys::agent_id, agents::name, agent_keys::expires_at))
        .load(c))?;
    let keys = rows
        .into_iter()
        .map(|(agent_id, agent_name, expires_at)| ExpiringKey {
            agent_id,
            agent_name,
            expires_at,
        });
    Ok(keys.collect())
}

/// The capabilities that were denied most often since the hour of `now` 24 hours ago.
pub(super) fn denied(
    db: &mut Db,
    organization: OrganizationId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<DeniedCapability>> {
    let since = crate::activity::model::hour_of(now) - TimeDelta::hours(23);
    // Diesel has no type for the sum of a bigint that both databases give back as one.
    let sum = || sql::<BigInt>("CAST(SUM(count) AS BIGINT)");
    let rows: Vec<(String, i64)> = each!(db, c => violation_counts::table
        .filter(violation_counts::org_id.eq(organization))
        .filter(violation_counts::agent_id.eq(EVERYBODY))
        .filter(violation_counts::granularity.eq("h"))
        .filter(violation_counts::bucket.ge(since))
        .filter(violation_counts::attempted_capability.ne(""))
        .group_by(violation_counts::attempted_capability)
        .order((sum().desc(), violation_counts::attempted_capability))
        .limit(limit)
        .select((violation_counts::attempted_capability, sum()))
        .load(c))?;
    let denied = rows
        .into_iter()
        .map(|(capability, count)| DeniedCapability { capability, count });
    Ok(denied.collect())
}
