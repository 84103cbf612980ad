//! Queries for violation rows: the batch that a group of decisions writes, and pages by id.
//! No rule stands here.

use aim_core::{AgentId, DecisionId, Json, OrganizationId, Timestamp, ViolationId};
use aim_store::{
    Db, Result, each,
    schema::{agents, decisions, violations},
};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper, TextExpressionMethods,
};

use super::{
    counts,
    model::{Filter, SEVERITIES},
    triage::store::held_to_states,
    window::Window,
};

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
                diesel::insert_into(violations::table)
                    .values(part)
                    .execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            // One prepared statement, run for each: quicker on SQLite than one statement of many rows.
            for row in rows {
                diesel::insert_into(violations::table)
                    .values(row)
                    .execute(&mut **c)?;
            }
        }
    }
    Ok(())
}

/// How a page finds its rows. Each way is one index, read backwards from the newest row that may count, once
/// for each severity where the index has it; what the index does not know is looked up in the rows it yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `violations_by_agent_id_id`, for filters that name an agent and no severity.
    Agent,
    /// `violations_by_agent_id_severity_id`, for those that name an agent and severities.
    AgentSeverity,
    /// `violations_by_attempted_capability_severity_id`, for those that name a capability and no agent.
    CapabilitySeverity,
    /// `violations_by_severity_id`, for those that name severities alone.
    Severity,
    /// The primary key, for the rest.
    Time,
}

impl Way {
    fn of(filter: &Filter) -> Self {
        match (filter.agent, &filter.capability, filter.severities.is_empty()) {
            (Some(_), _, true) => Self::Agent,
            (Some(_), _, false) => Self::AgentSeverity,
            (None, Some(_), _) => Self::CapabilitySeverity,
            (None, None, false) => Self::Severity,
            (None, None, true) => Self::Time,
        }
    }

    /// The severities to read the index for; one nothing where it does not have them.
    fn severities(self, filter: &Filter) -> Vec<Option<&'static str>> {
        match self {
            Self::Agent | Self::Time => vec![None],
            Self::CapabilitySeverity if filter.severities.is_empty() => SEVERITIES
                .iter()
                .map(|severity| Some(severity.as_str()))
                .collect(),
            Self::AgentSeverity | Self::CapabilitySeverity | Self::Severity => {
                filter.severity_names().into_iter().map(Some).collect()
            }
        }
    }

    /// Whether rows that the index yields may be passed over, for long if few of them count.
    fn passes_over(self, filter: &Filter) -> bool {
        let beside = matches!(self, Self::Agent | Self::AgentSeverity) && filter.capability.is_some();
        beside || filter.blocked.is_some() || filter.triage.is_some()
    }
}

/// The filter as a query that has one index to choose: a column compared after `|| ''` has none of its own.
/// Without that, SQLite would have to guess whether an agent or a capability is the rarer.
macro_rules! selected {
    ($organization:expr, $filter:expr, $severity:expr, $window:expr, $before:expr) => {{
        let filter: &Filter = $filter;
        let mut query = violations::table
            .filter(violations::org_id.eq($organization))
            .into_boxed();
        if let Some(agent) = filter.agent {
            query = query.filter(violations::agent_id.eq(agent));
        }
        if let Some(capability) = &filter.capability {
            query = match filter.agent {
                None => query.filter(violations::attempted_capability.eq(capability)),
                Some(_) => query.filter(violations::attempted_capability.concat("").eq(capability)),
            };
        }
        let severity: Option<&'static str> = $severity;
        if let Some(severity) = severity {
            query = query.filter(violations::severity.eq(severity));
        }
        if let Some(blocked) = filter.blocked {
            query = query.filter(violations::is_blocked.eq(blocked));
        }
        let window: Window = $window;
        if let Some(first) = window.first_id() {
            query = query.filter(violations::id.ge(first));
        }
        if let Some(end) = window.end_id() {
            query = query.filter(violations::id.lt(end));
        }
        if let Some(from) = window.exact_from() {
            query = query.filter(violations::created_at.ge(from));
        }
        if let Some(to) = window.exact_to() {
            query = query.filter(violations::created_at.lt(to));
        }
        let before: Option<ViolationId> = $before;
        if let Some(before) = before {
            query = query.filter(violations::id.lt(before));
        }
        if let Some(triage) = &filter.triage {
            query = held_to_states!(query, $organization, filter, triage);
        }
        query
    }};
}

/// Which part of a filtered list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Only rows older than this one.
    pub before: Option<ViolationId>,
    /// How many to skip.
    pub offset: i64,
    /// How many to answer at most.
    pub limit: i64,
}

/// Violations that the filter selects, newest first.
///
/// # Errors
/// The database's.
pub fn page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    slice: Slice,
) -> Result<Vec<ViolationRow>> {
    let way = Way::of(filter);
    let mut window = filter.window;
    if way.passes_over(filter) {
        match counts::extent(db, organization, filter)? {
            Some(extent) => window = window.intersect(extent),
            None => return Ok(Vec::new()),
        }
    }
    if window.is_empty() {
        return Ok(Vec::new());
    }
    let severities = way.severities(filter);
    let [severity] = severities.as_slice() else {
        return merged(db, organization, filter, &severities, window, slice);
    };
    Ok(
        each!(db, c => selected!(organization, filter, *severity, window, slice.before)
        .order(violations::id.desc())
        .limit(slice.limit)
        .offset(slice.offset)
        .select(ViolationRow::as_select())
        .load(c))?,
    )
}

/// The newest ids of each severity, put together; then the rows of those that are on the page.
fn merged(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    severities: &[Option<&'static str>],
    window: Window,
    slice: Slice,
) -> Result<Vec<ViolationRow>> {
    let mut ids: Vec<ViolationId> = Vec::new();
    for severity in severities {
        let found: Vec<ViolationId> = each!(db, c =>
            selected!(organization, filter, *severity, window, slice.before)
                .order(violations::id.desc())
                .limit(slice.limit + slice.offset)
                .select(violations::id)
                .load(c))?;
        ids.extend(found);
    }
    ids.sort_unstable_by(|one, another| another.cmp(one));
    let skipped = usize::try_from(slice.offset).unwrap_or(usize::MAX);
    let wanted = usize::try_from(slice.limit).unwrap_or(0);
    let ids: Vec<ViolationId> = ids.into_iter().skip(skipped).take(wanted).collect();
    Ok(each!(db, c => violations::table
        .filter(violations::org_id.eq(organization))
        .filter(violations::id.eq_any(&ids))
        .order(violations::id.desc())
        .select(ViolationRow::as_select())
        .load(c))?)
}

/// How many rows in the window the filter selects, its own window left aside. It looks at each of them,
/// so the window is to be short.
///
/// # Errors
/// The database's.
pub(super) fn count_rows(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    window: Window,
) -> Result<i64> {
    let mut total = 0;
    for severity in Way::of(filter).severities(filter) {
        let count: i64 =
            each!(db, c => selected!(organization, filter, severity, window, None).count().get_result(c))?;
        total += count;
    }
    Ok(total)
}

/// One violation.
///
/// # Errors
/// The database's.
pub fn find(db: &mut Db, organization: OrganizationId, id: ViolationId) -> Result<Option<ViolationRow>> {
    Ok(each!(db, c => violations::table
        .find((organization, id))
        .select(ViolationRow::as_select())
        .get_result(c)
        .optional())?)
}

/// By which scheme and with which credential the agent proved itself for a decision.
///
/// # Errors
/// The database's.
pub fn proof_of(
    db: &mut Db,
    organization: OrganizationId,
    decision: DecisionId,
) -> Result<Option<(String, String)>> {
    Ok(each!(db, c => decisions::table
        .find((organization, decision))
        .select((decisions::scheme, decisions::credential))
        .get_result(c)
        .optional())?)
}

/// The agent of this name.
///
/// # Errors
/// The database's.
pub fn agent_named(db: &mut Db, organization: OrganizationId, name: &str) -> Result<Option<AgentId>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::name.eq(name))
        .filter(agents::deleted_at.is_null())
        .select(agents::id)
        .get_result(c)
        .optional())?)
}

/// Whether the organisation has, or had, this agent: what a deleted agent did stays readable.
///
/// # Errors
/// The database's.
pub fn had_agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let found: Option<AgentId> = each!(db, c => agents::table
        .find((organization, agent))
        .select(agents::id)
        .get_result(c)
        .optional())?;
    Ok(found.is_some())
}
