//! Queries for the records of the audit log. Most records are decisions; what changed (the events) is
//! rare among them and has indexes of its own, so a filter that can only mean the one or the other is
//! answered from the one or the other. No rule of any capability stands here.

use std::cmp::Reverse;

use aim_audit::Record;
use aim_core::{AgentId, DecisionId, OrganizationId, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{audit_log, decisions},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
    dsl::{not, sql},
    sql_types::Bool,
};

/// The one action of records that tell of decisions.
const DECIDED: &str = "action.decided";

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each narrows the column of that name")]
pub struct Filter {
    pub action: Option<String>,
    pub kind: Option<Kind>,
    pub actor_kind: Option<String>,
    pub actor_id: Option<String>,
    pub agent_id: Option<AgentId>,
    pub target_id: Option<String>,
    pub outcome: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// What sort of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something changed, or was tried.
    Event,
    /// A verified action was decided.
    Decision,
}

impl Filter {
    fn may_be_events(&self) -> bool {
        self.kind != Some(Kind::Decision) && self.action.as_deref().is_none_or(|action| action != DECIDED)
    }

    /// Decisions are always asked for by agents.
    fn may_be_decisions(&self) -> bool {
        self.kind != Some(Kind::Event)
            && self.action.as_deref().is_none_or(|action| action == DECIDED)
            && self.actor_kind.as_deref().is_none_or(|kind| kind == "agent")
    }
}

/// In which order a query finds its records. Both are newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// By index: the order in which they were committed.
    Index,
    /// By time, and by index within a moment: for windows of time, which then are a range of an index.
    Time,
}

/// What a query looks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Everything: `audit_log_by_leaf_index`, `…_by_agent_id_leaf_index` or `…_by_created_at_leaf_index`.
    All,
    /// The events, by one of the indexes that hold nothing else.
    Events,
    /// The decisions; by the agent's index where the actor is known.
    Decisions,
}

/// A page of the organisation's records, newest first, after the record with the index `before`.
///
/// # Errors
/// The database's.
pub fn page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Record>> {
    let apart = filter.actor_id.is_some() || filter.target_id.is_some();
    match (filter.may_be_events(), filter.may_be_decisions()) {
        (false, false) => Ok(Vec::new()),
        (true, false) => part(db, organization, filter, Part::Events, None, before, limit),
        (false, true) => decisions_page(db, organization, filter, before, limit),
        (true, true) if !apart => part(db, organization, filter, Part::All, None, before, limit),
        (true, true) => {
            let mut rows = part(db, organization, filter, Part::Events, None, before, limit)?;
            rows.extend(decisions_page(db, organization, filter, before, limit)?);
            rows.sort_unstable_by_key(|row| Reverse(row.leaf_index));
            rows.truncate(usize::try_from(limit).unwrap_or(0));
            Ok(rows)
        }
    }
}

fn decisions_page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Record>> {
    let mut filter = filter.clone();
    let mut leaf = None;
    if let Some(target) = &filter.target_id {
        // The target of such a record is the decision, which knows its record.
        let Ok(id) = target.parse::<DecisionId>() else {
            return Ok(Vec::new());
        };
        let found: Option<i64> = each!(db, c => decisions::table
            .find((organization, id))
            .select(decisions::leaf_index)
            .get_result(c)
            .optional())?;
        match found {
            Some(index) => leaf = Some(index),
            None => return Ok(Vec::new()),
        }
    }
    if let Some(actor) = &filter.actor_id {
        // The actor of such a record is its agent.
        let Ok(agent) = actor.parse::<AgentId>() else {
            return Ok(Vec::new());
        };
        if filter.agent_id.is_some_and(|wanted| wanted != agent) {
            return Ok(Vec::new());
        }
        filter.agent_id = Some(agent);
    }
    part(db, organization, &filter, Part::Decisions, leaf, before, limit)
}

fn part(
    db: &mut Db,
    organization: OrganizationId,
    filter: &Filter,
    part: Part,
    leaf: Option<i64>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Record>> {
    let in_time = filter.from.is_some() || filter.to.is_some();
    let narrow = part == Part::Events || leaf.is_some() || filter.agent_id.is_some();
    let apart = filter.actor_id.is_some() || filter.target_id.is_some();
    let order = if in_time && !narrow && !apart {
        Order::Time
    } else {
        Order::Index
    };
    let before_time = match (order, before) {
        (Order::Time, Some(index)) => time_of(db, organization, index)?,
        _ => None,
    };
    Ok(each!(db, c => {
        let mut query = audit_log::table
            .filter(audit_log::org_id.eq(organization))
            .limit(limit)
            .select(Record::as_select())
            .into_boxed();
        // Written out: the indexes on events are partial, and their condition must be seen in the query.
        query = match part {
            Part::All => query,
            Part::Events => query.filter(sql::<Bool>("audit_log.kind = 'event'")),
            Part::Decisions => query.filter(sql::<Bool>("audit_log.kind = 'decision'")),
        };
        if let Some(leaf) = leaf { query = query.filter(audit_log::leaf_index.eq(leaf)); }
        if let Some(action) = &filter.action { query = query.filter(audit_log::action.eq(action)); }
        if let Some(kind) = &filter.actor_kind { query = query.filter(audit_log::actor_kind.eq(kind)); }
        if let Some(id) = &filter.actor_id { query = query.filter(audit_log::actor_id.eq(Some(id))); }
        if let Some(id) = filter.agent_id { query = query.filter(audit_log::agent_id.eq(Some(id))); }
        if let Some(id) = &filter.target_id { query = query.filter(audit_log::target_id.eq(Some(id))); }
        if let Some(outcome) = &filter.outcome { query = query.filter(audit_log::outcome.eq(outcome)); }
        // `NOT` keeps SQLite from the index on times where another one finds the records in their order.
        if let Some(from) = filter.from {
            query = match order {
                Order::Time => query.filter(audit_log::created_at.ge(from)),
                Order::Index => query.filter(not(audit_log::created_at.lt(from))),
            };
        }
        if let Some(to) = filter.to {
            query = match order {
                Order::Time => query.filter(audit_log::created_at.lt(to)),
                Order::Index => query.filter(not(audit_log::created_at.ge(to))),
            };
        }
        query = match (order, before, before_time) {
            (Order::Time, Some(index), Some(time)) => query
                .filter(audit_log::created_at.le(time))
                .filter(audit_log::created_at.lt(time).or(audit_log::leaf_index.lt(index))),
            (_, Some(index), _) => query.filter(audit_log::leaf_index.lt(index)),
            (_, None, _) => query,
        };
        query = match order {
            Order::Time => query.order((audit_log::created_at.desc(), audit_log::leaf_index.desc())),
            Order::Index => query.order(audit_log::leaf_index.desc()),
        };
        query.load(c)
    })?)
}

/// When the record with this index was made, if it is the organisation's.
fn time_of(db: &mut Db, organization: OrganizationId, index: i64) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => audit_log::table
        .find(index)
        .filter(audit_log::org_id.eq(organization))
        .select(audit_log::created_at)
        .get_result(c)
        .optional())?)
}
