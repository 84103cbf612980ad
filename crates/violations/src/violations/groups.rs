//! Repeats of one violation seen as one: same agent, same capability, same primary reason.

use std::collections::BTreeMap;

use aim_core::{AgentId, OrganizationId, Timestamp, ViolationId};
use aim_store::{Db, Result, each, fixed, schema::violation_groups};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper, dsl::case_when,
    upsert::excluded,
};

use super::{model::GroupFilter, store::ViolationRow, triage::store::groups_in_states};

/// The most rows of one statement: PostgreSQL takes at most 65,535 parameters.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The reason of a violation that names none.
const NO_REASON: &str = "none";

/// What makes violations repeats of one another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent.
    pub agent: AgentId,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denial.
    pub reason_code: String,
}

impl GroupKey {
    /// The group that the violation belongs to.
    #[must_use]
    pub fn of(row: &ViolationRow) -> Self {
        let primary = row.reason_codes.strings().into_iter().next();
        Self {
            organization: row.org_id,
            agent: row.agent_id,
            attempted_capability: row.attempted_capability.clone(),
            reason_code: primary.unwrap_or_else(|| NO_REASON.to_owned()),
        }
    }
}

/// What a batch of violations adds to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChange {
    /// The agent's name at the latest of them.
    pub agent_name: String,
    /// The severity of the latest of them.
    pub severity: String,
    /// When the first of them happened.
    pub first_seen_at: Timestamp,
    /// When the latest of them happened.
    pub last_seen_at: Timestamp,
    /// The latest of them.
    pub last_violation_id: ViolationId,
    /// How many they are.
    pub count: i64,
}

impl GroupChange {
    fn of(row: &ViolationRow) -> Self {
        Self {
            agent_name: row.agent_name.clone(),
            severity: row.severity.clone(),
            first_seen_at: row.created_at,
            last_seen_at: row.created_at,
            last_violation_id: row.id,
            count: 1,
        }
    }

    fn join(&mut self, other: Self) {
        let count = self.count + other.count;
        let first_seen_at = self.first_seen_at.min(other.first_seen_at);
        if other.last_violation_id > self.last_violation_id {
            *self = other;
        }
        self.count = count;
        self.first_seen_at = first_seen_at;
    }

    /// What the violations add to each group.
    #[must_use]
    pub fn tally(rows: &[ViolationRow]) -> BTreeMap<GroupKey, Self> {
        let mut tally: BTreeMap<GroupKey, Self> = BTreeMap::new();
        for row in rows {
            let change = Self::of(row);
            match tally.entry(GroupKey::of(row)) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(change);
                }
                std::collections::btree_map::Entry::Occupied(mut place) => place.get_mut().join(change),
            }
        }
        tally
    }
}

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = violation_groups, treat_none_as_default_value = false)]
pub struct GroupRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The agent.
    pub agent_id: AgentId,
    /// Its name at the latest violation.
    pub agent_name: String,
    /// What it tried to do.
    pub attempted_capability: String,
    /// The primary reason of the denial.
    pub reason_code: String,
    /// The severity of the latest violation.
    pub severity: String,
    /// When the first one happened.
    pub first_seen_at: Timestamp,
    /// When the latest one happened.
    pub last_seen_at: Timestamp,
    /// The latest one.
    pub last_violation_id: ViolationId,
    /// How many they are.
    pub count: i64,
}

impl GroupRow {
    /// What its violations have in common.
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

macro_rules! newer {
    ($column:ident) => {
        violation_groups::$column.eq(case_when(
            excluded(violation_groups::last_violation_id).gt(violation_groups::last_violation_id),
            excluded(violation_groups::$column),
        )
        .otherwise(violation_groups::$column))
    };
}

macro_rules! upsert_rows {
    ($rows:expr) => {
        diesel::insert_into(violation_groups::table)
            .values($rows)
            .on_conflict((
                violation_groups::org_id,
                violation_groups::agent_id,
                violation_groups::attempted_capability,
                violation_groups::reason_code,
            ))
            .do_update()
            // A transaction with an older violation may commit after one with a newer: the newer one
            // keeps its say.
            .set((
                newer!(agent_name),
                newer!(severity),
                newer!(last_seen_at),
                newer!(last_violation_id),
                violation_groups::count.eq(violation_groups::count + excluded(violation_groups::count)),
            ))
    };
}

/// Adds violations to their groups, making those that are not there yet.
///
/// # Errors
/// The database's.
pub fn upsert(db: &mut Db, changes: &BTreeMap<GroupKey, GroupChange>) -> Result<()> {
    let rows: Vec<GroupRow> = changes
        .iter()
        .map(|(key, change)| GroupRow {
            org_id: key.organization,
            agent_id: key.agent,
            agent_name: change.agent_name.clone(),
            attempted_capability: key.attempted_capability.clone(),
            reason_code: key.reason_code.clone(),
            severity: change.severity.clone(),
            first_seen_at: change.first_seen_at,
            last_seen_at: change.last_seen_at,
            last_violation_id: change.last_violation_id,
            count: change.count,
        })
        .collect();
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                upsert_rows!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in &rows {
                fixed!(upsert_rows!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

macro_rules! groups_of {
    ($organization:expr, $filter:expr) => {{
        let filter: &GroupFilter = $filter;
        let mut query = violation_groups::table
            .filter(violation_groups::org_id.eq($organization))
            .into_boxed();
        if let Some(agent) = filter.agent {
            query = query.filter(violation_groups::agent_id.eq(agent));
        }
        if let Some(first) = filter.window.first_id() {
            query = query.filter(violation_groups::last_violation_id.ge(first));
        }
        if let Some(from) = filter.window.exact_from() {
            query = query.filter(violation_groups::last_seen_at.ge(from));
        }
        if let Some(to) = filter.window.to {
            query = query.filter(violation_groups::first_seen_at.lt(to));
        }
        if !filter.severities.is_empty() {
            let names: Vec<&str> = filter
                .severities
                .iter()
                .map(|severity| severity.as_str())
                .collect();
            query = query.filter(violation_groups::severity.eq_any(names));
        }
        if let Some(capability) = &filter.capability {
            query = query.filter(violation_groups::attempted_capability.eq(capability));
        }
        if let Some(triage) = &filter.triage {
            query = query.filter(groups_in_states!(triage));
        }
        query
    }};
}

/// Groups that the filter selects, the one seen last first.
///
/// # Errors
/// The database's.
pub fn page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &GroupFilter,
    before: Option<ViolationId>,
    limit: i64,
    offset: i64,
) -> Result<Vec<GroupRow>> {
    Ok(each!(db, c => {
        let mut query = groups_of!(organization, filter);
        if let Some(before) = before {
            query = query.filter(violation_groups::last_violation_id.lt(before));
        }
        query
            .order(violation_groups::last_violation_id.desc())
            .limit(limit)
            .offset(offset)
            .select(GroupRow::as_select())
            .load(c)
    })?)
}

/// How many groups the filter selects.
///
/// # Errors
/// The database's.
pub fn count(db: &mut Db, organization: OrganizationId, filter: &GroupFilter) -> Result<i64> {
    Ok(each!(db, c => groups_of!(organization, filter).count().get_result(c))?)
}

macro_rules! group {
    ($key:expr) => {
        violation_groups::table
            .find((
                $key.organization,
                $key.agent,
                &$key.attempted_capability,
                &$key.reason_code,
            ))
            .select(GroupRow::as_select())
    };
}

/// A group.
///
/// # Errors
/// The database's.
pub fn find(db: &mut Db, key: &GroupKey) -> Result<Option<GroupRow>> {
    Ok(each!(db, c => group!(key).get_result(c).optional())?)
}

/// A group, held until the transaction ends: nothing is added to it meanwhile.
///
/// # Errors
/// The database's.
pub fn hold(db: &mut Db, key: &GroupKey) -> Result<Option<GroupRow>> {
    Ok(match db {
        Db::Pg(c) => group!(key).for_update().get_result(&mut **c).optional(),
        // SQLite has one writer.
        Db::Sqlite(c) => group!(key).get_result(&mut **c).optional(),
    }?)
}
