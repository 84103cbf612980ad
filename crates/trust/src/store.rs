//! Queries on trust's own tables. No rules here; every query names the tenant, but for the one that looks
//! for what is due across tenants and says so.

use aim_core::{AgentId, Id, Json, OrganizationId, PolicyId, Timestamp};
use aim_store::{
    Db, Result, each, fixed,
    schema::{agents, policies},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
    dsl::case_when, upsert::excluded,
};

use crate::{
    schema::{trust_adjustments, trust_days, trust_events, trust_history, trust_policies, trust_scores},
    score::AdjustmentId,
};

/// The most rows of one statement: PostgreSQL takes at most 65,535 parameters.
const ROWS_PER_STATEMENT: usize = 1_000;

/// An agent's score as it stands.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = trust_scores, treat_none_as_default_value = false)]
pub struct ScoreRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The agent.
    pub agent_id: AgentId,
    /// 0 to 100; none: unscored.
    pub score: Option<i64>,
    /// What the policy says about it: `none`, `ok`, `alert`, `restrict` or `suspend`.
    pub level: String,
    /// What it was computed from; none: never computed.
    pub inputs: Option<Json>,
    /// When it was computed.
    pub computed_at: Option<Timestamp>,
    /// When it last changed.
    pub changed_at: Option<Timestamp>,
    /// When it is to be computed again; none: never.
    pub next_at: Option<Timestamp>,
    /// How often something happened that it has to do with: who computes sees whether more happened meanwhile.
    pub marks: i64,
}

/// A change of a score.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = trust_history, treat_none_as_default_value = false)]
pub struct HistoryRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The change.
    pub id: Id<HistoryKind>,
    /// The agent.
    pub agent_id: AgentId,
    /// The score after it.
    pub score: Option<i64>,
    /// The score before it.
    pub previous_score: Option<i64>,
    /// Why.
    pub causes: Json,
    /// What it was computed from.
    pub inputs: Json,
    /// When.
    pub created_at: Timestamp,
}

/// Marks the ids of changes.
#[derive(Debug, Clone, Copy)]
pub enum HistoryKind {}

/// An administrator's adjustment.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = trust_adjustments, treat_none_as_default_value = false)]
pub struct AdjustmentRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The adjustment.
    pub id: AdjustmentId,
    /// The agent.
    pub agent_id: AgentId,
    /// How many points it adds or takes.
    pub delta: i64,
    /// Why.
    pub reason: String,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
    /// Who withdrew it, as `kind:id`.
    pub withdrawn_by: Option<String>,
}

/// What happened to an agent, as the audit log tells it.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = trust_events)]
pub struct EventRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The agent.
    pub agent_id: AgentId,
    /// The audit record's index.
    pub leaf_index: i64,
    /// The audit record's action.
    pub action: String,
    /// What it takes from the factor `incidents`; 0 for what is only a marker in the history.
    pub points: i64,
    /// When.
    pub created_at: Timestamp,
}

/// What a low score leads to, but for the restriction.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = trust_policies, treat_none_as_default_value = false)]
pub struct TrustPolicyRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// Below this an alert is due.
    pub alert_below: Option<i64>,
    /// The policy that restricts, if it was not deleted since.
    pub restrict_policy_id: Option<PolicyId>,
    /// Below this the agent is suspended.
    pub suspend_below: Option<i64>,
    /// Who set it, as `kind:id`.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
}

/// Who is to be computed: the tenant, the agent, and its marks.
pub type Due = (OrganizationId, AgentId, i64);

/// The agents whose score is to be computed by `now`, of all tenants; the longest due first.
///
/// # Errors
/// The database's.
pub fn due(db: &mut Db, now: Timestamp, limit: i64) -> Result<Vec<Due>> {
    Ok(each!(db, c => trust_scores::table
        .filter(trust_scores::next_at.le(now))
        .order(trust_scores::next_at)
        .limit(limit)
        .select((trust_scores::org_id, trust_scores::agent_id, trust_scores::marks))
        .load(c))?)
}

/// The tenant, the agent, when its score was computed, and when it will be.
pub type Times = (OrganizationId, AgentId, Option<Timestamp>, Option<Timestamp>);

/// When these agents were computed, and when they will be.
///
/// # Errors
/// The database's.
pub fn times(db: &mut Db, wanted: &[(OrganizationId, AgentId)]) -> Result<Vec<Times>> {
    let mut tenants: Vec<OrganizationId> = wanted.iter().map(|(organization, _)| *organization).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let ids: Vec<AgentId> = wanted.iter().map(|(_, agent)| *agent).collect();
    Ok(each!(db, c => trust_scores::table
        .filter(trust_scores::org_id.eq_any(&tenants).and(trust_scores::agent_id.eq_any(&ids)))
        .select((
            trust_scores::org_id,
            trust_scores::agent_id,
            trust_scores::computed_at,
            trust_scores::next_at,
        ))
        .load(c))?)
}

macro_rules! mark_rows {
    ($rows:expr) => {
        diesel::insert_into(trust_scores::table)
            .values($rows)
            .on_conflict((trust_scores::org_id, trust_scores::agent_id))
            .do_update()
            .set((
                trust_scores::marks.eq(trust_scores::marks + 1),
                trust_scores::next_at.eq(case_when(
                    trust_scores::next_at
                        .is_null()
                        .or(trust_scores::next_at.gt(excluded(trust_scores::next_at))),
                    excluded(trust_scores::next_at),
                )
                .otherwise(trust_scores::next_at)),
            ))
    };
}

/// Marks agents as touched: each is computed again by the moment given, or earlier where that was due before.
///
/// # Errors
/// The database's.
pub fn mark(db: &mut Db, touched: &[(OrganizationId, AgentId, Timestamp)]) -> Result<()> {
    let rows: Vec<ScoreRow> = touched
        .iter()
        .map(|(org_id, agent_id, next_at)| ScoreRow {
            org_id: *org_id,
            agent_id: *agent_id,
            score: None,
            level: "none".to_owned(),
            inputs: None,
            computed_at: None,
            changed_at: None,
            next_at: Some(*next_at),
            marks: 0,
        })
        .collect();
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                mark_rows!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in &rows {
                fixed!(mark_rows!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

/// Marks every agent of the organisation that has a score row.
///
/// # Errors
/// The database's.
pub fn mark_all(db: &mut Db, organization: OrganizationId, at: Timestamp) -> Result<()> {
    each!(db, c => diesel::update(trust_scores::table
            .filter(trust_scores::org_id.eq(organization))
            .filter(trust_scores::next_at.gt(at)))
        .set((trust_scores::next_at.eq(Some(at)), trust_scores::marks.eq(trust_scores::marks + 1)))
        .execute(c))?;
    Ok(())
}

/// The scores of these agents; on PostgreSQL nobody else changes them before the transaction ends.
///
/// # Errors
/// The database's.
pub fn lock_scores(db: &mut Db, organization: OrganizationId, of: &[AgentId]) -> Result<Vec<ScoreRow>> {
    macro_rules! wanted {
        () => {
            trust_scores::table
                .filter(trust_scores::org_id.eq(organization))
                .filter(trust_scores::agent_id.eq_any(of))
                .order(trust_scores::agent_id)
                .select(ScoreRow::as_select())
        };
    }
    Ok(match db {
        Db::Pg(c) => wanted!().for_update().load(&mut **c)?,
        Db::Sqlite(c) => wanted!().load(&mut **c)?,
    })
}

/// An agent's score.
///
/// # Errors
/// The database's.
pub fn score(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Option<ScoreRow>> {
    Ok(each!(db, c => trust_scores::table
        .find((organization, agent))
        .select(ScoreRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Writes a score back.
///
/// # Errors
/// The database's.
pub fn save_score(db: &mut Db, row: &ScoreRow) -> Result<()> {
    each!(db, c => diesel::insert_into(trust_scores::table)
        .values(row)
        .on_conflict((trust_scores::org_id, trust_scores::agent_id))
        .do_update()
        .set((
            trust_scores::score.eq(excluded(trust_scores::score)),
            trust_scores::level.eq(excluded(trust_scores::level)),
            trust_scores::inputs.eq(excluded(trust_scores::inputs)),
            trust_scores::computed_at.eq(excluded(trust_scores::computed_at)),
            trust_scores::changed_at.eq(excluded(trust_scores::changed_at)),
            trust_scores::next_at.eq(excluded(trust_scores::next_at)),
        ))
        .execute(c))?;
    Ok(())
}

/// Adds a change.
///
/// # Errors
/// The database's.
pub fn add_history(db: &mut Db, row: &HistoryRow) -> Result<()> {
    each!(db, c => diesel::insert_into(trust_history::table).values(row).execute(c))?;
    Ok(())
}

/// The score of the day.
///
/// # Errors
/// The database's.
pub fn save_day(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    day: Timestamp,
    score: Option<i64>,
) -> Result<()> {
    each!(db, c => diesel::insert_into(trust_days::table)
        .values((
            trust_days::org_id.eq(organization),
            trust_days::day.eq(day),
            trust_days::agent_id.eq(agent),
            trust_days::score.eq(score),
        ))
        .on_conflict((trust_days::org_id, trust_days::day, trust_days::agent_id))
        .do_update()
        .set(trust_days::score.eq(excluded(trust_days::score)))
        .execute(c))?;
    Ok(())
}

/// A page of an agent's changes, newest first.
///
/// # Errors
/// The database's.
pub fn history(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    before: Option<Id<HistoryKind>>,
    limit: i64,
    offset: i64,
) -> Result<Vec<HistoryRow>> {
    Ok(each!(db, c => {
        let mut query = trust_history::table
            .filter(trust_history::org_id.eq(organization))
            .filter(trust_history::agent_id.eq(agent))
            .into_boxed();
        if let Some(before) = before {
            query = query.filter(trust_history::id.lt(before));
        }
        query
            .order(trust_history::id.desc())
            .limit(limit)
            .offset(offset)
            .select(HistoryRow::as_select())
            .load(c)
    })?)
}

/// How many changes an agent had.
///
/// # Errors
/// The database's.
pub fn count_history(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<i64> {
    Ok(each!(db, c => trust_history::table
        .filter(trust_history::org_id.eq(organization))
        .filter(trust_history::agent_id.eq(agent))
        .count()
        .get_result(c))?)
}

/// The agent's scores by day, the oldest first.
///
/// # Errors
/// The database's.
pub fn days_of(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    from: Timestamp,
) -> Result<Vec<(Timestamp, Option<i64>)>> {
    Ok(each!(db, c => trust_days::table
        .filter(trust_days::org_id.eq(organization))
        .filter(trust_days::agent_id.eq(agent))
        .filter(trust_days::day.ge(from))
        .order(trust_days::day)
        .select((trust_days::day, trust_days::score))
        .load(c))?)
}

/// Notes what happened to agents; what was noted before stays.
///
/// # Errors
/// The database's.
pub fn add_events(db: &mut Db, rows: &[EventRow]) -> Result<()> {
    for row in rows {
        each!(db, c => diesel::insert_into(trust_events::table)
            .values(row)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    Ok(())
}

/// What happened to an agent since `from`, the latest first.
///
/// # Errors
/// The database's.
pub fn events_of(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    from: Timestamp,
    limit: i64,
) -> Result<Vec<EventRow>> {
    Ok(each!(db, c => trust_events::table
        .filter(trust_events::org_id.eq(organization))
        .filter(trust_events::agent_id.eq(agent))
        .filter(trust_events::created_at.ge(from))
        .order(trust_events::leaf_index.desc())
        .limit(limit)
        .select(EventRow::as_select())
        .load(c))?)
}

/// Adds an adjustment.
///
/// # Errors
/// The database's.
pub fn add_adjustment(db: &mut Db, row: &AdjustmentRow) -> Result<()> {
    each!(db, c => diesel::insert_into(trust_adjustments::table).values(row).execute(c))?;
    Ok(())
}

/// An agent's adjustments, newest first.
///
/// # Errors
/// The database's.
pub fn adjustments(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    before: Option<AdjustmentId>,
    limit: i64,
    offset: i64,
) -> Result<Vec<AdjustmentRow>> {
    Ok(each!(db, c => {
        let mut query = trust_adjustments::table
            .filter(trust_adjustments::org_id.eq(organization))
            .filter(trust_adjustments::agent_id.eq(agent))
            .into_boxed();
        if let Some(before) = before {
            query = query.filter(trust_adjustments::id.lt(before));
        }
        query
            .order(trust_adjustments::id.desc())
            .limit(limit)
            .offset(offset)
            .select(AdjustmentRow::as_select())
            .load(c)
    })?)
}

/// How many adjustments an agent ever had; with `in_force_at`, how many are in force then.
///
/// # Errors
/// The database's.
pub fn count_adjustments(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    in_force_at: Option<Timestamp>,
) -> Result<i64> {
    Ok(each!(db, c => {
        let mut query = trust_adjustments::table
            .filter(trust_adjustments::org_id.eq(organization))
            .filter(trust_adjustments::agent_id.eq(agent))
            .into_boxed();
        if let Some(now) = in_force_at {
            query = query
                .filter(trust_adjustments::withdrawn_at.is_null())
                .filter(trust_adjustments::expires_at.gt(now));
        }
        query.count().get_result(c)
    })?)
}

/// Withdraws an adjustment that is in force. `None`: the agent has no such adjustment; `false`: it had ended.
///
/// # Errors
/// The database's.
pub fn withdraw(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    adjustment: AdjustmentId,
    now: Timestamp,
    by: &str,
) -> Result<Option<bool>> {
    let mine = trust_adjustments::table
        .filter(trust_adjustments::org_id.eq(organization))
        .filter(trust_adjustments::id.eq(adjustment))
        .filter(trust_adjustments::agent_id.eq(agent));
    let ended = each!(db, c => diesel::update(mine
            .filter(trust_adjustments::withdrawn_at.is_null())
            .filter(trust_adjustments::expires_at.gt(now)))
        .set((
            trust_adjustments::withdrawn_at.eq(Some(now)),
            trust_adjustments::withdrawn_by.eq(Some(by)),
        ))
        .execute(c))?;
    if ended == 1 {
        return Ok(Some(true));
    }
    let known: i64 = each!(db, c => mine.count().get_result(c))?;
    Ok((known > 0).then_some(false))
}

/// What a low score leads to.
///
/// # Errors
/// The database's.
pub fn policy(db: &mut Db, organization: OrganizationId) -> Result<Option<TrustPolicyRow>> {
    Ok(each!(db, c => trust_policies::table
        .find(organization)
        .select(TrustPolicyRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Sets what a low score leads to.
///
/// # Errors
/// The database's.
pub fn save_policy(db: &mut Db, row: &TrustPolicyRow) -> Result<()> {
    each!(db, c => diesel::insert_into(trust_policies::table)
        .values(row)
        .on_conflict(trust_policies::org_id)
        .do_update()
        .set((
            trust_policies::alert_below.eq(excluded(trust_policies::alert_below)),
            trust_policies::restrict_policy_id.eq(excluded(trust_policies::restrict_policy_id)),
            trust_policies::suspend_below.eq(excluded(trust_policies::suspend_below)),
            trust_policies::updated_by.eq(excluded(trust_policies::updated_by)),
            trust_policies::updated_at.eq(excluded(trust_policies::updated_at)),
        ))
        .execute(c))?;
    Ok(())
}

/// The effect and threshold of the policy that restricts, if it is there.
///
/// # Errors
/// The database's.
pub fn restriction(
    db: &mut Db,
    organization: OrganizationId,
    policy: PolicyId,
) -> Result<Option<(String, Option<i64>)>> {
    Ok(each!(db, c => policies::table
        .find((organization, policy))
        .select((policies::effect, policies::trust_below))
        .get_result(c)
        .optional())?)
}

/// Whether the organisation has this agent, and what it is called.
///
/// # Errors
/// The database's.
pub fn agent_name(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Option<String>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq(agent))
        .filter(agents::deleted_at.is_null())
        .select(agents::name)
        .get_result(c)
        .optional())?)
}

/// Publishes a score to where decide() reads it, and tells every node.
///
/// # Errors
/// The database's.
pub fn publish(db: &mut Db, organization: OrganizationId, agent: AgentId, score: Option<i64>) -> Result<()> {
    each!(db, c => diesel::update(agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq(agent)))
        .set((agents::trust_score.eq(score), agents::epoch.eq(agents::epoch + 1)))
        .execute(c))?;
    Ok(())
}

/// Suspends an active agent. `false`: it was not active.
///
/// # Errors
/// The database's.
pub fn suspend(db: &mut Db, organization: OrganizationId, agent: AgentId, now: Timestamp) -> Result<bool> {
    let changed = each!(db, c => diesel::update(agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq(agent))
            .filter(agents::status.eq("active"))
            .filter(agents::deleted_at.is_null()))
        .set((
            agents::status.eq("suspended"),
            agents::updated_at.eq(now),
            agents::epoch.eq(agents::epoch + 1),
        ))
        .execute(c))?;
    Ok(changed == 1)
}
