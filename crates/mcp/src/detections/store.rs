//! Queries on detections. No rules here; every one names the tenant.

use aim_core::{AgentId, Json, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};

use crate::schema::mcp_detections;

/// A detection, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = mcp_detections, primary_key(org_id, agent_id, name, method), treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct DetectionRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) agent_id: AgentId,
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) confidence: i64,
    pub(crate) details: Json,
    pub(crate) sdk_version: Option<String>,
    pub(crate) first_seen_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) times: i64,
}

/// All that is kept of an agent, by name.
pub(crate) fn of_agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
) -> Result<Vec<DetectionRow>> {
    Ok(each!(db, c => mcp_detections::table
        .filter(mcp_detections::org_id.eq(organization))
        .filter(mcp_detections::agent_id.eq(agent))
        .order((mcp_detections::name, mcp_detections::method))
        .select(DetectionRow::as_select())
        .load(c))?)
}

/// Adds a detection.
pub(crate) fn insert(db: &mut Db, row: &DetectionRow) -> Result<()> {
    each!(db, c => diesel::insert_into(mcp_detections::table).values(row).execute(c))?;
    Ok(())
}

/// Writes a detection back.
pub(crate) fn save(db: &mut Db, row: &DetectionRow) -> Result<()> {
    let key = (row.org_id, row.agent_id, row.name.clone(), row.method.clone());
    each!(db, c => diesel::update(mcp_detections::table.find(key)).set(row).execute(c))?;
    Ok(())
}
