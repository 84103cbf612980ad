//! Queries for what people made of violations, and the conditions by which lists select states.
//! No rule stands here.

use aim_core::{AgentId, OrganizationId, Timestamp, ViolationId};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use crate::{
    schema::{violation_group_triage, violation_triage},
    violations::groups::GroupKey,
};

/// What people made of repeats, as it is stored.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    diesel::Queryable,
    diesel::Selectable,
    diesel::Insertable,
    diesel::AsChangeset,
)]
#[diesel(table_name = violation_group_triage, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct GroupTriageRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The agent.
    pub agent_id: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denials.
    pub reason_code: String,
    /// `acknowledged`, `resolved` or `suppressed`.
    pub state: String,
    /// Why; may be empty.
    pub note: String,
    /// Until when it counts; for good if there is none.
    pub until: Option<Timestamp>,
    /// The latest violation it covers; those to come too if there is none.
    pub through_id: Option<ViolationId>,
    /// Who set it, as `kind:id`.
    pub changed_by: String,
    /// When.
    pub changed_at: Timestamp,
}

impl GroupTriageRow {
    /// The repeats that are meant.
    #[must_use]
    pub fn key(&self) -> GroupKey {
        GroupKey {
            organization: self.org_id,
            agent: self.agent_id,
            attempted_capability: self.attempted_capability.clone(),
            reason_code: self.reason_code.clone(),
        }
    }
}

/// What people made of one violation, as it is stored.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    diesel::Queryable,
    diesel::Selectable,
    diesel::Insertable,
    diesel::AsChangeset,
)]
#[diesel(table_name = violation_triage, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct TriageRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The violation.
    pub violation_id: ViolationId,
    /// The agent that tried.
    pub agent_id: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denial.
    pub reason_code: String,
    /// `open` (whatever is said of its repeats), `acknowledged`, `resolved` or `suppressed`.
    pub state: String,
    /// Why; may be empty.
    pub note: String,
    /// Until when it counts; for good if there is none.
    pub until: Option<Timestamp>,
    /// Who set it, as `kind:id`.
    pub changed_by: String,
    /// When.
    pub changed_at: Timestamp,
}

/// The query, held to violations that are, or are not, in the wanted states.
///
/// For states that somebody set it starts from what people said, and its cost grows with the violations
/// covered by that; for all else it looks up what was said of each row. Diesel can say neither: the
/// primary reason stands in the row's JSON.
macro_rules! held_to_states {
    ($query:expr, $organization:expr, $filter:expr, $triage:expr) => {{
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::{dsl::sql, sql_types::Bool};
        let (filter, triage): (&crate::violations::Filter, &crate::violations::TriageFilter) =
            ($filter, $triage);
        let (names, now) = (triage.names(), triage.at);
        if triage.inside {
            let (first, end) = filter.window.ids();
            // Without an agent, any but the id of zeros, which none has.
            let agent_is = if filter.agent.is_some() { "=" } else { "<>" };
            let agent = filter
                .agent
                .unwrap_or_else(crate::violations::counts::every_agent);
            $query.filter(
                sql::<Bool>(
                    "violations.id IN (SELECT o.violation_id FROM violation_triage o WHERE o.org_id = ",
                )
                .bind::<DbUuid, _>($organization)
                .sql(&format!(
                    " AND o.state IN ({names}) AND (o.until IS NULL OR o.until > "
                ))
                .bind::<DbTime, _>(now)
                .sql(
                    ") UNION ALL SELECT v.id FROM violation_group_triage t CROSS JOIN violations v \
                         WHERE t.org_id = ",
                )
                .bind::<DbUuid, _>($organization)
                .sql(&format!(" AND t.state IN ({names}) AND t.agent_id {agent_is} "))
                .bind::<DbUuid, _>(agent)
                .sql(" AND (t.until IS NULL OR t.until > ")
                .bind::<DbTime, _>(now)
                .sql(") AND v.org_id = t.org_id AND v.agent_id = t.agent_id AND v.id >= ")
                .bind::<DbUuid, _>(first)
                .sql(" AND v.id < ")
                .bind::<DbUuid, _>(end)
                .sql(
                    " AND (t.through_id IS NULL OR v.id <= t.through_id) \
                         AND v.attempted_capability = t.attempted_capability \
                         AND COALESCE(v.reason_codes ->> 0, 'none') = t.reason_code \
                         AND NOT EXISTS (SELECT 1 FROM violation_triage o WHERE o.org_id = v.org_id \
                         AND o.violation_id = v.id AND (o.until IS NULL OR o.until > ",
                )
                .bind::<DbTime, _>(now)
                .sql(")))"),
            )
        } else {
            $query.filter(
                sql::<Bool>(&format!(
                    "(NOT EXISTS (SELECT 1 FROM violation_triage o WHERE o.org_id = violations.org_id \
                     AND o.violation_id = violations.id AND o.state IN ({names}) \
                     AND (o.until IS NULL OR o.until > "
                ))
                .bind::<DbTime, _>(now)
                .sql(&format!(
                    ")) AND (NOT EXISTS (SELECT 1 FROM violation_group_triage t \
                     WHERE t.org_id = violations.org_id AND t.agent_id = violations.agent_id \
                     AND t.attempted_capability = violations.attempted_capability \
                     AND t.reason_code = COALESCE(violations.reason_codes ->> 0, 'none') \
                     AND t.state IN ({names}) AND (t.through_id IS NULL OR violations.id <= t.through_id) \
                     AND (t.until IS NULL OR t.until > "
                ))
                .bind::<DbTime, _>(now)
                .sql(
                    ")) OR EXISTS (SELECT 1 FROM violation_triage o WHERE o.org_id = violations.org_id \
                     AND o.violation_id = violations.id AND (o.until IS NULL OR o.until > ",
                )
                .bind::<DbTime, _>(now)
                .sql("))))"),
            )
        }
    }};
}
pub(in crate::violations) use held_to_states;

/// The condition that repeats are, or are not, in the wanted states.
macro_rules! groups_in_states {
    ($triage:expr) => {{
        use aim_core::sql::DbTime;
        use diesel::{dsl::sql, sql_types::Bool};
        let triage: &crate::violations::TriageFilter = $triage;
        let how = if triage.inside { "EXISTS" } else { "NOT EXISTS" };
        sql::<Bool>(&format!(
            "{how} (SELECT 1 FROM violation_group_triage t WHERE t.org_id = violation_groups.org_id \
             AND t.agent_id = violation_groups.agent_id \
             AND t.attempted_capability = violation_groups.attempted_capability \
             AND t.reason_code = violation_groups.reason_code AND t.state IN ({}) \
             AND (t.through_id IS NULL OR violation_groups.last_violation_id <= t.through_id) \
             AND (t.until IS NULL OR t.until > ",
            triage.names()
        ))
        .bind::<DbTime, _>(triage.at)
        .sql("))")
    }};
}
pub(in crate::violations) use groups_in_states;

/// What is said of these violations, one by one.
///
/// # Errors
/// The database's.
pub fn of_violations(
    db: &mut Db,
    organization: OrganizationId,
    violations: &[ViolationId],
) -> Result<Vec<TriageRow>> {
    if violations.is_empty() {
        return Ok(Vec::new());
    }
    Ok(each!(db, c => violation_triage::table
        .filter(violation_triage::org_id.eq(organization))
        .filter(violation_triage::violation_id.eq_any(violations))
        .select(TriageRow::as_select())
        .load(c))?)
}

/// What is said of repeats of these agents and capabilities.
///
/// # Errors
/// The database's.
pub fn of_repeats(
    db: &mut Db,
    organization: OrganizationId,
    agents: &[AgentId],
    capabilities: &[&str],
) -> Result<Vec<GroupTriageRow>> {
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    Ok(each!(db, c => violation_group_triage::table
        .filter(violation_group_triage::org_id.eq(organization))
        .filter(violation_group_triage::agent_id.eq_any(agents))
        .filter(violation_group_triage::attempted_capability.eq_any(capabilities))
        .select(GroupTriageRow::as_select())
        .load(c))?)
}

/// What is said of these repeats.
///
/// # Errors
/// The database's.
pub fn of_group(db: &mut Db, key: &GroupKey) -> Result<Option<GroupTriageRow>> {
    Ok(each!(db, c => violation_group_triage::table
        .find((key.organization, key.agent, &key.attempted_capability, &key.reason_code))
        .select(GroupTriageRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Says something of one violation, in place of what was said before.
///
/// # Errors
/// The database's.
pub fn put(db: &mut Db, row: &TriageRow) -> Result<()> {
    each!(db, c => diesel::insert_into(violation_triage::table)
        .values(row)
        .on_conflict((violation_triage::org_id, violation_triage::violation_id))
        .do_update()
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Says something of repeats, in place of what was said before.
///
/// # Errors
/// The database's.
pub fn put_group(db: &mut Db, row: &GroupTriageRow) -> Result<()> {
    each!(db, c => diesel::insert_into(violation_group_triage::table)
        .values(row)
        .on_conflict((
            violation_group_triage::org_id,
            violation_group_triage::agent_id,
            violation_group_triage::attempted_capability,
            violation_group_triage::reason_code,
        ))
        .do_update()
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Forgets what was said of repeats; answers how many rows that was.
///
/// # Errors
/// The database's.
pub fn remove_group(db: &mut Db, key: &GroupKey) -> Result<usize> {
    let row = violation_group_triage::table.find((
        key.organization,
        key.agent,
        &key.attempted_capability,
        &key.reason_code,
    ));
    Ok(each!(db, c => diesel::delete(row).execute(c))?)
}

/// Forgets what was said of single violations among these repeats, up to one of them if it is named;
/// answers how many rows that was.
///
/// # Errors
/// The database's.
pub fn remove_singles(db: &mut Db, key: &GroupKey, through: Option<ViolationId>) -> Result<usize> {
    let through = through.unwrap_or_else(|| ViolationId::from_uuid(uuid::Uuid::max()));
    Ok(each!(db, c => diesel::delete(
        violation_triage::table
            .filter(violation_triage::org_id.eq(key.organization))
            .filter(violation_triage::agent_id.eq(key.agent))
            .filter(violation_triage::violation_id.le(through))
            .filter(violation_triage::attempted_capability.eq(&key.attempted_capability))
            .filter(violation_triage::reason_code.eq(&key.reason_code)),
    )
    .execute(c))?)
}
