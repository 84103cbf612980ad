//! Queries for violation rows: the batch that a group of decisions writes, and pages by id.
//! No rule stands here.

use aim_core::{AgentId, DecisionId, Json, OrganizationId, Timestamp, ViolationId};
use aim_store::{Db, Result, schema::violations};
use diesel::RunQueryDsl;

/// The most rows of one statement: PostgreSQL takes at most 65,535 parameters.
const ROWS_PER_STATEMENT: usize = 1_000;

/// A denied attempt as it is stored.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = violations, treat_none_as_default_value = false)]
pub struct ViolationRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The violation. A UUIDv7 **made for `created_at`**: pages and totals find times by it.
    pub id: ViolationId,
    /// The agent that tried.
    pub agent_id: AgentId,
    /// Its name at that moment.
    pub agent_name: String,
    /// The decision that denied it.
    pub decision_id: DecisionId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// To what, if it said so.
    pub resource: Option<String>,
    /// The capabilities it held at that moment, as a list of texts.
    pub registered_capabilities: Json,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What it takes from the trust score; never positive.
    pub trust_score_impact: i64,
    /// Whether the action was stopped.
    pub is_blocked: bool,
    /// The caller's address.
    pub source_ip: Option<String>,
    /// The context of the call, as an object.
    pub request_metadata: Json,
    /// Why it was denied, as a list of stable codes, the primary one first.
    pub reason_codes: Json,
    /// When.
    pub created_at: Timestamp,
}

/// Stores violations. [`super::counts`] and [`super::groups`] must follow in the same transaction, or
/// totals and groups would not tell of them; [`record`](super::record) does all three.
///
/// # Errors
/// The database's.
pub fn insert_many(db: &mut Db, rows: &[ViolationRow]) -> Result<()> {
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                diesel::insert_into(violations::table).values(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            // One prepared statement, run for each: quicker on SQLite than one statement of many rows.
            for row in rows {
                diesel::insert_into(violations::table).values(row).execute(&mut **c)?;
            }
        }
    }
    Ok(())
}
