//! The queries of the checks; no rules. Each answers how many there are, and the first of them.

use aim_core::{AgentId, GrantId, OrganizationId, Timestamp, UserId};
use aim_store::{
    Db, Result, each,
    schema::{agent_keys, agents, grants, users},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, RunQueryDsl,
    dsl::{exists, not},
};

/// The most objects that a check names.
pub(crate) const OBJECTS: i64 = 50;

/// Other capabilities' tables, as far as a check reads them. This crate may not depend on theirs.
mod elsewhere {
    diesel::table! {
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::sql_types::{Nullable, Text};

        alerts (org_id, id) {
            org_id -> DbUuid,
            id -> DbUuid,
            agent_id -> Nullable<DbUuid>,
            severity -> Text,
            title -> Text,
            status -> Text,
            first_seen_at -> DbTime,
        }
    }
}
use elsewhere::alerts;

/// How many, and the first of them.
pub(crate) type Found<T> = (i64, Vec<T>);

/// Marks the ids of alerts.
pub(crate) enum AlertKind {}

/// How many agents there are that are not revoked or deleted.
pub(crate) fn count_agents(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::deleted_at.is_null())
        .filter(agents::status.ne("revoked"))
        .count()
        .get_result(c))?)
}

/// A current key: its agent, the agent's name, its fingerprint, when it was made and when it expires.
pub(crate) type Key = (AgentId, String, String, Timestamp, Timestamp);

macro_rules! current_keys {
    ($organization:expr) => {
        agent_keys::table
            .inner_join(
                agents::table.on(agents::org_id
                    .eq(agent_keys::org_id)
                    .and(agents::id.eq(agent_keys::agent_id))),
            )
            .filter(agent_keys::org_id.eq($organization))
            .filter(agent_keys::replaced_at.is_null())
            .filter(agent_keys::revoked_at.is_null())
            .filter(agents::deleted_at.is_null())
            .filter(agents::status.ne("revoked"))
    };
}

macro_rules! key_columns {
    () => {
        (
            agent_keys::agent_id,
            agents::name,
            agent_keys::fingerprint,
            agent_keys::created_at,
            agent_keys::expires_at,
        )
    };
}

/// How many current keys there are.
pub(crate) fn count_keys(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => current_keys!(organization).count().get_result(c))?)
}

/// Current keys that expire before `until`, or have.
pub(crate) fn keys_expiring(
    db: &mut Db,
    organization: OrganizationId,
    until: Timestamp,
) -> Result<Found<Key>> {
    each!(db, c => {
        let total = current_keys!(organization)
            .filter(agent_keys::expires_at.lt(until))
            .count()
            .get_result(c)?;
        let rows = current_keys!(organization)
            .filter(agent_keys::expires_at.lt(until))
            .order((agent_keys::expires_at, agent_keys::agent_id))
            .limit(OBJECTS)
            .select(key_columns!())
            .load(c)?;
        Ok((total, rows))
    })
}

/// Current keys that were made before `before`.
pub(crate) fn keys_made_before(
    db: &mut Db,
    organization: OrganizationId,
    before: Timestamp,
) -> Result<Found<Key>> {
    each!(db, c => {
        let total = current_keys!(organization)
            .filter(agent_keys::created_at.lt(before))
            .count()
            .get_result(c)?;
        let rows = current_keys!(organization)
            .filter(agent_keys::created_at.lt(before))
            .order((agent_keys::created_at, agent_keys::agent_id))
            .limit(OBJECTS)
            .select(key_columns!())
            .load(c)?;
        Ok((total, rows))
    })
}

/// An agent: its id and name, whether it names an owner, and when it was registered.
pub(crate) type Ownerless = (AgentId, String, Option<UserId>, Timestamp);

macro_rules! ownerless {
    ($organization:expr) => {
        agents::table
            .filter(agents::org_id.eq($organization))
            .filter(agents::deleted_at.is_null())
            .filter(agents::status.ne("revoked"))
            .filter(
                agents::owner_id.is_null().or(not(exists(
                    users::table
                        .filter(users::org_id.eq(agents::org_id))
                        .filter(users::id.nullable().eq(agents::owner_id))
                        .filter(users::status.eq("active")),
                ))),
            )
    };
}

/// Agents without an owner whose account is active.
pub(crate) fn agents_without_owner(db: &mut Db, organization: OrganizationId) -> Result<Found<Ownerless>> {
    each!(db, c => {
        let total = ownerless!(organization).count().get_result(c)?;
        let rows = ownerless!(organization)
            .order(agents::id)
            .limit(OBJECTS)
            .select((agents::id, agents::name, agents::owner_id, agents::created_at))
            .load(c)?;
        Ok((total, rows))
    })
}

/// A grant: its id, its agent and the agent's name, the capability, when it was given and last used.
pub(crate) type Unused = (GrantId, AgentId, String, String, Timestamp, Option<Timestamp>);

macro_rules! live_grants {
    ($organization:expr, $now:expr) => {
        grants::table
            .inner_join(
                agents::table.on(agents::org_id
                    .eq(grants::org_id)
                    .and(agents::id.eq(grants::agent_id))),
            )
            .filter(grants::org_id.eq($organization))
            .filter(grants::revoked_at.is_null())
            .filter(grants::effect.ne("deny"))
            .filter(
                grants::expires_at
                    .is_null()
                    .or(grants::expires_at.gt($now).assume_not_null()),
            )
            .filter(agents::deleted_at.is_null())
            .filter(agents::status.ne("revoked"))
    };
}

macro_rules! unused_grants {
    ($organization:expr, $now:expr, $since:expr) => {
        live_grants!($organization, $now)
            .filter(grants::granted_at.lt($since))
            .filter(
                grants::last_used_at
                    .is_null()
                    .or(grants::last_used_at.lt($since).assume_not_null()),
            )
    };
}

/// How many grants are in force.
pub(crate) fn count_grants(db: &mut Db, organization: OrganizationId, now: Timestamp) -> Result<i64> {
    Ok(each!(db, c => live_grants!(organization, now).count().get_result(c))?)
}

/// Grants in force that nobody has used since `since`.
pub(crate) fn grants_unused(
    db: &mut Db,
    organization: OrganizationId,
    now: Timestamp,
    since: Timestamp,
) -> Result<Found<Unused>> {
    each!(db, c => {
        let total = unused_grants!(organization, now, since).count().get_result(c)?;
        let rows = unused_grants!(organization, now, since)
            .order(grants::id)
            .limit(OBJECTS)
            .select((
                grants::id,
                grants::agent_id,
                agents::name,
                grants::capability,
                grants::granted_at,
                grants::last_used_at,
            ))
            .load(c)?;
        Ok((total, rows))
    })
}

/// An administrator: the id, the name, when the account was made and last signed in.
pub(crate) type Admin = (UserId, String, Timestamp, Option<Timestamp>);

/// The administrators whose accounts are active.
pub(crate) fn admins(db: &mut Db, organization: OrganizationId) -> Result<Vec<Admin>> {
    Ok(each!(db, c => users::table
        .filter(users::org_id.eq(organization))
        .filter(users::role.eq("admin"))
        .filter(users::status.eq("active"))
        .order(users::id)
        .select((users::id, users::name, users::created_at, users::last_login_at))
        .load(c))?)
}

/// An alert: its id, its title, and when it was first seen.
pub(crate) type OpenAlert = (aim_core::Id<AlertKind>, String, Timestamp);

/// Critical alerts that are not resolved.
pub(crate) fn critical_alerts(db: &mut Db, organization: OrganizationId) -> Result<Found<OpenAlert>> {
    each!(db, c => {
        let total = alerts::table
            .filter(alerts::org_id.eq(organization))
            .filter(alerts::status.ne("resolved"))
            .filter(alerts::severity.eq("critical"))
            .count()
            .get_result(c)?;
        let rows = alerts::table
            .filter(alerts::org_id.eq(organization))
            .filter(alerts::status.ne("resolved"))
            .filter(alerts::severity.eq("critical"))
            .order(alerts::id)
            .limit(OBJECTS)
            .select((alerts::id, alerts::title, alerts::first_seen_at))
            .load(c)?;
        Ok((total, rows))
    })
}
