//! Queries for webhooks and deliveries. No rule stands here.

use aim_core::{Json, OrganizationId, PageRequest, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, OptionalExtension, QueryDsl,
    RunQueryDsl, SelectableHelper,
};

use super::model::{DeliveryId, DeliveryStatus, Wanted, WebhookId};
use crate::schema::{webhook_deliveries, webhooks};

/// A webhook as it is stored.
#[derive(Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = webhooks, treat_none_as_default_value = false)]
#[expect(missing_docs, reason = "the columns are the fields of WebhookView")]
pub struct WebhookRow {
    pub org_id: OrganizationId,
    pub id: WebhookId,
    pub name: String,
    pub format: String,
    pub url: String,
    pub events: Json,
    pub minimum_severity: String,
    pub enabled: bool,
    pub sealed_secret: Vec<u8>,
    pub failures: i64,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A delivery as it is stored.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = webhook_deliveries, treat_none_as_default_value = false)]
#[expect(missing_docs, reason = "the columns are the fields of DeliveryView")]
pub struct DeliveryRow {
    pub org_id: OrganizationId,
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    pub event: String,
    pub body: String,
    pub status: String,
    pub attempts: i64,
    pub due_at: Timestamp,
    pub lease_until: Option<Timestamp>,
    pub response_status: Option<i64>,
    pub last_error: Option<String>,
    pub last_attempt_at: Option<Timestamp>,
    pub replay_of: Option<DeliveryId>,
    pub created_at: Timestamp,
}

/// The organisation's webhooks, by name.
///
/// # Errors
/// The database's.
pub fn list(db: &mut Db, organization: OrganizationId) -> Result<Vec<WebhookRow>> {
    Ok(each!(db, c => webhooks::table
        .filter(webhooks::org_id.eq(organization))
        .order(webhooks::name)
        .select(WebhookRow::as_select())
        .load(c))?)
}

/// How many webhooks the organisation has.
///
/// # Errors
/// The database's.
pub fn count(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => webhooks::table
        .filter(webhooks::org_id.eq(organization))
        .count()
        .get_result(c))?)
}

/// The webhooks of these organisations that take deliveries.
///
/// # Errors
/// The database's.
pub fn enabled(db: &mut Db, organizations: &[OrganizationId]) -> Result<Vec<WebhookRow>> {
    Ok(each!(db, c => webhooks::table
        .filter(webhooks::org_id.eq_any(organizations))
        .filter(webhooks::enabled.eq(true))
        .select(WebhookRow::as_select())
        .load(c))?)
}

/// The webhook.
///
/// # Errors
/// The database's.
pub fn get(db: &mut Db, organization: OrganizationId, id: WebhookId) -> Result<Option<WebhookRow>> {
    Ok(each!(db, c => webhooks::table
        .find((organization, id))
        .select(WebhookRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Adds a webhook.
///
/// # Errors
/// The database's.
pub fn insert(db: &mut Db, row: &WebhookRow) -> Result<()> {
    each!(db, c => diesel::insert_into(webhooks::table).values(row).execute(c))?;
    Ok(())
}

/// Changes a webhook. `false`: there is none.
///
/// # Errors
/// The database's.
pub fn update(
    db: &mut Db,
    organization: OrganizationId,
    id: WebhookId,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<bool> {
    let count = each!(db, c => diesel::update(webhooks::table.find((organization, id)))
        .set((
            webhooks::name.eq(&wanted.name),
            webhooks::url.eq(&wanted.url),
            webhooks::events.eq(Json::of(&wanted.events)),
            webhooks::minimum_severity.eq(wanted.minimum_severity.as_str()),
            webhooks::enabled.eq(wanted.enabled),
            webhooks::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(count == 1)
}

/// Removes a webhook with its deliveries. `false`: there is none.
///
/// # Errors
/// The database's.
pub fn delete(db: &mut Db, organization: OrganizationId, id: WebhookId) -> Result<bool> {
    each!(db, c => diesel::delete(
        webhook_deliveries::table
            .filter(webhook_deliveries::org_id.eq(organization))
            .filter(webhook_deliveries::webhook_id.eq(id)),
    )
    .execute(c))?;
    let count = each!(db, c => diesel::delete(webhooks::table.find((organization, id))).execute(c))?;
    Ok(count == 1)
}

/// Notes how an attempt ended. Answers how many failed in a row before it.
///
/// # Errors
/// The database's.
pub fn note_outcome(
    db: &mut Db,
    organization: OrganizationId,
    id: WebhookId,
    succeeded: bool,
    at: Timestamp,
) -> Result<Option<i64>> {
    let row = match db {
        Db::Pg(c) => webhooks::table
            .find((organization, id))
            .select(webhooks::failures)
            .for_update()
            .get_result::<i64>(&mut **c)
            .optional()?,
        Db::Sqlite(c) => webhooks::table
            .find((organization, id))
            .select(webhooks::failures)
            .get_result::<i64>(&mut **c)
            .optional()?,
    };
    let target = webhooks::table.find((organization, id));
    each!(db, c => if succeeded {
        diesel::update(target)
            .set((webhooks::failures.eq(0), webhooks::last_success_at.eq(Some(at))))
            .execute(c)
    } else {
        diesel::update(target)
            .set((webhooks::failures.eq(webhooks::failures + 1), webhooks::last_failure_at.eq(Some(at))))
            .execute(c)
    })?;
    Ok(row)
}

/// Queues deliveries.
///
/// # Errors
/// The database's.
pub fn queue(db: &mut Db, rows: &[DeliveryRow]) -> Result<()> {
    for row in rows {
        each!(db, c => diesel::insert_into(webhook_deliveries::table).values(row).execute(c))?;
    }
    Ok(())
}

/// One delivery of a webhook.
///
/// # Errors
/// The database's.
pub fn delivery(
    db: &mut Db,
    organization: OrganizationId,
    webhook: WebhookId,
    id: DeliveryId,
) -> Result<Option<DeliveryRow>> {
    Ok(each!(db, c => webhook_deliveries::table
        .find((organization, id))
        .filter(webhook_deliveries::webhook_id.eq(webhook))
        .select(DeliveryRow::as_select())
        .get_result(c)
        .optional())?)
}

/// A page of a webhook's deliveries with one more, the newest first.
///
/// # Errors
/// The database's.
pub fn deliveries(
    db: &mut Db,
    organization: OrganizationId,
    webhook: WebhookId,
    page: &PageRequest,
) -> Result<Vec<DeliveryRow>> {
    Ok(each!(db, c => {
        let mut query = webhook_deliveries::table
            .filter(webhook_deliveries::org_id.eq(organization))
            .filter(webhook_deliveries::webhook_id.eq(webhook))
            .order(webhook_deliveries::id.desc())
            .limit(page.fetch())
            .select(DeliveryRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.cursor {
            query = query.filter(webhook_deliveries::id.lt(DeliveryId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}

/// Whether anything is due, of any tenant: spares the writer a transaction a second.
///
/// # Errors
/// The database's.
pub fn is_due(db: &mut Db, now: Timestamp) -> Result<bool> {
    let due = webhook_deliveries::table
        .filter(webhook_deliveries::status.eq("pending"))
        .filter(webhook_deliveries::due_at.le(now));
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(due)).get_result(c))?)
}

/// Takes up to `limit` deliveries that are due, of any tenant, until `lease_until`: no other node takes them.
///
/// # Errors
/// The database's.
pub fn claim(db: &mut Db, now: Timestamp, lease_until: Timestamp, limit: i64) -> Result<Vec<DeliveryRow>> {
    macro_rules! due {
        () => {
            webhook_deliveries::table
                .filter(webhook_deliveries::status.eq("pending"))
                .filter(webhook_deliveries::due_at.le(now))
                .filter(
                    webhook_deliveries::lease_until
                        .is_null()
                        .or(webhook_deliveries::lease_until
                            .le(Some(now))
                            .assume_not_null()),
                )
                .order(webhook_deliveries::due_at)
                .limit(limit)
                .select(DeliveryRow::as_select())
        };
    }
    let rows: Vec<DeliveryRow> = match db {
        Db::Pg(c) => due!().for_update().skip_locked().load(&mut **c)?,
        Db::Sqlite(c) => due!().load(&mut **c)?,
    };
    for row in &rows {
        each!(db, c => diesel::update(webhook_deliveries::table.find((row.org_id, row.id)))
            .set(webhook_deliveries::lease_until.eq(Some(lease_until)))
            .execute(c))?;
    }
    Ok(rows)
}

/// How an attempt ended.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Attempt {
    pub status: DeliveryStatus,
    pub at: Timestamp,
    pub due_at: Timestamp,
    pub response_status: Option<i64>,
    pub last_error: Option<String>,
}

/// Writes down an attempt, and gives the lease back. `false`: the delivery is gone, or another node's.
///
/// # Errors
/// The database's.
pub fn note_attempt(db: &mut Db, row: &DeliveryRow, attempt: &Attempt) -> Result<bool> {
    let count = each!(db, c => diesel::update(
            webhook_deliveries::table
                .find((row.org_id, row.id))
                .filter(webhook_deliveries::status.eq("pending"))
                .filter(webhook_deliveries::attempts.eq(row.attempts)),
        )
        .set((
            webhook_deliveries::status.eq(attempt.status.as_str()),
            webhook_deliveries::attempts.eq(row.attempts + 1),
            webhook_deliveries::due_at.eq(attempt.due_at),
            webhook_deliveries::lease_until.eq(None::<Timestamp>),
            webhook_deliveries::response_status.eq(attempt.response_status),
            webhook_deliveries::last_error.eq(&attempt.last_error),
            webhook_deliveries::last_attempt_at.eq(Some(attempt.at)),
        ))
        .execute(c))?;
    Ok(count == 1)
}

/// How many deliveries wait, of all tenants.
///
/// # Errors
/// The database's.
pub fn waiting(db: &mut Db) -> Result<i64> {
    Ok(each!(db, c => webhook_deliveries::table
        .filter(webhook_deliveries::status.eq("pending"))
        .count()
        .get_result(c))?)
}
