//! What retention trims here: single accesses with what decisions were asked with, and counts by hour with activity.

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_platform::retention::{Retained, RetentionClass, Trim, Trimmed};
use aim_store::{Db, Result, each};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use uuid::Uuid;

use super::{model::AccessId, store::first_id};
use crate::schema::{vault_access_hours, vault_accesses};

pub(super) fn retained() -> Vec<Retained> {
    vec![
        Retained {
            name: "vault_accesses",
            class: RetentionClass::DecisionInputs,
            trim: trim_accesses,
            oldest: oldest_access,
        },
        Retained {
            name: "vault_access_hours",
            class: RetentionClass::Activity,
            trim: trim_hours,
            oldest: oldest_hour,
        },
    ]
}

fn is_full(rows: usize, trim: &Trim) -> bool {
    i64::try_from(rows).is_ok_and(|count| count >= trim.limit)
}

fn trim_accesses(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let after = trim.after.as_deref().and_then(|text| Uuid::parse_str(text).ok());
    let after = AccessId::from_uuid(after.unwrap_or(Uuid::nil()));
    let rows: Vec<(AccessId, Option<AgentId>)> = each!(db, c => vault_accesses::table
        .filter(vault_accesses::org_id.eq(trim.organization))
        .filter(vault_accesses::id.gt(after))
        .filter(vault_accesses::id.lt(AccessId::from_uuid(first_id(trim.before))))
        .order(vault_accesses::id)
        .limit(trim.limit)
        .select((vault_accesses::id, vault_accesses::agent_id))
        .load(c))?;
    let due: Vec<AccessId> = rows
        .iter()
        .filter(|(_, agent)| agent.is_none_or(|agent| !trim.held.contains(&agent)))
        .map(|(id, _)| *id)
        .collect();
    let changed = each!(db, c => diesel::delete(
            vault_accesses::table
                .filter(vault_accesses::org_id.eq(trim.organization))
                .filter(vault_accesses::id.eq_any(&due)),
        )
        .execute(c))?;
    Ok(Trimmed {
        changed,
        reached: rows.last().map(|(id, _)| id.to_string()),
        more: is_full(rows.len(), trim),
    })
}

fn oldest_access(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    reached: Option<&str>,
) -> Result<Option<Timestamp>> {
    let after = reached
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| AccessId::from_uuid(Uuid::nil()));
    Ok(each!(db, c => vault_accesses::table
        .filter(vault_accesses::org_id.eq(organization))
        .filter(vault_accesses::id.gt(after))
        .filter(vault_accesses::agent_id.is_null().or(vault_accesses::agent_id.ne_all(held)))
        .order(vault_accesses::id)
        .select(vault_accesses::at)
        .first(c)
        .optional())?)
}

/// Hour by hour: what is kept for an agent under a hold is passed over each time, which the index makes cheap.
fn trim_hours(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let rows: Vec<(String, AgentId, Timestamp)> = each!(db, c => vault_access_hours::table
        .filter(vault_access_hours::org_id.eq(trim.organization))
        .filter(vault_access_hours::hour.lt(trim.before))
        .filter(vault_access_hours::agent_id.ne_all(&trim.held))
        .order(vault_access_hours::hour)
        .limit(trim.limit)
        .select((vault_access_hours::path, vault_access_hours::agent_id, vault_access_hours::hour))
        .load(c))?;
    let mut changed = 0;
    for (path, agent, hour) in &rows {
        changed += each!(db, c => diesel::delete(
            vault_access_hours::table.find((trim.organization, path, agent, hour)),
        )
        .execute(c))?;
    }
    Ok(Trimmed {
        changed,
        reached: rows.last().map(|(_, _, hour)| hour.to_text()),
        more: is_full(rows.len(), trim),
    })
}

fn oldest_hour(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    _: Option<&str>,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => vault_access_hours::table
        .filter(vault_access_hours::org_id.eq(organization))
        .filter(vault_access_hours::agent_id.ne_all(held))
        .order(vault_access_hours::hour)
        .select(vault_access_hours::hour)
        .first(c)
        .optional())?)
}
