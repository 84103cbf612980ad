//! Queries on preferences.

use std::collections::BTreeMap;

use aim_core::{Json, OrganizationId, Timestamp, UserId};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use serde_json::Value;

use crate::schema::user_preferences;

/// The value and when it was set.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    name: &str,
) -> Result<Option<(Value, Timestamp)>> {
    let row: Option<(Json, Timestamp)> = each!(db, c => user_preferences::table
        .find((organization, user, name))
        .select((user_preferences::value, user_preferences::updated_at))
        .get_result(c)
        .optional())?;
    Ok(row.map(|(value, at)| (value.0, at)))
}

/// All of a user's.
pub(crate) fn all(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
) -> Result<BTreeMap<String, Value>> {
    let rows: Vec<(String, Json)> = each!(db, c => user_preferences::table
        .filter(user_preferences::org_id.eq(organization))
        .filter(user_preferences::user_id.eq(user))
        .select((user_preferences::name, user_preferences::value))
        .load(c))?;
    Ok(rows.into_iter().map(|(name, value)| (name, value.0)).collect())
}

/// How many a user has, besides the one of that name.
pub(crate) fn others(db: &mut Db, organization: OrganizationId, user: UserId, name: &str) -> Result<i64> {
    Ok(each!(db, c => user_preferences::table
        .filter(user_preferences::org_id.eq(organization))
        .filter(user_preferences::user_id.eq(user))
        .filter(user_preferences::name.ne(name))
        .count()
        .get_result(c))?)
}

/// Sets a preference.
pub(crate) fn set(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    name: &str,
    value: &Value,
    now: Timestamp,
) -> Result<()> {
    forget(db, organization, user, name)?;
    each!(db, c => diesel::insert_into(user_preferences::table)
        .values((
            user_preferences::org_id.eq(organization),
            user_preferences::user_id.eq(user),
            user_preferences::name.eq(name),
            user_preferences::value.eq(Json(value.clone())),
            user_preferences::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(())
}

/// Forgets a preference.
pub(crate) fn forget(db: &mut Db, organization: OrganizationId, user: UserId, name: &str) -> Result<()> {
    let mine = user_preferences::table.find((organization, user, name));
    each!(db, c => diesel::delete(mine).execute(c))?;
    Ok(())
}
