//! What retention trims here: deliveries that are over.

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_platform::retention::{Retained, RetentionClass, Trim, Trimmed};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use uuid::Uuid;

use super::model::DeliveryId;
use crate::schema::webhook_deliveries;

pub(crate) fn retained() -> Retained {
    Retained {
        name: "webhook_deliveries",
        class: RetentionClass::Deliveries,
        trim,
        oldest,
    }
}

fn trim(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let after = trim.after.as_deref().and_then(|text| Uuid::parse_str(text).ok());
    let millisecond = u64::try_from(trim.before.timestamp_millis()).unwrap_or(0);
    // The least id of that moment (RFC 9562 §5.7).
    let end = DeliveryId::from_uuid(Uuid::from_u128(u128::from(millisecond) << 80));
    let rows: Vec<(DeliveryId, String)> = each!(db, c => webhook_deliveries::table
        .filter(webhook_deliveries::org_id.eq(trim.organization))
        .filter(webhook_deliveries::id.gt(DeliveryId::from_uuid(after.unwrap_or(Uuid::nil()))))
        .filter(webhook_deliveries::id.lt(end))
        .order(webhook_deliveries::id)
        .limit(trim.limit)
        .select((webhook_deliveries::id, webhook_deliveries::status))
        .load(c))?;
    let over: Vec<DeliveryId> = rows
        .iter()
        .filter(|(_, status)| status != "pending")
        .map(|(id, _)| *id)
        .collect();
    let changed = each!(db, c => diesel::delete(
        webhook_deliveries::table
            .filter(webhook_deliveries::org_id.eq(trim.organization))
            .filter(webhook_deliveries::id.eq_any(&over)),
    )
    .execute(c))?;
    Ok(Trimmed {
        changed,
        reached: rows.last().map(|(id, _)| id.to_string()),
        more: i64::try_from(rows.len()).is_ok_and(|count| count >= trim.limit),
    })
}

fn oldest(
    db: &mut Db,
    organization: OrganizationId,
    _: &[AgentId],
    _: Option<&str>,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => webhook_deliveries::table
        .filter(webhook_deliveries::org_id.eq(organization))
        .filter(webhook_deliveries::status.ne("pending"))
        .order(webhook_deliveries::id)
        .select(webhook_deliveries::created_at)
        .first(c)
        .optional())?)
}
