//! Rows of decisions, their snapshots, results and rate counters.

use std::collections::BTreeMap;

use aim_core::{AgentId, DecisionId, GrantId, Json, OrganizationId, Timestamp};
use aim_platform::NonceClaim;
use aim_store::{
    Cached, Db, Result, diesel,
    diesel::{
        ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
        upsert::excluded,
    },
    each, fixed,
    schema::{audit_log, decision_results, decisions, grant_uses, grants, nonces, organizations, snapshots},
};

/// A decision's row.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = decisions, treat_none_as_default_value = false)]
pub(super) struct DecisionRow {
    pub(super) org_id: OrganizationId,
    pub(super) id: DecisionId,
    pub(super) agent_id: AgentId,
    pub(super) created_at: Timestamp,
    pub(super) action: String,
    pub(super) resource: Option<String>,
    pub(super) status: String,
    pub(super) outcome: String,
    pub(super) reason_codes: Json,
    pub(super) decider: Option<String>,
    pub(super) grant_id: Option<GrantId>,
    pub(super) risk: String,
    pub(super) credential: String,
    pub(super) scheme: String,
    pub(super) source_ip: Option<String>,
    pub(super) snapshot_digest: Vec<u8>,
    pub(super) inputs: String,
    pub(super) verdict: String,
    pub(super) salt: Vec<u8>,
    pub(super) leaf_index: i64,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) resolved_by: Option<String>,
    pub(super) resolution_note: Option<String>,
}

/// Inserts decisions: one statement on PostgreSQL, one prepared statement many times on SQLite.
pub(super) fn insert_decisions(db: &mut Db, rows: &[DecisionRow]) -> Result<()> {
    match db {
        Db::Pg(c) => {
            diesel::insert_into(decisions::table)
                .values(rows)
                .execute(&mut **c)?;
        }
        Db::Sqlite(c) => {
            for row in rows {
                fixed!(diesel::insert_into(decisions::table).values(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

/// Claims nonces; answers which of them are fresh. The first of two equal ones wins.
pub(super) fn claim_nonces(db: &mut Db, claims: &[Option<NonceClaim>]) -> Result<Vec<bool>> {
    if let Db::Sqlite(_) = db {
        return claims
            .iter()
            .map(|claim| match claim {
                None => Ok(true),
                Some(claim) => {
                    aim_store::nonces::claim(db, claim.organization, &claim.digest, claim.expires_at)
                }
            })
            .collect();
    }
    // In a fixed order, so that two nodes that claim the same nonces wait for each other, not in a ring.
    let mut ordered: Vec<&NonceClaim> = claims.iter().flatten().collect();
    ordered.sort_unstable_by_key(|claim| (claim.organization, claim.digest));
    let values: Vec<_> = ordered
        .iter()
        .map(|claim| {
            (
                nonces::org_id.eq(claim.organization),
                nonces::digest.eq(claim.digest.as_slice()),
                nonces::expires_at.eq(claim.expires_at),
            )
        })
        .collect();
    let fresh: Vec<(OrganizationId, Vec<u8>)> = if values.is_empty() {
        Vec::new()
    } else {
        each!(db, c => diesel::insert_into(nonces::table)
            .values(&values)
            .on_conflict_do_nothing()
            .returning((nonces::org_id, nonces::digest))
            .get_results(c))?
    };
    let mut fresh: std::collections::HashSet<(OrganizationId, Vec<u8>)> = fresh.into_iter().collect();
    Ok(claims
        .iter()
        .map(|claim| match claim {
            None => true,
            Some(claim) => fresh.remove(&(claim.organization, claim.digest.to_vec())),
        })
        .collect())
}

/// Keeps a snapshot under its digest, once, and notes that it is in use.
pub(super) fn keep_snapshot(
    db: &mut Db,
    organization: OrganizationId,
    digest: &[u8; 32],
    body: &str,
    now: Timestamp,
) -> Result<()> {
    each!(db, c => fixed!(diesel::insert_into(snapshots::table)
        .values((
            snapshots::org_id.eq(organization),
            snapshots::digest.eq(digest.as_slice()),
            snapshots::body.eq(body),
            snapshots::created_at.eq(now),
            snapshots::last_used_at.eq(Some(now)),
        ))
        .on_conflict((snapshots::org_id, snapshots::digest))
        .do_update()
        .set(snapshots::last_used_at.eq(Some(now))))
        .run(c))?;
    Ok(())
}

/// The body of a snapshot.
pub(super) fn snapshot_body(
    db: &mut Db,
    organization: OrganizationId,
    digest: &[u8],
) -> Result<Option<String>> {
    Ok(each!(db, c => snapshots::table
        .find((organization, digest))
        .select(snapshots::body)
        .get_result(c)
        .optional())?)
}

/// A rate counter: tenant, grant and the start of its window.
pub(super) type UseKey = (OrganizationId, GrantId, Timestamp);

/// Locks a counter and reads it; makes it where it is not there.
pub(super) fn lock_uses(db: &mut Db, key: UseKey) -> Result<i64> {
    let (organization, grant, window) = key;
    Ok(each!(db, c => Cached(diesel::insert_into(grant_uses::table)
        .values((
            grant_uses::org_id.eq(organization),
            grant_uses::grant_id.eq(grant),
            grant_uses::window_start.eq(window),
            grant_uses::uses.eq(0),
        ))
        .on_conflict((grant_uses::org_id, grant_uses::grant_id, grant_uses::window_start))
        .do_update()
        .set(grant_uses::uses.eq(grant_uses::uses))
        .returning(grant_uses::uses))
        .get_result(c))?)
}

/// Writes counters back, in the order in which they were locked.
pub(super) fn set_uses(db: &mut Db, counters: &BTreeMap<UseKey, i64>) -> Result<()> {
    for ((organization, grant, window), uses) in counters {
        each!(db, c => Cached(diesel::insert_into(grant_uses::table)
            .values((
                grant_uses::org_id.eq(organization),
                grant_uses::grant_id.eq(grant),
                grant_uses::window_start.eq(window),
                grant_uses::uses.eq(uses),
            ))
            .on_conflict((grant_uses::org_id, grant_uses::grant_id, grant_uses::window_start))
            .do_update()
            .set(grant_uses::uses.eq(excluded(grant_uses::uses))))
            .run(c))?;
    }
    Ok(())
}

/// Forgets counters of windows long past.
pub(super) fn forget_uses(db: &mut Db, before: Timestamp) -> Result<usize> {
    Ok(each!(db, c => diesel::delete(
        grant_uses::table.filter(grant_uses::window_start.lt(before))).execute(c))?)
}

/// Notes when a grant was last used.
pub(super) fn note_use(
    db: &mut Db,
    organization: OrganizationId,
    grant: GrantId,
    now: Timestamp,
) -> Result<()> {
    each!(db, c => Cached(diesel::update(grants::table.find((organization, grant)))
        .set(grants::last_used_at.eq(Some(now))))
        .run(c))?;
    Ok(())
}

/// A decision of this tenant.
pub(super) fn find(db: &mut Db, organization: OrganizationId, id: DecisionId) -> Result<Option<DecisionRow>> {
    Ok(each!(db, c => decisions::table
        .find((organization, id))
        .select(DecisionRow::as_select())
        .get_result(c)
        .optional())?)
}

/// A decision of whichever tenant: for reports that carry no credential. One look-up a tenant.
pub(super) fn find_anywhere(db: &mut Db, id: DecisionId) -> Result<Option<DecisionRow>> {
    Ok(each!(db, c => organizations::table
        .inner_join(decisions::table.on(decisions::org_id.eq(organizations::id)))
        .filter(decisions::id.eq(id))
        .select(DecisionRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Which decisions a page holds.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) agent: Option<AgentId>,
    pub(super) status: Option<String>,
    /// The first moment.
    pub(super) from: Option<Timestamp>,
    /// The first moment that is too late.
    pub(super) to: Option<Timestamp>,
    pub(super) before: Option<DecisionId>,
    pub(super) limit: i64,
}

impl Wanted {
    fn has(&self, row: &DecisionRow) -> bool {
        self.status.as_ref().is_none_or(|status| row.status == *status)
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.to.is_none_or(|to| row.created_at < to)
    }
}

/// Decisions of this tenant, newest first.
pub(super) fn page(db: &mut Db, organization: OrganizationId, wanted: &Wanted) -> Result<Vec<DecisionRow>> {
    match wanted.agent {
        // The few that are pending have an index of their own.
        Some(agent) if wanted.status.as_deref() != Some("pending") => {
            of_agent(db, organization, agent, wanted)
        }
        _ => Ok(each!(db, c => {
            let mut query = decisions::table
                .filter(decisions::org_id.eq(organization))
                .order(decisions::id.desc())
                .limit(wanted.limit)
                .select(DecisionRow::as_select())
                .into_boxed();
            if let Some(agent) = wanted.agent { query = query.filter(decisions::agent_id.eq(agent)); }
            if let Some(status) = &wanted.status { query = query.filter(decisions::status.eq(status)); }
            if let Some(before) = wanted.before { query = query.filter(decisions::id.lt(before)); }
            // The ids carry the moment to the millisecond, and are indexed.
            if let Some(from) = wanted.from {
                query = query.filter(decisions::id.ge(first_id(from, 0)))
                    .filter(decisions::created_at.ge(from));
            }
            if let Some(to) = wanted.to {
                query = query.filter(decisions::id.lt(first_id(to, 1)))
                    .filter(decisions::created_at.lt(to));
            }
            query.load(c)
        })?),
    }
}

/// The least id of the millisecond of `moment`, so many milliseconds later (RFC 9562 §5.7).
fn first_id(moment: Timestamp, later: i64) -> DecisionId {
    let millisecond = u64::try_from(moment.timestamp_millis().saturating_add(later)).unwrap_or(0);
    DecisionId::from_uuid(uuid::Uuid::from_u128(u128::from(millisecond) << 80))
}

/// How far the order of the leaves can be from that of their moments, in minutes: a request does not wait
/// that long for its transaction.
const DISORDER_MINUTES: i64 = 5;
/// The fewest leaves that are looked at at once where some of them may not be wanted.
const LEAVES_AT_ONCE: i64 = 500;

/// The leaf of the first record at `moment` or later; `None` when there is none yet.
fn leaf_at(db: &mut Db, organization: OrganizationId, moment: Timestamp) -> Result<Option<i64>> {
    Ok(each!(db, c => audit_log::table
        .filter(audit_log::org_id.eq(organization))
        .filter(audit_log::created_at.ge(moment))
        .order((audit_log::created_at, audit_log::leaf_index))
        .select(audit_log::leaf_index)
        .first(c)
        .optional())?)
}

/// An agent's decisions by its leaves in the log, which are indexed by agent. A second index by agent
/// would cost each decision a page of its own.
fn of_agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    wanted: &Wanted,
) -> Result<Vec<DecisionRow>> {
    let disorder = chrono::TimeDelta::minutes(DISORDER_MINUTES);
    let lowest = match wanted.from {
        None => 0,
        Some(from) => match leaf_at(db, organization, from - disorder)? {
            Some(leaf) => leaf,
            None => return Ok(Vec::new()),
        },
    };
    let mut under = match wanted.before {
        None => i64::MAX,
        Some(id) => find(db, organization, id)?.map_or(0, |row| row.leaf_index),
    };
    if let Some(to) = wanted.to
        && let Some(leaf) = leaf_at(db, organization, to + disorder)?
    {
        under = under.min(leaf);
    }
    let limit = usize::try_from(wanted.limit).unwrap_or(0);
    let at_once = match wanted.status {
        None => wanted.limit,
        Some(_) => wanted.limit.max(LEAVES_AT_ONCE),
    };
    let mut rows: Vec<DecisionRow> = Vec::new();
    while rows.len() < limit {
        let leaves: Vec<(i64, Option<String>)> = each!(db, c => {
            let mut query = audit_log::table
                .filter(audit_log::org_id.eq(organization))
                .filter(audit_log::agent_id.eq(Some(agent)))
                .filter(audit_log::kind.eq("decision"))
                .filter(audit_log::leaf_index.ge(lowest))
                .filter(audit_log::leaf_index.lt(under))
                .order(audit_log::leaf_index.desc())
                .limit(at_once)
                .select((audit_log::leaf_index, audit_log::target_id))
                .into_boxed();
            if let Some(status) = &wanted.status {
                // A pending one may have become either since.
                query = query.filter(audit_log::outcome.eq_any([status.as_str(), "pending"]));
            }
            query.load(c)
        })?;
        let Some((last, _)) = leaves.last() else { break };
        under = *last;
        let ids: Vec<DecisionId> = leaves
            .iter()
            .filter_map(|(_, id)| id.as_deref()?.parse().ok())
            .collect();
        let mut found: Vec<DecisionRow> = each!(db, c => decisions::table
            .filter(decisions::org_id.eq(organization))
            .filter(decisions::id.eq_any(&ids))
            .select(DecisionRow::as_select())
            .load(c))?;
        found.retain(|row| wanted.has(row));
        found.sort_unstable_by_key(|row| std::cmp::Reverse(row.leaf_index));
        rows.extend(found);
    }
    rows.truncate(limit);
    Ok(rows)
}

/// The most pending decisions that are listed together.
const MOST_WAITING: i64 = 100;

/// Those that wait at `now`; none of them was decided before `since`.
macro_rules! waiting {
    ($organization:expr, $since:expr, $now:expr) => {
        decisions::table
            .filter(decisions::org_id.eq($organization))
            .filter(decisions::status.eq("pending"))
            .filter(decisions::id.ge(first_id($since, 0)))
            .filter(decisions::expires_at.gt(Some($now)))
    };
}

/// The decisions that wait for a person, the newest first.
pub(super) fn waiting(
    db: &mut Db,
    organization: OrganizationId,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<DecisionRow>> {
    Ok(each!(db, c => waiting!(organization, since, now)
        .order(decisions::id.desc())
        .limit(MOST_WAITING)
        .select(DecisionRow::as_select())
        .load(c))?)
}

/// How many of them there are.
pub(super) fn count_waiting(
    db: &mut Db,
    organization: OrganizationId,
    since: Timestamp,
    now: Timestamp,
) -> Result<i64> {
    Ok(each!(db, c => waiting!(organization, since, now).count().get_result(c))?)
}

/// Settles a pending decision. `false` when somebody was first.
pub(super) fn settle(
    db: &mut Db,
    organization: OrganizationId,
    id: DecisionId,
    status: &str,
    by: &str,
    note: Option<&str>,
    now: Timestamp,
) -> Result<bool> {
    let count = each!(db, c => diesel::update(
            decisions::table.find((organization, id)).filter(decisions::status.eq("pending")))
        .set((
            decisions::status.eq(status),
            decisions::resolved_at.eq(Some(now)),
            decisions::resolved_by.eq(Some(by)),
            decisions::resolution_note.eq(note),
        ))
        .execute(c))?;
    Ok(count == 1)
}

/// Keeps the first report of a decision's result. `false` when there is one already.
pub(super) fn keep_result(
    db: &mut Db,
    row: &DecisionRow,
    report: &super::ResultReport,
    authenticated: bool,
    now: Timestamp,
) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(decision_results::table)
        .values((
            decision_results::org_id.eq(row.org_id),
            decision_results::decision_id.eq(row.id),
            decision_results::outcome.eq(&report.outcome),
            decision_results::summary.eq(&report.summary),
            decision_results::error_message.eq(&report.error_message),
            decision_results::authenticated.eq(authenticated),
            decision_results::reported_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}
