//! Lists of accesses: all of an organisation, those of a secret, and those of an agent.
//!
//! On SQLite those of a secret or an agent are of two parts: the latest, through which it is walked, and those before, which the
//! [index](super::index) has. A statement says in one bound each from which id on and before which id: of two, SQLite searches by
//! the first, and walks through all that the second leaves out.

use aim_core::{AgentId, DecisionId, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use chrono::TimeDelta;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension,
    QueryDsl, RunQueryDsl, SelectableHelper, SqliteConnection, dsl::sql, sql_types::Bool,
};
use uuid::Uuid;

use super::{
    index::{self, BY_AGENT, BY_PATH},
    model::{AccessFilter, AccessId},
    store::{AccessRow, after_prefix, first_id},
};
use crate::schema::{vault_access_index, vault_accesses};

/// Up to so many accesses under a prefix are taken from the index and sorted. Of more, the latest are found by walking.
const SORTED: i64 = 20_000;

/// The ids that are meant: from the first on, and before the second.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Option<Uuid>,
    before: Option<Uuid>,
}

impl Span {
    fn of(filter: &AccessFilter, before: Option<AccessId>) -> Self {
        // One millisecond has many ids.
        let end = |until: Timestamp| first_id(until + TimeDelta::milliseconds(1));
        Self {
            from: filter.since.map(first_id),
            before: filter
                .until
                .map(end)
                .into_iter()
                .chain(before.map(|id| id.uuid()))
                .min(),
        }
    }

    /// Of these ids, those that are greater than `through`, and the others, if there may be any.
    fn split(self, through: AccessId) -> (Self, Option<Self>) {
        let next = Uuid::from_u128(through.uuid().as_u128().saturating_add(1));
        let (from, before) = (self.from.unwrap_or_default(), self.before.unwrap_or(Uuid::max()));
        let walked = Self {
            from: Some(from.max(next)),
            before: self.before,
        };
        let indexed = Self {
            from: self.from,
            before: Some(before.min(next)),
        };
        (walked, (from < next).then_some(indexed))
    }
}

/// The rows of a query whose id, in this column, is within a span.
macro_rules! within {
    ($query:expr, $id:expr, $span:expr) => {{
        let (mut query, span): (_, Span) = ($query, $span);
        if let Some(from) = span.from {
            query = query.filter($id.ge(AccessId::from_uuid(from)));
        }
        if let Some(before) = span.before {
            query = query.filter($id.lt(AccessId::from_uuid(before)));
        }
        query
    }};
}

/// By what the index finds accesses: a kind of its entries, and a key or all from one to another.
enum By {
    One(i64, Vec<u8>),
    Many(i64, Vec<u8>, Vec<u8>),
}

impl By {
    /// By what is narrowest; none where they are better found without it.
    fn of(
        c: &mut SqliteConnection,
        organization: OrganizationId,
        filter: &AccessFilter,
    ) -> Result<Option<Self>> {
        if let Some(path) = &filter.path {
            return Ok(Some(Self::One(BY_PATH, path.as_bytes().to_vec())));
        }
        if let Some(agent) = filter.agent {
            return Ok(Some(Self::agent(agent)));
        }
        // Those that were not approved have an index of their own, and are few.
        let is_rare = filter.outcome.is_some_and(|outcome| outcome != "approved");
        let Some(prefix) = filter.prefix.as_ref().filter(|_| !is_rare) else {
            return Ok(None);
        };
        let (from, to) = (prefix.as_bytes().to_vec(), after_prefix(prefix).into_bytes());
        let more: Option<AccessId> = vault_access_index::table
            .filter(vault_access_index::org_id.eq(organization))
            .filter(vault_access_index::kind.eq(BY_PATH))
            .filter(vault_access_index::key.ge(&from))
            .filter(vault_access_index::key.lt(&to))
            .select(vault_access_index::id)
            .offset(SORTED)
            .first(c)
            .optional()?;
        Ok(more.is_none().then_some(Self::Many(BY_PATH, from, to)))
    }

    fn agent(agent: AgentId) -> Self {
        Self::One(BY_AGENT, index::key_of(agent))
    }
}

/// The accesses of a table of them that a filter means, newest first, by the column that has their id.
macro_rules! filtered {
    ($table:expr, $id:expr, $organization:expr, $filter:expr, $span:expr) => {{
        let filter: &AccessFilter = $filter;
        let mut query = $table
            .filter(vault_accesses::org_id.eq($organization))
            .order($id.desc())
            .select(AccessRow::as_select())
            .into_boxed();
        if let Some(path) = &filter.path {
            query = query.filter(vault_accesses::path.eq(path));
        }
        if let Some(prefix) = &filter.prefix {
            query = query
                .filter(vault_accesses::path.ge(prefix))
                .filter(vault_accesses::path.lt(after_prefix(prefix)));
        }
        if let Some(agent) = filter.agent {
            query = query.filter(vault_accesses::agent_id.eq(Some(agent)));
        }
        if let Some(outcome) = filter.outcome {
            query = query.filter(vault_accesses::outcome.eq(outcome));
            // Their index has no approved ones, which SQLite must be told in the statement's text.
            if outcome != "approved" {
                query = query.filter(sql::<Bool>("vault_accesses.outcome <> 'approved'"));
            }
        }
        if let Some(delivery) = &filter.delivery {
            query = query.filter(vault_accesses::delivery.eq(Some(delivery)));
        }
        if let Some(since) = filter.since {
            query = query.filter(vault_accesses::at.ge(since));
        }
        if let Some(until) = filter.until {
            query = query.filter(vault_accesses::at.lt(until));
        }
        within!(query, $id, $span)
    }};
}

/// The accesses of an organisation that the index of SQLite has.
macro_rules! indexed {
    ($organization:expr) => {
        vault_access_index::table
            .inner_join(
                vault_accesses::table.on(vault_accesses::org_id
                    .eq(vault_access_index::org_id)
                    .and(vault_accesses::id.eq(vault_access_index::id))),
            )
            .filter(vault_access_index::org_id.eq($organization))
    };
}

/// Of these, those that stand under the keys.
macro_rules! under {
    ($by:expr, $indexed:expr) => {
        match $by {
            By::One(kind, key) => $indexed
                .filter(vault_access_index::kind.eq(kind))
                .filter(vault_access_index::key.eq(key)),
            By::Many(kind, from, to) => $indexed
                .filter(vault_access_index::kind.eq(kind))
                .filter(vault_access_index::key.ge(from))
                .filter(vault_access_index::key.lt(to)),
        }
    };
}

/// Accesses, newest first, older than `before`.
///
/// # Errors
/// The database's.
pub(super) fn accesses(
    db: &mut Db,
    organization: OrganizationId,
    filter: &AccessFilter,
    before: Option<AccessId>,
    limit: i64,
) -> Result<Vec<AccessRow>> {
    let (all, span) = (vault_accesses::table, Span::of(filter, before));
    let by = match db {
        Db::Sqlite(c) => By::of(c, organization, filter)?,
        Db::Pg(_) => None,
    };
    let (c, by) = match (db, by) {
        (Db::Sqlite(c), Some(by)) => (c, by),
        (db, _) => {
            return Ok(
                each!(db, c => filtered!(all, vault_accesses::id, organization, filter, span)
                .limit(limit)
                .load(c))?,
            );
        }
    };
    let (walked, indexed) = span.split(index::place(c, organization)?.through);
    let mut found: Vec<AccessRow> = filtered!(all, vault_accesses::id, organization, filter, walked)
        .limit(limit)
        .load(&mut **c)?;
    let rest = limit.saturating_sub(count_of(&found));
    if let Some(span) = indexed.filter(|_| rest > 0) {
        let rows = indexed!(organization);
        let older = filtered!(rows, vault_access_index::id, organization, filter, span).limit(rest);
        found.extend(under!(by, older).load::<AccessRow>(&mut **c)?);
    }
    Ok(found)
}

fn count_of<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// The decisions on reads of an agent, or all, in a table of accesses: newest first, by the column that has their id.
macro_rules! decided {
    ($table:expr, $id:expr, $organization:expr, $agent:expr, $since:expr, $span:expr) => {{
        let mut query = $table
            .filter(vault_accesses::org_id.eq($organization))
            .filter(vault_accesses::at.ge($since))
            .filter(vault_accesses::decision_id.eq(vault_accesses::id.nullable()))
            .into_boxed();
        if let Some(agent) = $agent {
            query = query.filter(vault_accesses::agent_id.eq(Some(agent)));
        }
        within!(query, $id, $span)
    }};
}

/// The decisions of reads that are listed, made since a moment and before another, newest first. A later delivery is in the list
/// too, under an id of its own.
///
/// # Errors
/// The database's.
pub(crate) fn decisions(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    (since, until): (Timestamp, Option<Timestamp>),
    (limit, offset): (i64, i64),
) -> Result<Vec<DecisionId>> {
    let all = vault_accesses::table;
    let span = Span {
        from: Some(first_id(since)),
        before: until.map(first_id),
    };
    let (c, by) = match (db, agent.map(By::agent)) {
        (Db::Sqlite(c), Some(by)) => (c, by),
        (db, _) => {
            let found: Vec<Option<DecisionId>> = each!(db, c => {
                decided!(all, vault_accesses::id, organization, agent, since, span)
                    .order(vault_accesses::id.desc())
                    .limit(limit)
                    .offset(offset)
                    .select(vault_accesses::decision_id)
                    .load(c)
            })?;
            return Ok(found.into_iter().flatten().collect());
        }
    };
    let (walked, indexed) = span.split(index::place(c, organization)?.through);
    let latest = || decided!(all, vault_accesses::id, organization, agent, since, walked);
    let mut found: Vec<Option<DecisionId>> = latest()
        .order(vault_accesses::id.desc())
        .limit(limit)
        .offset(offset)
        .select(vault_accesses::decision_id)
        .load(&mut **c)?;
    let rest = limit.saturating_sub(count_of(&found));
    if let Some(span) = indexed.filter(|_| rest > 0) {
        let passed = if offset > 0 && found.is_empty() {
            latest().count().get_result(&mut **c)?
        } else {
            offset
        };
        let rows = indexed!(organization);
        let older = decided!(rows, vault_access_index::id, organization, agent, since, span)
            .order(vault_access_index::id.desc())
            .limit(rest)
            .offset(offset.saturating_sub(passed))
            .select(vault_accesses::decision_id);
        found.extend(under!(by, older).load::<Option<DecisionId>>(&mut **c)?);
    }
    Ok(found.into_iter().flatten().collect())
}
