//! Exact totals that cost the same however many violations there are.
//!
//! `violation_counts` holds how many violations fell into each hour and each day, by severity and by
//! whether they were blocked: for the whole organisation and for each agent, over all capabilities and for
//! each one. A total sums the whole days of its range, the hours left over at both ends, and counts the
//! rows themselves only in the parts of an hour that remain.

use std::collections::BTreeMap;

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_store::{Db, Result, each, fixed, schema::violation_counts};
use chrono::TimeDelta;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, dsl::sql, sql_types::BigInt,
    upsert::excluded,
};
use uuid::Uuid;

use super::{
    model::Filter,
    store::{self, ViolationRow},
    window::{Parts, Window, start_of},
};

/// The most rows of one statement: PostgreSQL takes at most 65,535 parameters.
const ROWS_PER_STATEMENT: usize = 1_000;

/// Stands for all capabilities together. No capability is called so.
pub const EVERY_CAPABILITY: &str = "";

/// Stands for all agents of an organisation together: the nil UUID, which no agent has.
#[must_use]
pub const fn every_agent() -> AgentId {
    AgentId::from_uuid(Uuid::nil())
}

/// How long a bucket is. Buckets begin at whole hours and days of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Granularity {
    /// The name in the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    /// The length of a bucket.
    #[must_use]
    pub const fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
        }
    }

    /// The start of the bucket in which the moment lies.
    #[must_use]
    pub fn start_of(self, moment: Timestamp) -> Timestamp {
        start_of(moment, self.length())
    }
}

/// What is counted together. Its order is the one in which rows are locked, the same in every transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountKey {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent, or [`every_agent`].
    pub agent: AgentId,
    /// The length of the bucket.
    pub granularity: Granularity,
    /// What was tried, or [`EVERY_CAPABILITY`].
    pub attempted_capability: String,
    /// The start of the bucket.
    pub bucket: Timestamp,
    /// How bad it was.
    pub severity: String,
    /// Whether it was stopped.
    pub is_blocked: bool,
}

impl CountKey {
    /// The counters that one violation moves.
    #[must_use]
    pub fn of(
        organization: OrganizationId,
        agent: AgentId,
        at: Timestamp,
        severity: &str,
        attempted_capability: &str,
        is_blocked: bool,
    ) -> Vec<Self> {
        let mut keys = Vec::with_capacity(8);
        for agent in [agent, every_agent()] {
            for granularity in [Granularity::Hour, Granularity::Day] {
                for capability in [attempted_capability, EVERY_CAPABILITY] {
                    keys.push(Self {
                        organization,
                        agent,
                        granularity,
                        attempted_capability: capability.to_owned(),
                        bucket: granularity.start_of(at),
                        severity: severity.to_owned(),
                        is_blocked,
                    });
                }
            }
        }
        keys
    }

    /// How far the violations move each counter.
    #[must_use]
    pub fn tally(rows: &[ViolationRow]) -> BTreeMap<Self, i64> {
        let mut tally = BTreeMap::new();
        for row in rows {
            let (severity, capability) = (&row.severity, &row.attempted_capability);
            for key in Self::of(
                row.org_id,
                row.agent_id,
                row.created_at,
                severity,
                capability,
                row.is_blocked,
            ) {
                *tally.entry(key).or_insert(0) += 1;
            }
        }
        tally
    }
}

#[derive(diesel::Insertable)]
#[diesel(table_name = violation_counts, treat_none_as_default_value = false)]
struct CountRow<'a> {
    org_id: OrganizationId,
    agent_id: AgentId,
    granularity: &'static str,
    bucket: Timestamp,
    severity: &'a str,
    attempted_capability: &'a str,
    is_blocked: bool,
    count: i64,
}

macro_rules! add_rows {
    ($rows:expr) => {
        diesel::insert_into(violation_counts::table)
            .values($rows)
            .on_conflict((
                violation_counts::org_id,
                violation_counts::agent_id,
                violation_counts::granularity,
                violation_counts::bucket,
                violation_counts::severity,
                violation_counts::attempted_capability,
                violation_counts::is_blocked,
            ))
            .do_update()
            .set(violation_counts::count.eq(violation_counts::count + excluded(violation_counts::count)))
    };
}

/// Adds to counters, making those that are not there yet.
///
/// # Errors
/// The database's.
pub fn add(db: &mut Db, tally: &BTreeMap<CountKey, i64>) -> Result<()> {
    let rows: Vec<CountRow<'_>> = tally
        .iter()
        .map(|(key, count)| CountRow {
            org_id: key.organization,
            agent_id: key.agent,
            granularity: key.granularity.as_str(),
            bucket: key.bucket,
            severity: &key.severity,
            attempted_capability: &key.attempted_capability,
            is_blocked: key.is_blocked,
            count: *count,
        })
        .collect();
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                add_rows!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in &rows {
                fixed!(add_rows!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

macro_rules! counters {
    ($organization:expr, $filter:expr, $granularity:expr, $window:expr) => {{
        let capability = $filter
            .capability
            .clone()
            .unwrap_or_else(|| EVERY_CAPABILITY.to_owned());
        let mut query = violation_counts::table
            .filter(violation_counts::org_id.eq($organization))
            .filter(violation_counts::agent_id.eq($filter.agent.unwrap_or_else(every_agent)))
            .filter(violation_counts::granularity.eq($granularity.as_str()))
            .filter(violation_counts::attempted_capability.eq(capability))
            .into_boxed();
        if let Some(from) = $window.from {
            query = query.filter(violation_counts::bucket.ge(from));
        }
        if let Some(to) = $window.to {
            query = query.filter(violation_counts::bucket.lt(to));
        }
        if !$filter.severities.is_empty() {
            query = query.filter(violation_counts::severity.eq_any($filter.severity_names()));
        }
        if let Some(blocked) = $filter.blocked {
            query = query.filter(violation_counts::is_blocked.eq(blocked));
        }
        query
    }};
}

/// How many violations the filter selects. Nothing counts states: those that somebody set are counted one
/// by one, and the others are the rest.
///
/// # Errors
/// The database's.
pub fn total(db: &mut Db, organization: OrganizationId, filter: &Filter) -> Result<i64> {
    match &filter.triage {
        None => total_of_any_state(db, organization, filter),
        Some(triage) if triage.inside => store::count_rows(db, organization, filter, filter.window),
        Some(triage) => {
            let rest = Filter {
                triage: Some(triage.reversed()),
                ..filter.clone()
            };
            let all = total_of_any_state(db, organization, filter)?;
            Ok(all - store::count_rows(db, organization, &rest, filter.window)?)
        }
    }
}

fn total_of_any_state(db: &mut Db, organization: OrganizationId, filter: &Filter) -> Result<i64> {
    let filter = &Filter {
        triage: None,
        ..filter.clone()
    };
    let parts = Parts::of(filter.window);
    let mut total = 0;
    for window in &parts.rows {
        total += store::count_rows(db, organization, filter, *window)?;
    }
    for window in &parts.hours {
        total += sum(db, organization, filter, Granularity::Hour, *window)?;
    }
    if let Some(window) = parts.days {
        total += sum(db, organization, filter, Granularity::Day, window)?;
    }
    Ok(total)
}

fn sum(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    granularity: Granularity,
    window: Window,
) -> Result<i64> {
    // Diesel's `sum` of a BigInt is a Numeric, which SQLite does not have.
    Ok(
        each!(db, c => counters!(organization, filter, granularity, window)
        .select(sql::<BigInt>("CAST(COALESCE(SUM(count), 0) AS BIGINT)"))
        .get_result(c))?,
    )
}

/// The days from the first to the last on which the filter selects anything, whatever its window and
/// states; nothing if it never does. It spares a page the search where there is nothing to find.
///
/// # Errors
/// The database's.
pub fn extent(db: &mut Db, organization: OrganizationId, filter: &Filter) -> Result<Option<Window>> {
    let (day, always) = (Granularity::Day, Window::default());
    let first: Option<Timestamp> = each!(db, c => counters!(organization, filter, day, always)
        .order(violation_counts::bucket.asc())
        .select(violation_counts::bucket)
        .first(c)
        .optional())?;
    let last: Option<Timestamp> = each!(db, c => counters!(organization, filter, day, always)
        .order(violation_counts::bucket.desc())
        .select(violation_counts::bucket)
        .first(c)
        .optional())?;
    Ok(first
        .zip(last)
        .map(|(first, last)| Window::between(first, last + day.length())))
}
