//! Queries on organisations.

use aim_core::{OrganizationId, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{agents, organizations, users},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

/// Adds an organisation.
pub(crate) fn insert(db: &mut Db, id: OrganizationId, name: &str, now: Timestamp) -> Result<()> {
    each!(db, c => diesel::insert_into(organizations::table)
        .values((
            organizations::id.eq(id),
            organizations::name.eq(name),
            organizations::policy_epoch.eq(0),
            organizations::created_at.eq(now),
        ))
        .execute(c))?;
    Ok(())
}

/// Whether there is any organisation.
pub(crate) fn any(db: &mut Db) -> Result<bool> {
    Ok(
        each!(db, c => diesel::select(diesel::dsl::exists(organizations::table.select(organizations::id))).get_result(c))?,
    )
}

/// Its name.
pub(crate) fn name(db: &mut Db, id: OrganizationId) -> Result<String> {
    Ok(each!(db, c => organizations::table.find(id).select(organizations::name).get_result(c))?)
}

/// Name, time of founding, active users and agents that are not deleted.
pub(crate) fn summary(db: &mut Db, id: OrganizationId) -> Result<(String, Timestamp, i64, i64)> {
    let (name, created_at) = each!(db, c => organizations::table
        .find(id)
        .select((organizations::name, organizations::created_at))
        .get_result(c))?;
    let users = each!(db, c => users::table
        .filter(users::org_id.eq(id))
        .filter(users::status.eq("active"))
        .count()
        .get_result(c))?;
    let agents = each!(db, c => agents::table
        .filter(agents::org_id.eq(id))
        .filter(agents::deleted_at.is_null())
        .count()
        .get_result(c))?;
    Ok((name, created_at, users, agents))
}
