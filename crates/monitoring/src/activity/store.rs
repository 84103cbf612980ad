//! Queries for activity. No rule stands here.

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_store::{
    Db, Result, each, fixed,
    schema::{agent_activity, agents},
};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper, upsert::excluded,
};

use super::model::Counts;

/// An hour of an agent, or of the organisation.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = agent_activity)]
#[expect(missing_docs, reason = "the columns are the fields of Counts")]
pub struct HourRow {
    pub org_id: OrganizationId,
    pub agent_id: AgentId,
    pub hour: Timestamp,
    pub approved: i64,
    pub denied: i64,
    pub pending: i64,
    pub refused: i64,
}

impl HourRow {
    /// The counts.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        Counts {
            approved: self.approved,
            denied: self.denied,
            pending: self.pending,
            refused: self.refused,
        }
    }
}

/// The most rows of one statement on PostgreSQL.
const ROWS_PER_STATEMENT: usize = 1_000;

macro_rules! adding {
    ($rows:expr) => {
        diesel::insert_into(agent_activity::table)
            .values($rows)
            .on_conflict((
                agent_activity::org_id,
                agent_activity::agent_id,
                agent_activity::hour,
            ))
            .do_update()
            .set((
                agent_activity::approved.eq(agent_activity::approved + excluded(agent_activity::approved)),
                agent_activity::denied.eq(agent_activity::denied + excluded(agent_activity::denied)),
                agent_activity::pending.eq(agent_activity::pending + excluded(agent_activity::pending)),
                agent_activity::refused.eq(agent_activity::refused + excluded(agent_activity::refused)),
            ))
    };
}

/// Adds counts to their hours. Each hour stands once in `rows`.
///
/// # Errors
/// The database's.
pub fn add(db: &mut Db, rows: &[HourRow]) -> Result<()> {
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                adding!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in rows {
                fixed!(adding!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

/// The hours from `from` to before `to`, the earliest first.
///
/// # Errors
/// The database's.
pub fn hours(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<HourRow>> {
    Ok(each!(db, c => agent_activity::table
        .filter(agent_activity::org_id.eq(organization))
        .filter(agent_activity::agent_id.eq(agent))
        .filter(agent_activity::hour.ge(from))
        .filter(agent_activity::hour.lt(to))
        .order(agent_activity::hour)
        .select(HourRow::as_select())
        .load(c))?)
}

/// Whether there is such an agent, deleted ones included.
///
/// # Errors
/// The database's.
pub fn agent_exists(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let found: Option<AgentId> = each!(db, c => agents::table
        .find((organization, agent))
        .select(agents::id)
        .get_result(c)
        .optional())?;
    Ok(found.is_some())
}
