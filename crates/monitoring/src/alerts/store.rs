//! Queries for alerts. No rule stands here.

use aim_core::{AgentId, Json, OrganizationId, PageRequest, Timestamp, UserId};
use aim_store::{
    Db, Result, each,
    schema::{agents, users},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::{AlertId, AlertStatus, Wanted};
use crate::schema::alerts;

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = alerts, treat_none_as_default_value = false)]
#[expect(missing_docs, reason = "the columns are the fields of AlertView")]
pub struct AlertRow {
    pub org_id: OrganizationId,
    pub id: AlertId,
    pub agent_id: Option<AgentId>,
    pub kind: String,
    pub severity: String,
    pub title: String,
    pub detail: Json,
    pub dedupe_key: String,
    pub open_key: Option<String>,
    pub status: String,
    pub count: i64,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub notified_at: Timestamp,
    pub assigned_to: Option<UserId>,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<Timestamp>,
    pub resolved_by: Option<String>,
    pub resolved_at: Option<Timestamp>,
    pub note: Option<String>,
}

/// What a repeat changes.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Seen<'a> {
    pub severity: &'a str,
    pub title: &'a str,
    pub detail: &'a Json,
    pub at: Timestamp,
    pub notified_at: Timestamp,
}

/// The alert under `dedupe_key` that is not resolved; nobody else changes it until the transaction ends.
///
/// # Errors
/// The database's.
pub fn lock_open(db: &mut Db, organization: OrganizationId, dedupe_key: &str) -> Result<Option<AlertRow>> {
    let open = alerts::table
        .filter(alerts::org_id.eq(organization))
        .filter(alerts::open_key.eq(Some(dedupe_key)));
    match db {
        Db::Pg(c) => Ok(open
            .select(AlertRow::as_select())
            .for_update()
            .get_result(&mut **c)
            .optional()?),
        Db::Sqlite(c) => Ok(open
            .select(AlertRow::as_select())
            .get_result(&mut **c)
            .optional()?),
    }
}

/// The latest alert under `dedupe_key`, whatever its status.
///
/// # Errors
/// The database's.
pub fn latest_under_key(
    db: &mut Db,
    organization: OrganizationId,
    dedupe_key: &str,
) -> Result<Option<AlertRow>> {
    Ok(each!(db, c => alerts::table
        .filter(alerts::org_id.eq(organization))
        .filter(alerts::dedupe_key.eq(dedupe_key))
        .order(alerts::id.desc())
        .select(AlertRow::as_select())
        .first(c)
        .optional())?)
}

/// Adds an alert. `false`: one with its open key is there.
///
/// # Errors
/// The database's.
pub fn insert(db: &mut Db, row: &AlertRow) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(alerts::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}

/// Notes a repeat.
///
/// # Errors
/// The database's.
pub fn count_up(db: &mut Db, row: &AlertRow, seen: &Seen<'_>) -> Result<()> {
    each!(db, c => diesel::update(alerts::table.find((row.org_id, row.id)))
        .set((
            alerts::count.eq(alerts::count + 1),
            alerts::severity.eq(seen.severity),
            alerts::title.eq(seen.title),
            alerts::detail.eq(seen.detail),
            alerts::last_seen_at.eq(seen.at),
            alerts::notified_at.eq(seen.notified_at),
        ))
        .execute(c))?;
    Ok(())
}

/// The alert.
///
/// # Errors
/// The database's.
pub fn get(db: &mut Db, organization: OrganizationId, id: AlertId) -> Result<Option<AlertRow>> {
    Ok(each!(db, c => alerts::table
        .find((organization, id))
        .select(AlertRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The alert; nobody else changes it until the transaction ends.
///
/// # Errors
/// The database's.
pub fn lock(db: &mut Db, organization: OrganizationId, id: AlertId) -> Result<Option<AlertRow>> {
    match db {
        Db::Pg(c) => Ok(alerts::table
            .find((organization, id))
            .select(AlertRow::as_select())
            .for_update()
            .get_result(&mut **c)
            .optional()?),
        Db::Sqlite(_) => get(db, organization, id),
    }
}

/// A page of alerts with one more, the newest first.
///
/// # Errors
/// The database's.
pub fn page(
    db: &mut Db,
    organization: OrganizationId,
    wanted: &Wanted,
    page: &PageRequest,
) -> Result<Vec<AlertRow>> {
    Ok(each!(db, c => {
        let mut query = alerts::table
            .filter(alerts::org_id.eq(organization))
            .order(alerts::id.desc())
            .limit(page.fetch())
            .select(AlertRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.cursor { query = query.filter(alerts::id.lt(AlertId::from_uuid(cursor.0))); }
        if !wanted.statuses.is_empty() { query = query.filter(alerts::status.eq_any(&wanted.statuses)); }
        if !wanted.severities.is_empty() { query = query.filter(alerts::severity.eq_any(&wanted.severities)); }
        if !wanted.kinds.is_empty() { query = query.filter(alerts::kind.eq_any(&wanted.kinds)); }
        if let Some(agent) = wanted.agent { query = query.filter(alerts::agent_id.eq(Some(agent))); }
        if let Some(user) = wanted.assigned_to { query = query.filter(alerts::assigned_to.eq(Some(user))); }
        query.load(c)
    })?)
}

/// How many alerts that are not resolved there are, by status and severity.
///
/// # Errors
/// The database's.
pub fn count_unresolved(db: &mut Db, organization: OrganizationId) -> Result<Vec<(String, String, i64)>> {
    let waiting = [AlertStatus::Open.as_str(), AlertStatus::Acknowledged.as_str()];
    Ok(each!(db, c => alerts::table
        .filter(alerts::org_id.eq(organization))
        .filter(alerts::status.eq_any(waiting))
        .group_by((alerts::status, alerts::severity))
        .select((alerts::status, alerts::severity, diesel::dsl::count_star()))
        .load(c))?)
}

/// Marks an alert as acknowledged.
///
/// # Errors
/// The database's.
pub fn mark_acknowledged(
    db: &mut Db,
    row: &AlertRow,
    by: &str,
    at: Timestamp,
    note: Option<&str>,
) -> Result<()> {
    each!(db, c => diesel::update(alerts::table.find((row.org_id, row.id)))
        .set((
            alerts::status.eq(AlertStatus::Acknowledged.as_str()),
            alerts::acknowledged_by.eq(Some(by)),
            alerts::acknowledged_at.eq(Some(at)),
            alerts::note.eq(note),
        ))
        .execute(c))?;
    Ok(())
}

/// Marks an alert as resolved; the same thing again will be a new one.
///
/// # Errors
/// The database's.
pub fn mark_resolved(db: &mut Db, row: &AlertRow, by: &str, at: Timestamp, note: &str) -> Result<()> {
    each!(db, c => diesel::update(alerts::table.find((row.org_id, row.id)))
        .set((
            alerts::status.eq(AlertStatus::Resolved.as_str()),
            alerts::open_key.eq(None::<String>),
            alerts::resolved_by.eq(Some(by)),
            alerts::resolved_at.eq(Some(at)),
            alerts::note.eq(Some(note)),
        ))
        .execute(c))?;
    Ok(())
}

/// Notes who takes care of it.
///
/// # Errors
/// The database's.
pub fn assign(db: &mut Db, row: &AlertRow, user: Option<UserId>) -> Result<()> {
    each!(db, c => diesel::update(alerts::table.find((row.org_id, row.id)))
        .set(alerts::assigned_to.eq(user))
        .execute(c))?;
    Ok(())
}

/// The names of agents, deleted ones too.
///
/// # Errors
/// The database's.
pub fn agent_names(
    db: &mut Db,
    organization: OrganizationId,
    of: &[AgentId],
) -> Result<Vec<(AgentId, String)>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq_any(of))
        .select((agents::id, agents::name))
        .load(c))?)
}

/// The names of users.
///
/// # Errors
/// The database's.
pub fn user_names(db: &mut Db, organization: OrganizationId, of: &[UserId]) -> Result<Vec<(UserId, String)>> {
    Ok(each!(db, c => users::table
        .filter(users::org_id.eq(organization))
        .filter(users::id.eq_any(of))
        .select((users::id, users::name))
        .load(c))?)
}

/// A user's name, if it may sign in.
///
/// # Errors
/// The database's.
pub fn active_user(db: &mut Db, organization: OrganizationId, user: UserId) -> Result<Option<String>> {
    Ok(each!(db, c => users::table
        .find((organization, user))
        .filter(users::status.eq("active"))
        .select(users::name)
        .get_result(c)
        .optional())?)
}

/// The active users, by name.
///
/// # Errors
/// The database's.
pub fn people(db: &mut Db, organization: OrganizationId) -> Result<Vec<(UserId, String)>> {
    Ok(each!(db, c => users::table
        .filter(users::org_id.eq(organization))
        .filter(users::status.eq("active"))
        .order(users::name)
        .limit(200)
        .select((users::id, users::name))
        .load(c))?)
}
