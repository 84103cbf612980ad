//! Lists of accesses: all of an organisation, those of a secret, and those of an agent.
//!
//! On SQLite those of a secret or an agent are of two parts: the latest, through which it is walked, and those before, which the
//! [index](super::index) has. The first part is the newer one, so that a page seldom needs both.

use aim_core::{AgentId, DecisionId, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, RunQueryDsl,
    SelectableHelper, dsl::sql, sql_types::Bool,
};

use super::{
    index::{self, BY_AGENT, BY_PATH},
    model::{AccessFilter, AccessId},
    store::{AccessRow, after_prefix, first_id},
};
use crate::schema::{vault_access_index, vault_accesses};

/// By what the index finds accesses: a kind of its entries, and their keys from one to another.
enum By {
    One(i64, Vec<u8>),
    Many(i64, Vec<u8>, Vec<u8>),
}

impl By {
    /// By what is narrowest; none where all are wanted.
    fn of(filter: &AccessFilter) -> Option<Self> {
        let path = filter
            .path
            .as_ref()
            .map(|path| Self::One(BY_PATH, path.as_bytes().to_vec()));
        let prefix = || {
            let prefix = filter.prefix.as_ref()?;
            Some(Self::Many(
                BY_PATH,
                prefix.as_bytes().to_vec(),
                after_prefix(prefix).into_bytes(),
            ))
        };
        path.or_else(|| filter.agent.map(Self::agent)).or_else(prefix)
    }

    fn agent(agent: AgentId) -> Self {
        Self::One(BY_AGENT, index::key_of(agent))
    }
}

/// The accesses of a table of them that a filter means, newest first, by the column that has their id.
macro_rules! filtered {
    ($table:expr, $id:expr, $organization:expr, $filter:expr, $before:expr) => {{
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
            query = query
                .filter($id.ge(AccessId::from_uuid(first_id(since))))
                .filter(vault_accesses::at.ge(since));
        }
        if let Some(until) = filter.until {
            // One millisecond has many ids.
            let bound = first_id(until + chrono::TimeDelta::milliseconds(1));
            query = query
                .filter($id.lt(AccessId::from_uuid(bound)))
                .filter(vault_accesses::at.lt(until));
        }
        if let Some(before) = $before {
            query = query.filter($id.lt(before));
        }
        query
    }};
}

/// The accesses that the index of SQLite has of an organisation, up to where it has all.
macro_rules! indexed {
    ($organization:expr, $through:expr) => {
        vault_access_index::table
            .inner_join(
                vault_accesses::table.on(vault_accesses::org_id
                    .eq(vault_access_index::org_id)
                    .and(vault_accesses::id.eq(vault_access_index::id))),
            )
            .filter(vault_access_index::org_id.eq($organization))
            .filter(vault_access_index::id.le($through))
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
    let all = vault_accesses::table;
    let (c, by) = match (db, By::of(filter)) {
        (Db::Sqlite(c), Some(by)) => (c, by),
        (db, _) => {
            return Ok(
                each!(db, c => filtered!(all, vault_accesses::id, organization, filter, before)
                .limit(limit)
                .load(c))?,
            );
        }
    };
    let through = index::place(c, organization)?.through;
    let mut found: Vec<AccessRow> = filtered!(all, vault_accesses::id, organization, filter, before)
        .filter(vault_accesses::id.gt(through))
        .limit(limit)
        .load(&mut **c)?;
    let rest = limit.saturating_sub(count_of(&found));
    if rest > 0 {
        let indexed = indexed!(organization, through);
        let older = filtered!(indexed, vault_access_index::id, organization, filter, before).limit(rest);
        found.extend(under!(by, older).load::<AccessRow>(&mut **c)?);
    }
    Ok(found)
}

fn count_of<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// The decisions on reads of an agent, or all, in a table of accesses, made since a moment and before another: newest first.
macro_rules! decided {
    ($table:expr, $id:expr, $organization:expr, $agent:expr, $span:expr) => {{
        let (since, until): (Timestamp, Option<Timestamp>) = $span;
        let bound = |moment| AccessId::from_uuid(first_id(moment));
        let mut query = $table
            .filter(vault_accesses::org_id.eq($organization))
            .filter($id.ge(bound(since)))
            .filter(vault_accesses::at.ge(since))
            .filter(vault_accesses::decision_id.eq(vault_accesses::id.nullable()))
            .into_boxed();
        if let Some(agent) = $agent {
            query = query.filter(vault_accesses::agent_id.eq(Some(agent)));
        }
        if let Some(until) = until {
            query = query.filter($id.lt(bound(until)));
        }
        query
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
    span: (Timestamp, Option<Timestamp>),
    (limit, offset): (i64, i64),
) -> Result<Vec<DecisionId>> {
    let all = vault_accesses::table;
    let (c, by) = match (db, agent.map(By::agent)) {
        (Db::Sqlite(c), Some(by)) => (c, by),
        (db, _) => {
            let found: Vec<Option<DecisionId>> = each!(db, c => {
                decided!(all, vault_accesses::id, organization, agent, span)
                    .order(vault_accesses::id.desc())
                    .limit(limit)
                    .offset(offset)
                    .select(vault_accesses::decision_id)
                    .load(c)
            })?;
            return Ok(found.into_iter().flatten().collect());
        }
    };
    let through = index::place(c, organization)?.through;
    let latest = || {
        decided!(all, vault_accesses::id, organization, agent, span).filter(vault_accesses::id.gt(through))
    };
    let mut found: Vec<Option<DecisionId>> = latest()
        .order(vault_accesses::id.desc())
        .limit(limit)
        .offset(offset)
        .select(vault_accesses::decision_id)
        .load(&mut **c)?;
    let rest = limit.saturating_sub(count_of(&found));
    if rest > 0 {
        let passed = if offset > 0 && found.is_empty() {
            latest().count().get_result(&mut **c)?
        } else {
            offset
        };
        let indexed = indexed!(organization, through);
        let older = decided!(indexed, vault_access_index::id, organization, agent, span)
            .order(vault_access_index::id.desc())
            .limit(rest)
            .offset(offset - passed)
            .select(vault_accesses::decision_id);
        found.extend(under!(by, older).load::<Option<DecisionId>>(&mut **c)?);
    }
    Ok(found.into_iter().flatten().collect())
}
