//! Queries of threat detection. No rules here; every query names the tenant, but for those that jobs and
//! the follower make over all of them.

use std::collections::HashMap;

use aim_audit::Record;
use aim_core::{AgentId, DecisionId, Id, Json, OrganizationId, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{agent_activity, agent_restrictions, agents, audit_log, decisions},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use crate::{
    model::{FindingFilter, FindingId},
    schema::{threat_findings, threat_honeytokens, threat_policies, threat_sources},
};

/// A finding as it is stored.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = threat_findings, treat_none_as_default_value = false)]
#[expect(missing_docs, reason = "the fields are those of FindingView")]
pub struct FindingRow {
    pub org_id: OrganizationId,
    pub id: FindingId,
    pub agent_id: Option<AgentId>,
    pub agent_name: Option<String>,
    pub detector: String,
    pub subject: String,
    pub severity: String,
    pub status: String,
    pub response: String,
    pub evidence: Json,
    pub count: i64,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub quiet_until: Option<Timestamp>,
    pub reviewed_by: Option<String>,
    pub reviewed_at: Option<Timestamp>,
    pub review_note: Option<String>,
}

/// What a detector leads to.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = threat_policies)]
pub(crate) struct PolicyRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) detector: String,
    pub(crate) response: String,
    pub(crate) updated_by: String,
    pub(crate) updated_at: Timestamp,
}

/// A honeytoken.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = threat_honeytokens)]
pub(crate) struct HoneytokenRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) capability: String,
    pub(crate) note: String,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
}

// --- what the follower reads ---

/// Where the decisions of these records came from, by the decision's id.
pub(crate) fn sources_of_decisions(
    db: &mut Db,
    organizations: &[OrganizationId],
    ids: &[DecisionId],
) -> Result<HashMap<DecisionId, Option<String>>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(DecisionId, Option<String>)> = each!(db, c => decisions::table
        .filter(decisions::org_id.eq_any(organizations))
        .filter(decisions::id.eq_any(ids))
        .select((decisions::id, decisions::source_ip))
        .load(c))?;
    Ok(rows.into_iter().collect())
}

/// The records from `from` until before `to`, at most `limit`, the latest of them.
pub(crate) fn records_before(db: &mut Db, since: Timestamp, to: i64, limit: i64) -> Result<Vec<Record>> {
    let mut records: Vec<Record> = each!(db, c => audit_log::table
        .filter(audit_log::leaf_index.lt(to))
        .order(audit_log::leaf_index.desc())
        .limit(limit)
        .select(Record::as_select())
        .load(c))?;
    records.retain(|record| record.created_at >= since);
    records.reverse();
    Ok(records)
}

/// Names and registration of agents.
pub(crate) fn registrations(
    db: &mut Db,
    ids: &[(OrganizationId, AgentId)],
) -> Result<Vec<(OrganizationId, AgentId, Timestamp, String)>> {
    let (organizations, agents_wanted) = apart(ids);
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq_any(&organizations))
        .filter(agents::id.eq_any(&agents_wanted))
        .select((agents::org_id, agents::id, agents::created_at, agents::name))
        .load(c))?)
}

/// A network of an agent, with its first and last use.
pub(crate) type SourceRow = (OrganizationId, AgentId, String, Timestamp, Timestamp);
/// Whole hours of agents, with how much was decided.
pub(crate) type Hours = HashMap<(OrganizationId, AgentId), Vec<(Timestamp, i64)>>;

/// Networks of agents with their first and last use.
pub(crate) fn sources(db: &mut Db, ids: &[(OrganizationId, AgentId)]) -> Result<Vec<SourceRow>> {
    let (organizations, agents_wanted) = apart(ids);
    Ok(each!(db, c => threat_sources::table
        .filter(threat_sources::org_id.eq_any(&organizations))
        .filter(threat_sources::agent_id.eq_any(&agents_wanted))
        .order(threat_sources::last_seen_at.desc())
        .select((
            threat_sources::org_id,
            threat_sources::agent_id,
            threat_sources::network,
            threat_sources::first_seen_at,
            threat_sources::last_seen_at,
        ))
        .load(c))?)
}

/// When the agent's last decision before the record `before` was.
pub(crate) fn last_action(
    db: &mut Db,
    (organization, agent): (OrganizationId, AgentId),
    before: i64,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => audit_log::table
        .filter(audit_log::org_id.eq(organization))
        .filter(audit_log::agent_id.eq(Some(agent)))
        .filter(audit_log::leaf_index.lt(before))
        .filter(audit_log::kind.eq("decision"))
        .order(audit_log::leaf_index.desc())
        .select(audit_log::created_at)
        .first(c)
        .optional())?)
}

/// Decisions by whole hour of agents, from `from` until before `to`.
pub(crate) fn hours(
    db: &mut Db,
    ids: &[(OrganizationId, AgentId)],
    from: Timestamp,
    to: Timestamp,
) -> Result<Hours> {
    let (organizations, agents_wanted) = apart(ids);
    type Row = (OrganizationId, AgentId, Timestamp, i64, i64, i64);
    let rows: Vec<Row> = each!(db, c => agent_activity::table
        .filter(agent_activity::org_id.eq_any(&organizations))
        .filter(agent_activity::agent_id.eq_any(&agents_wanted))
        .filter(agent_activity::hour.ge(from))
        .filter(agent_activity::hour.lt(to))
        .select((
            agent_activity::org_id,
            agent_activity::agent_id,
            agent_activity::hour,
            agent_activity::approved,
            agent_activity::denied,
            agent_activity::pending,
        ))
        .load(c))?;
    let mut hours = Hours::new();
    for (organization, agent, hour, approved, denied, pending) in rows {
        hours
            .entry((organization, agent))
            .or_default()
            .push((hour, approved + denied + pending));
    }
    Ok(hours)
}

fn apart(ids: &[(OrganizationId, AgentId)]) -> (Vec<OrganizationId>, Vec<AgentId>) {
    let mut organizations: Vec<OrganizationId> = ids.iter().map(|(organization, _)| *organization).collect();
    organizations.sort_unstable();
    organizations.dedup();
    (organizations, ids.iter().map(|(_, agent)| *agent).collect())
}

/// Keeps the use of a network.
pub(crate) fn keep_source(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    network: &str,
    at: Timestamp,
) -> Result<()> {
    each!(db, c => diesel::insert_into(threat_sources::table)
        .values((
            threat_sources::org_id.eq(organization),
            threat_sources::agent_id.eq(agent),
            threat_sources::network.eq(network),
            threat_sources::first_seen_at.eq(at),
            threat_sources::last_seen_at.eq(at),
        ))
        .on_conflict((threat_sources::org_id, threat_sources::agent_id, threat_sources::network))
        .do_update()
        .set(threat_sources::last_seen_at.eq(at))
        .execute(c))?;
    Ok(())
}

/// Forgets networks that were not used since `before`.
pub(crate) fn forget_sources(db: &mut Db, before: Timestamp) -> Result<usize> {
    Ok(
        each!(db, c => diesel::delete(threat_sources::table.filter(threat_sources::last_seen_at.lt(before)))
        .execute(c))?,
    )
}

// --- findings ---

/// The latest finding about the same thing.
pub(crate) fn latest(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    detector: &str,
    subject: &str,
) -> Result<Option<FindingRow>> {
    Ok(each!(db, c => {
        let query = threat_findings::table
            .filter(threat_findings::org_id.eq(organization))
            .filter(threat_findings::detector.eq(detector))
            .filter(threat_findings::subject.eq(subject))
            .order(threat_findings::id.desc())
            .select(FindingRow::as_select())
            .into_boxed();
        match agent {
            Some(agent) => query.filter(threat_findings::agent_id.eq(Some(agent))).first(c).optional(),
            None => query.filter(threat_findings::agent_id.is_null()).first(c).optional(),
        }
    })?)
}

/// Adds a finding.
pub(crate) fn insert(db: &mut Db, row: &FindingRow) -> Result<()> {
    each!(db, c => diesel::insert_into(threat_findings::table).values(row).execute(c))?;
    Ok(())
}

/// Stores what repeats and reviews change.
pub(crate) fn save(db: &mut Db, row: &FindingRow) -> Result<()> {
    each!(db, c => diesel::update(threat_findings::table.find((row.org_id, row.id)))
        .set((
            threat_findings::severity.eq(&row.severity),
            threat_findings::status.eq(&row.status),
            threat_findings::response.eq(&row.response),
            threat_findings::evidence.eq(&row.evidence),
            threat_findings::count.eq(row.count),
            threat_findings::last_seen_at.eq(row.last_seen_at),
            threat_findings::quiet_until.eq(row.quiet_until),
            threat_findings::reviewed_by.eq(&row.reviewed_by),
            threat_findings::reviewed_at.eq(row.reviewed_at),
            threat_findings::review_note.eq(&row.review_note),
        ))
        .execute(c))?;
    Ok(())
}

/// One finding; locked on PostgreSQL when it is about to change.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    id: FindingId,
    locked: bool,
) -> Result<Option<FindingRow>> {
    if let Db::Pg(c) = db
        && locked
    {
        return Ok(threat_findings::table
            .find((organization, id))
            .select(FindingRow::as_select())
            .for_update()
            .get_result(&mut **c)
            .optional()?);
    }
    Ok(each!(db, c => threat_findings::table
        .find((organization, id))
        .select(FindingRow::as_select())
        .get_result(c)
        .optional())?)
}

/// A page of findings with one more, newest first.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &FindingFilter,
) -> Result<Vec<FindingRow>> {
    Ok(each!(db, c => {
        let mut query = threat_findings::table
            .filter(threat_findings::org_id.eq(organization))
            .order(threat_findings::id.desc())
            .limit(filter.page.fetch())
            .select(FindingRow::as_select())
            .into_boxed();
        if let Some(status) = filter.status { query = query.filter(threat_findings::status.eq(status.as_str())); }
        if let Some(severity) = filter.severity { query = query.filter(threat_findings::severity.eq(severity.as_str())); }
        if let Some(detector) = filter.detector { query = query.filter(threat_findings::detector.eq(detector.as_str())); }
        if let Some(agent) = filter.agent { query = query.filter(threat_findings::agent_id.eq(Some(agent))); }
        if let Some(from) = filter.from { query = query.filter(threat_findings::first_seen_at.ge(from)); }
        if let Some(to) = filter.to { query = query.filter(threat_findings::first_seen_at.lt(to)); }
        if let Some(cursor) = filter.page.cursor { query = query.filter(threat_findings::id.lt(FindingId::from_uuid(cursor.0))); }
        query.load(c)
    })?)
}

// --- what findings lead to ---

/// What the detectors of these organisations lead to, where that was set.
pub(crate) fn policies(db: &mut Db, organizations: &[OrganizationId]) -> Result<Vec<PolicyRow>> {
    Ok(each!(db, c => threat_policies::table
        .filter(threat_policies::org_id.eq_any(organizations))
        .order((threat_policies::org_id, threat_policies::detector))
        .select(PolicyRow::as_select())
        .load(c))?)
}

/// Sets what a detector leads to.
pub(crate) fn put_policy(db: &mut Db, row: &PolicyRow) -> Result<()> {
    each!(db, c => diesel::insert_into(threat_policies::table)
        .values(row)
        .on_conflict((threat_policies::org_id, threat_policies::detector))
        .do_update()
        .set((
            threat_policies::response.eq(&row.response),
            threat_policies::updated_by.eq(&row.updated_by),
            threat_policies::updated_at.eq(row.updated_at),
        ))
        .execute(c))?;
    Ok(())
}

/// The honeytokens of these organisations.
pub(crate) fn honeytokens(db: &mut Db, organizations: &[OrganizationId]) -> Result<Vec<HoneytokenRow>> {
    Ok(each!(db, c => threat_honeytokens::table
        .filter(threat_honeytokens::org_id.eq_any(organizations))
        .order((threat_honeytokens::org_id, threat_honeytokens::capability))
        .select(HoneytokenRow::as_select())
        .load(c))?)
}

/// Adds a honeytoken, or changes its note.
pub(crate) fn put_honeytoken(db: &mut Db, row: &HoneytokenRow) -> Result<()> {
    each!(db, c => diesel::insert_into(threat_honeytokens::table)
        .values(row)
        .on_conflict((threat_honeytokens::org_id, threat_honeytokens::capability))
        .do_update()
        .set(threat_honeytokens::note.eq(&row.note))
        .execute(c))?;
    Ok(())
}

/// Removes a honeytoken.
pub(crate) fn remove_honeytoken(db: &mut Db, organization: OrganizationId, capability: &str) -> Result<()> {
    each!(db, c => diesel::delete(threat_honeytokens::table.find((organization, capability))).execute(c))?;
    Ok(())
}

/// Suspends the agent if it is active. `false`: there was nothing to suspend.
pub(crate) fn suspend(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    now: Timestamp,
) -> Result<bool> {
    let changed = each!(db, c => diesel::update(agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq(agent))
            .filter(agents::status.eq("active"))
            .filter(agents::deleted_at.is_null()))
        .set((
            agents::status.eq("suspended"),
            agents::epoch.eq(agents::epoch + 1),
            agents::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(changed == 1)
}

/// Tells every node that what counts for the agent changed. `false`: it is not there.
pub(crate) fn bump_epoch(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let changed = each!(db, c => diesel::update(agents::table.find((organization, agent)))
        .set(agents::epoch.eq(agents::epoch + 1))
        .execute(c))?;
    Ok(changed == 1)
}

/// A restriction of one agent.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = agent_restrictions)]
pub(crate) struct RestrictionRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: Id<RestrictionKind>,
    pub(crate) agent_id: AgentId,
    pub(crate) reason: String,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Marks the ids of restrictions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RestrictionKind {}

/// Adds a restriction.
pub(crate) fn restrict(db: &mut Db, row: &RestrictionRow) -> Result<()> {
    each!(db, c => diesel::insert_into(agent_restrictions::table).values(row).execute(c))?;
    Ok(())
}

/// The restrictions of an agent that `created_by` made.
pub(crate) fn restrictions(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    created_by: &str,
) -> Result<Vec<RestrictionRow>> {
    Ok(each!(db, c => agent_restrictions::table
        .filter(agent_restrictions::org_id.eq(organization))
        .filter(agent_restrictions::agent_id.eq(agent))
        .filter(agent_restrictions::created_by.eq(created_by))
        .select(RestrictionRow::as_select())
        .load(c))?)
}

/// The restrictions of all tenants that have expired.
pub(crate) fn expired_restrictions(db: &mut Db, now: Timestamp, limit: i64) -> Result<Vec<RestrictionRow>> {
    Ok(each!(db, c => agent_restrictions::table
        .filter(agent_restrictions::expires_at.le(now))
        .order(agent_restrictions::expires_at)
        .limit(limit)
        .select(RestrictionRow::as_select())
        .load(c))?)
}

/// Lifts a restriction. `false`: somebody else did.
pub(crate) fn lift(db: &mut Db, row: &RestrictionRow) -> Result<bool> {
    let gone =
        each!(db, c => diesel::delete(agent_restrictions::table.find((row.org_id, row.id))).execute(c))?;
    Ok(gone == 1)
}

/// Moves the end of a restriction.
pub(crate) fn prolong(db: &mut Db, row: &RestrictionRow, until: Timestamp) -> Result<()> {
    each!(db, c => diesel::update(agent_restrictions::table.find((row.org_id, row.id)))
        .set(agent_restrictions::expires_at.eq(until))
        .execute(c))?;
    Ok(())
}
