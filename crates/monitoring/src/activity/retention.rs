//! What retention trims here: counts of hours long past.

use std::collections::BTreeSet;

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_platform::retention::{Retained, RetentionClass, Trim, Trimmed};
use aim_store::{Db, Result, each, schema::agent_activity};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use uuid::Uuid;

use super::model::EVERYBODY;

pub(crate) fn retained() -> Retained {
    Retained {
        name: "agent_activity",
        class: RetentionClass::Activity,
        trim,
        oldest,
    }
}

/// Agent by agent: the organisation's own counts are kept under the agent of zeros.
fn trim(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let after = trim.after.as_deref().and_then(|text| Uuid::parse_str(text).ok());
    let from = AgentId::from_uuid(after.unwrap_or(Uuid::nil()));
    let rows: Vec<(AgentId, Timestamp)> = each!(db, c => agent_activity::table
        .filter(agent_activity::org_id.eq(trim.organization))
        .filter(agent_activity::agent_id.ge(from))
        .filter(agent_activity::agent_id.ne_all(&trim.held))
        .filter(agent_activity::hour.lt(trim.before))
        .order((agent_activity::agent_id, agent_activity::hour))
        .limit(trim.limit)
        .select((agent_activity::agent_id, agent_activity::hour))
        .load(c))?;
    let agents: BTreeSet<AgentId> = rows.iter().map(|(agent, _)| *agent).collect();
    let mut changed = 0;
    for agent in &agents {
        let last = rows.iter().rev().find(|(of, _)| of == agent);
        let Some((_, hour)) = last else { continue };
        changed += each!(db, c => diesel::delete(
            agent_activity::table
                .filter(agent_activity::org_id.eq(trim.organization))
                .filter(agent_activity::agent_id.eq(agent))
                .filter(agent_activity::hour.le(hour)),
        )
        .execute(c))?;
    }
    let more = i64::try_from(rows.len()).is_ok_and(|count| count >= trim.limit);
    Ok(Trimmed {
        changed,
        // Hours become due again and again, of every agent: the next round begins at the first.
        reached: match rows.last() {
            Some((agent, _)) if more => Some(agent.to_string()),
            _ => Some(Uuid::nil().to_string()),
        },
        more,
    })
}

fn oldest(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    reached: Option<&str>,
) -> Result<Option<Timestamp>> {
    // Between two rounds the organisation's own counts, which come first, have every hour that any agent has.
    let between = reached.is_none_or(|agent| Uuid::parse_str(agent).is_ok_and(|agent| agent.is_nil()));
    if held.is_empty() && between {
        return Ok(each!(db, c => agent_activity::table
            .filter(agent_activity::org_id.eq(organization))
            .filter(agent_activity::agent_id.eq(EVERYBODY))
            .order(agent_activity::hour)
            .select(agent_activity::hour)
            .first(c)
            .optional())?);
    }
    Ok(each!(db, c => agent_activity::table
        .filter(agent_activity::org_id.eq(organization))
        .filter(agent_activity::agent_id.ne_all(held))
        .order(agent_activity::hour)
        .select(agent_activity::hour)
        .first(c)
        .optional())?)
}
