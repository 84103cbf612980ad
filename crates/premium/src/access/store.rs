//! Queries of the access audit. No rules here; every one names the tenant, but for those that the follower makes over all
//! of them.

use std::collections::{HashMap, HashSet};

use aim_core::{AgentId, DecisionId, GrantId, Id, Json, OrganizationId, Timestamp};
use aim_store::{
    Cached, Db, Result, each, fixed,
    schema::{decisions, grants},
};
use aim_threats::{schema::threat_findings, store::FindingRow};
use diesel::{
    AggregateExpressionMethods, BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, JoinOnDsl,
    NullableExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
    TextExpressionMethods,
    dsl::{count, max, min, sql},
    sql_types::{BigInt, Bool},
    upsert::excluded,
};
use uuid::Uuid;

use super::model::{AccessId, PairView};
use crate::{
    schema::{
        vault_access_hours, vault_access_pairs, vault_access_settings, vault_accesses, vault_honeytokens,
        vault_secrets, vault_versions,
    },
    vault::model::VersionState,
};

/// An access, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_accesses, treat_none_as_default_value = false)]
pub(super) struct AccessRow {
    pub(super) org_id: OrganizationId,
    pub(super) id: AccessId,
    pub(super) decision_id: Option<DecisionId>,
    pub(super) path: String,
    pub(super) agent_id: Option<AgentId>,
    pub(super) actor: String,
    pub(super) at: Timestamp,
    pub(super) outcome: String,
    pub(super) version: Option<i64>,
    pub(super) delivery: Option<String>,
    pub(super) decided_by: Option<String>,
    pub(super) reasons: Json,
    pub(super) source_ip: Option<String>,
    pub(super) leaf_index: i64,
}

/// A secret and an agent.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_access_pairs, treat_none_as_default_value = false)]
pub(super) struct PairRow {
    pub(super) org_id: OrganizationId,
    pub(super) path: String,
    pub(super) agent_id: AgentId,
    pub(super) approved: i64,
    pub(super) denied: i64,
    pub(super) first_read_at: Option<Timestamp>,
    pub(super) last_read_at: Option<Timestamp>,
    pub(super) last_denied_at: Option<Timestamp>,
    pub(super) hours_seen: i64,
    /// The last hour in which it was asked for, whose counts are not in the table of hours yet.
    pub(super) hour: Option<Timestamp>,
    pub(super) hour_approved: i64,
    pub(super) hour_denied: i64,
    pub(super) hour_pending: i64,
}

/// An hour of the two.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_access_hours)]
pub(super) struct HourRow {
    pub(super) org_id: OrganizationId,
    pub(super) path: String,
    pub(super) agent_id: AgentId,
    pub(super) hour: Timestamp,
    pub(super) approved: i64,
    pub(super) denied: i64,
    pub(super) pending: i64,
}

impl PairRow {
    /// The counts of its last hour.
    pub(super) fn last_hour(&self) -> Option<HourRow> {
        Some(HourRow {
            org_id: self.org_id,
            path: self.path.clone(),
            agent_id: self.agent_id,
            hour: self.hour?,
            approved: self.hour_approved,
            denied: self.hour_denied,
            pending: self.hour_pending,
        })
    }
}

/// A path that nobody has a reason to read.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_honeytokens)]
pub(super) struct HoneytokenRow {
    pub(super) org_id: OrganizationId,
    pub(super) path: String,
    pub(super) shape: String,
    pub(super) note: String,
    pub(super) created_by: String,
    pub(super) created_at: Timestamp,
}

/// An organisation's thresholds.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_access_settings)]
pub(super) struct SettingsRow {
    pub(super) org_id: OrganizationId,
    pub(super) settings: Json,
    pub(super) updated_by: String,
    pub(super) updated_at: Timestamp,
}

/// The least id of a row made at `moment` (RFC 9562 §5.7): rows made before have lesser ones.
pub(crate) fn first_id(moment: Timestamp) -> Uuid {
    let millisecond = u64::try_from(moment.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(u128::from(millisecond) << 80)
}

/// The end of the paths that begin with `prefix`: paths are of ASCII.
pub(super) fn after_prefix(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

// --- what the follower reads ---

/// What a decision's row says of a read.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = decisions)]
pub(super) struct DecisionPart {
    pub(super) id: DecisionId,
    pub(super) resource: Option<String>,
    pub(super) decider: Option<String>,
    pub(super) source_ip: Option<String>,
    pub(super) inputs: String,
}

pub(super) fn decisions_of(
    db: &mut Db,
    organizations: &[OrganizationId],
    ids: &[DecisionId],
) -> Result<HashMap<DecisionId, DecisionPart>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<DecisionPart> = each!(db, c => decisions::table
        .filter(decisions::org_id.eq_any(organizations))
        .filter(decisions::id.eq_any(ids))
        .select(DecisionPart::as_select())
        .load(c))?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// A secret that is there.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = vault_secrets)]
pub(super) struct KnownSecret {
    pub(super) org_id: OrganizationId,
    pub(super) id: crate::vault::model::SecretId,
    pub(super) path: String,
    pub(super) current_version: i64,
    pub(super) updated_at: Timestamp,
}

pub(super) fn secrets_at(
    db: &mut Db,
    organizations: &[OrganizationId],
    paths: &[String],
) -> Result<HashMap<(OrganizationId, String), KnownSecret>> {
    if paths.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<KnownSecret> = each!(db, c => vault_secrets::table
        .filter(vault_secrets::org_id.eq_any(organizations))
        .filter(vault_secrets::path.eq_any(paths))
        .select(KnownSecret::as_select())
        .load(c))?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.org_id, row.path.clone()), row))
        .collect())
}

/// The newest version that there was at a moment, among those that are kept.
pub(super) fn version_at(db: &mut Db, secret: &KnownSecret, at: Timestamp) -> Result<Option<i64>> {
    Ok(each!(db, c => vault_versions::table
        .filter(vault_versions::org_id.eq(secret.org_id))
        .filter(vault_versions::secret_id.eq(secret.id))
        .filter(vault_versions::created_at.le(at))
        .select(max(vault_versions::version))
        .get_result(c))?)
}

pub(super) fn pair(
    db: &mut Db,
    organization: OrganizationId,
    path: &str,
    agent: AgentId,
) -> Result<Option<PairRow>> {
    Ok(each!(db, c => fixed!(vault_access_pairs::table
        .find((organization, path, agent))
        .select(PairRow::as_select()))
        .get_result(c)
        .optional())?)
}

/// The reads by hour, from `from` until before `to`.
pub(super) fn reads_by_hour(
    db: &mut Db,
    organization: OrganizationId,
    path: &str,
    agent: AgentId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Timestamp, i64)>> {
    Ok(each!(db, c => vault_access_hours::table
        .filter(vault_access_hours::org_id.eq(organization))
        .filter(vault_access_hours::path.eq(path))
        .filter(vault_access_hours::agent_id.eq(agent))
        .filter(vault_access_hours::hour.ge(from))
        .filter(vault_access_hours::hour.lt(to))
        .select((vault_access_hours::hour, vault_access_hours::approved))
        .load(c))?)
}

/// How many agents read a secret, and since when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readers {
    pub(super) agents: i64,
    pub(super) since: Option<Timestamp>,
}

/// Who read these secrets. Those that nobody ever asked for are not among them: they have no pairs at all.
pub(super) fn readers_of(
    db: &mut Db,
    organizations: &[OrganizationId],
    paths: &[String],
) -> Result<HashMap<(OrganizationId, String), Readers>> {
    if paths.is_empty() {
        return Ok(HashMap::new());
    }
    let is_agent = vault_access_pairs::agent_id.ne(super::model::PEOPLE);
    let rows: Vec<(OrganizationId, String, i64, Option<Timestamp>)> = each!(db, c => vault_access_pairs::table
        .filter(vault_access_pairs::org_id.eq_any(organizations))
        .filter(vault_access_pairs::path.eq_any(paths))
        .group_by((vault_access_pairs::org_id, vault_access_pairs::path))
        .select((
            vault_access_pairs::org_id,
            vault_access_pairs::path,
            count(vault_access_pairs::agent_id).aggregate_filter(is_agent.and(vault_access_pairs::approved.gt(0))),
            min(vault_access_pairs::first_read_at).aggregate_filter(is_agent),
        ))
        .load(c))?;
    Ok(rows
        .into_iter()
        .map(|(organization, path, agents, since)| ((organization, path), Readers { agents, since }))
        .collect())
}

/// When a grant was given.
pub(super) fn granted_at(
    db: &mut Db,
    organization: OrganizationId,
    grant: GrantId,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => grants::table
        .find((organization, grant))
        .select(grants::granted_at)
        .get_result(c)
        .optional())?)
}

/// The latest denials of an agent since a moment, before a record.
pub(super) fn denials(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    since: Timestamp,
    before: i64,
) -> Result<Vec<(Timestamp, i64, Json)>> {
    Ok(each!(db, c => vault_accesses::table
        .filter(vault_accesses::org_id.eq(organization))
        .filter(vault_accesses::agent_id.eq(Some(agent)))
        .filter(vault_accesses::id.ge(AccessId::from_uuid(first_id(since))))
        // Their index has these alone, which SQLite must be told in the statement's text.
        .filter(sql::<Bool>("vault_accesses.outcome = 'denied'"))
        .filter(vault_accesses::leaf_index.lt(before))
        .order(vault_accesses::id.desc())
        .limit(100)
        .select((vault_accesses::at, vault_accesses::leaf_index, vault_accesses::reasons))
        .load(c))?)
}

pub(super) fn honeytokens(db: &mut Db, organizations: &[OrganizationId]) -> Result<Vec<HoneytokenRow>> {
    Ok(each!(db, c => vault_honeytokens::table
        .filter(vault_honeytokens::org_id.eq_any(organizations))
        .order((vault_honeytokens::org_id, vault_honeytokens::path))
        .select(HoneytokenRow::as_select())
        .load(c))?)
}

pub(super) fn settings(db: &mut Db, organizations: &[OrganizationId]) -> Result<Vec<SettingsRow>> {
    Ok(each!(db, c => vault_access_settings::table
        .filter(vault_access_settings::org_id.eq_any(organizations))
        .select(SettingsRow::as_select())
        .load(c))?)
}

// --- what the follower writes ---

/// The most rows of one statement on PostgreSQL.
const ROWS_PER_STATEMENT: usize = 1_000;

macro_rules! new_accesses {
    ($rows:expr) => {
        diesel::insert_into(vault_accesses::table)
            .values($rows)
            .on_conflict((vault_accesses::org_id, vault_accesses::id))
            .do_nothing()
    };
}

/// Adds accesses; those that are there already stay as they are.
pub(super) fn add_accesses(db: &mut Db, rows: &[AccessRow]) -> Result<()> {
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                new_accesses!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in rows {
                fixed!(new_accesses!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

/// Nothing was handed over for this decision in the end, at once or when the approval was taken up.
pub(super) fn set_undelivered(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    decision: DecisionId,
) -> Result<()> {
    let nothing = (
        vault_accesses::delivery.eq(Some("nothing")),
        vault_accesses::version.eq(None::<i64>),
    );
    let at_once = vault_accesses::table
        .find((organization, AccessId::from_uuid(decision.uuid())))
        .filter(vault_accesses::agent_id.eq(Some(agent)))
        .filter(vault_accesses::outcome.eq("approved"));
    let later = vault_accesses::table
        .filter(vault_accesses::org_id.eq(organization))
        .filter(vault_accesses::decision_id.eq(Some(decision)))
        // Their index has these alone.
        .filter(sql::<Bool>("vault_accesses.decision_id <> vault_accesses.id"))
        .filter(vault_accesses::agent_id.eq(Some(agent)))
        .filter(vault_accesses::outcome.eq("approved"));
    each!(db, c => {
        Cached(diesel::update(at_once).set(nothing)).run(c)?;
        Cached(diesel::update(later).set(nothing)).run(c)?;
    });
    Ok(())
}

macro_rules! put_pairs {
    ($rows:expr) => {
        diesel::insert_into(vault_access_pairs::table)
            .values($rows)
            .on_conflict((
                vault_access_pairs::org_id,
                vault_access_pairs::path,
                vault_access_pairs::agent_id,
            ))
            .do_update()
            .set((
                vault_access_pairs::approved.eq(excluded(vault_access_pairs::approved)),
                vault_access_pairs::denied.eq(excluded(vault_access_pairs::denied)),
                vault_access_pairs::first_read_at.eq(excluded(vault_access_pairs::first_read_at)),
                vault_access_pairs::last_read_at.eq(excluded(vault_access_pairs::last_read_at)),
                vault_access_pairs::last_denied_at.eq(excluded(vault_access_pairs::last_denied_at)),
                vault_access_pairs::hours_seen.eq(excluded(vault_access_pairs::hours_seen)),
                vault_access_pairs::hour.eq(excluded(vault_access_pairs::hour)),
                vault_access_pairs::hour_approved.eq(excluded(vault_access_pairs::hour_approved)),
                vault_access_pairs::hour_denied.eq(excluded(vault_access_pairs::hour_denied)),
                vault_access_pairs::hour_pending.eq(excluded(vault_access_pairs::hour_pending)),
            ))
    };
}

/// Writes pairs as they are now.
pub(super) fn save_pairs(db: &mut Db, rows: &[PairRow]) -> Result<()> {
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                put_pairs!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in rows {
                fixed!(put_pairs!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

macro_rules! adding_hours {
    ($rows:expr) => {
        diesel::insert_into(vault_access_hours::table)
            .values($rows)
            .on_conflict((
                vault_access_hours::org_id,
                vault_access_hours::path,
                vault_access_hours::agent_id,
                vault_access_hours::hour,
            ))
            .do_update()
            .set((
                vault_access_hours::approved
                    .eq(vault_access_hours::approved + excluded(vault_access_hours::approved)),
                vault_access_hours::denied
                    .eq(vault_access_hours::denied + excluded(vault_access_hours::denied)),
                vault_access_hours::pending
                    .eq(vault_access_hours::pending + excluded(vault_access_hours::pending)),
            ))
    };
}

/// Adds counts to their hours. Each hour stands once in `rows`.
pub(super) fn add_hours(db: &mut Db, rows: &[HourRow]) -> Result<()> {
    match db {
        Db::Pg(c) => {
            for part in rows.chunks(ROWS_PER_STATEMENT) {
                adding_hours!(part).execute(&mut **c)?;
            }
        }
        Db::Sqlite(c) => {
            for row in rows {
                fixed!(adding_hours!(row)).run(&mut **c)?;
            }
        }
    }
    Ok(())
}

// --- what people read ---

/// What one hour has, of all agents that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, diesel::Queryable)]
pub(super) struct HourCounts {
    pub(super) hour: Timestamp,
    pub(super) approved: i64,
    pub(super) denied: i64,
    pub(super) pending: i64,
}

/// The hours of a secret, an agent, both, or all, from `from` until before `to`. The hour in which a pair was last asked for is
/// in its own row, so that one hour may come twice: the caller adds up.
pub(super) fn hours(
    db: &mut Db,
    organization: OrganizationId,
    (path, agent): (Option<&str>, Option<AgentId>),
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<HourCounts>> {
    // A secret has a row for each agent and hour. Diesel has no type for the sum of a bigint that both databases give back as one.
    let sum = |column: &str| sql::<BigInt>(&format!("CAST(SUM({column}) AS BIGINT)"));
    let mut hours: Vec<HourCounts> = each!(db, c => {
        let mut query = vault_access_hours::table
            .filter(vault_access_hours::org_id.eq(organization))
            .filter(vault_access_hours::hour.ge(from))
            .filter(vault_access_hours::hour.lt(to))
            .group_by(vault_access_hours::hour)
            .select((vault_access_hours::hour, sum("approved"), sum("denied"), sum("pending")))
            .into_boxed();
        query = query.filter(vault_access_hours::path.eq(path.unwrap_or(super::model::ALL)));
        if let Some(agent) = agent.or_else(|| path.is_none().then_some(super::model::PEOPLE)) {
            query = query.filter(vault_access_hours::agent_id.eq(agent));
        }
        query.load(c)
    })?;
    let Some(path) = path else {
        return Ok(hours);
    };
    let present: Vec<HourCounts> = each!(db, c => {
        let mut query = vault_access_pairs::table
            .filter(vault_access_pairs::org_id.eq(organization))
            .filter(vault_access_pairs::path.eq(path))
            .filter(vault_access_pairs::hour.ge(Some(from)))
            .filter(vault_access_pairs::hour.lt(Some(to)))
            .group_by(vault_access_pairs::hour)
            .select((
                vault_access_pairs::hour.assume_not_null(),
                sum("hour_approved"),
                sum("hour_denied"),
                sum("hour_pending"),
            ))
            .into_boxed();
        if let Some(agent) = agent { query = query.filter(vault_access_pairs::agent_id.eq(agent)); }
        query.load(c)
    })?;
    hours.extend(present);
    Ok(hours)
}

/// The pairs of a secret, an agent, or both, the latest read first.
pub(super) fn pairs(
    db: &mut Db,
    organization: OrganizationId,
    (path, agent): (Option<&str>, Option<AgentId>),
    limit: i64,
) -> Result<Vec<PairRow>> {
    Ok(each!(db, c => {
        let mut query = vault_access_pairs::table
            .filter(vault_access_pairs::org_id.eq(organization))
            // What was never read comes last on both databases.
            .order((vault_access_pairs::last_read_at.is_null(), vault_access_pairs::last_read_at.desc(), vault_access_pairs::path))
            .limit(limit)
            .select(PairRow::as_select())
            .into_boxed();
        if let Some(path) = path { query = query.filter(vault_access_pairs::path.eq(path)); }
        if let Some(agent) = agent { query = query.filter(vault_access_pairs::agent_id.eq(agent)); }
        query.load(c)
    })?)
}

impl From<PairRow> for PairView {
    fn from(row: PairRow) -> Self {
        Self {
            path: row.path,
            agent_id: Some(row.agent_id).filter(|agent| *agent != super::model::PEOPLE),
            approved: row.approved,
            denied: row.denied,
            first_read_at: row.first_read_at,
            last_read_at: row.last_read_at,
            last_denied_at: row.last_denied_at,
        }
    }
}

/// A secret as the search for unused ones looks at it.
pub(super) type Candidate = (
    Id<crate::vault::model::SecretIdKind>,
    String,
    Option<String>,
    Timestamp,
);

/// Secrets that an agent could be given at `now`, by their paths, after one of them.
pub(super) fn candidates(
    db: &mut Db,
    organization: OrganizationId,
    after: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Candidate>> {
    let newest = vault_versions::org_id
        .eq(vault_secrets::org_id)
        .and(vault_versions::secret_id.eq(vault_secrets::id))
        .and(vault_versions::version.eq(vault_secrets::current_version));
    Ok(each!(db, c => vault_secrets::table
        .inner_join(vault_versions::table.on(newest))
        .filter(vault_secrets::org_id.eq(organization))
        .filter(vault_secrets::path.gt(after))
        .filter(vault_secrets::expires_at.is_null().or(vault_secrets::expires_at.gt(Some(now))))
        .filter(vault_versions::state.eq(VersionState::Active.as_str()))
        .order(vault_secrets::path)
        .limit(limit)
        .select((vault_secrets::id, vault_secrets::path, vault_secrets::owner, vault_secrets::created_at))
        .load(c))?)
}

/// The secrets after `after` up to `last` that were read since a moment.
pub(super) fn used_since(
    db: &mut Db,
    organization: OrganizationId,
    (after, last): (&str, &str),
    since: Timestamp,
) -> Result<HashSet<String>> {
    let paths: Vec<String> = each!(db, c => vault_access_pairs::table
        .filter(vault_access_pairs::org_id.eq(organization))
        .filter(vault_access_pairs::path.gt(after))
        .filter(vault_access_pairs::path.le(last))
        .filter(vault_access_pairs::last_read_at.ge(Some(since)))
        .select(vault_access_pairs::path)
        .distinct()
        .load(c))?;
    Ok(paths.into_iter().collect())
}

/// The last reads of these secrets, whoever it was.
pub(super) fn last_reads(
    db: &mut Db,
    organization: OrganizationId,
    paths: &[String],
) -> Result<HashMap<String, Timestamp>> {
    let rows: Vec<(String, Option<Timestamp>)> = each!(db, c => vault_access_pairs::table
        .filter(vault_access_pairs::org_id.eq(organization))
        .filter(vault_access_pairs::path.eq_any(paths))
        .group_by(vault_access_pairs::path)
        .select((vault_access_pairs::path, max(vault_access_pairs::last_read_at)))
        .load(c))?;
    Ok(rows
        .into_iter()
        .filter_map(|(path, at)| Some((path, at?)))
        .collect())
}

/// The path of a secret.
pub(super) fn path_of(
    db: &mut Db,
    organization: OrganizationId,
    secret: crate::vault::model::SecretId,
) -> Result<Option<String>> {
    Ok(each!(db, c => vault_secrets::table
        .find((organization, secret))
        .select(vault_secrets::path)
        .get_result(c)
        .optional())?)
}

/// An allowing grant as the search for broad ones looks at it.
pub(super) type GrantPart = (GrantId, AgentId, String, Json, Timestamp);

/// Grants that allow something now, after one of them.
pub(super) fn grants_now(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    now: Timestamp,
    after: Option<GrantId>,
    limit: i64,
) -> Result<Vec<GrantPart>> {
    Ok(each!(db, c => {
        let mut query = grants::table
            .filter(grants::org_id.eq(organization))
            .filter(grants::revoked_at.is_null())
            .filter(grants::expires_at.is_null().or(grants::expires_at.gt(Some(now))))
            .filter(grants::effect.ne("deny"))
            .order(grants::id)
            .limit(limit)
            .select((grants::id, grants::agent_id, grants::capability, grants::scope, grants::granted_at))
            .into_boxed();
        if let Some(agent) = agent { query = query.filter(grants::agent_id.eq(agent)); }
        if let Some(after) = after { query = query.filter(grants::id.gt(after)); }
        query.load(c)
    })?)
}

/// The paths that begin with `prefix`.
pub(super) fn paths_below(
    db: &mut Db,
    organization: OrganizationId,
    prefix: &str,
    limit: i64,
) -> Result<Vec<String>> {
    Ok(each!(db, c => vault_secrets::table
        .filter(vault_secrets::org_id.eq(organization))
        .filter(vault_secrets::path.ge(prefix))
        .filter(vault_secrets::path.lt(after_prefix(prefix)))
        .order(vault_secrets::path)
        .limit(limit)
        .select(vault_secrets::path)
        .load(c))?)
}

/// The paths that begin with `prefix` and that an agent read since a moment.
pub(super) fn read_since(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    since: Timestamp,
    prefix: &str,
    limit: i64,
) -> Result<Vec<String>> {
    Ok(each!(db, c => vault_access_pairs::table
        .filter(vault_access_pairs::org_id.eq(organization))
        .filter(vault_access_pairs::agent_id.eq(agent))
        .filter(vault_access_pairs::path.ge(prefix))
        .filter(vault_access_pairs::path.lt(after_prefix(prefix)))
        .filter(vault_access_pairs::last_read_at.ge(Some(since)))
        .order(vault_access_pairs::path)
        .limit(limit)
        .select(vault_access_pairs::path)
        .load(c))?)
}

// --- settings and honeytokens ---

pub(super) fn put_settings(db: &mut Db, row: &SettingsRow) -> Result<()> {
    each!(db, c => diesel::insert_into(vault_access_settings::table)
        .values(row)
        .on_conflict(vault_access_settings::org_id)
        .do_update()
        .set((
            vault_access_settings::settings.eq(excluded(vault_access_settings::settings)),
            vault_access_settings::updated_by.eq(excluded(vault_access_settings::updated_by)),
            vault_access_settings::updated_at.eq(excluded(vault_access_settings::updated_at)),
        ))
        .execute(c))?;
    Ok(())
}

/// Marks a path; whether it was not marked before.
pub(super) fn mark(db: &mut Db, row: &HoneytokenRow) -> Result<bool> {
    let added = each!(db, c => diesel::insert_into(vault_honeytokens::table)
        .values(row)
        .on_conflict((vault_honeytokens::org_id, vault_honeytokens::path))
        .do_nothing()
        .execute(c))?;
    Ok(added > 0)
}

/// Takes a mark away; whether there was one.
pub(super) fn unmark(db: &mut Db, organization: OrganizationId, path: &str) -> Result<bool> {
    let removed =
        each!(db, c => diesel::delete(vault_honeytokens::table.find((organization, path))).execute(c))?;
    Ok(removed > 0)
}

pub(super) fn is_marked(db: &mut Db, organization: OrganizationId, path: &str) -> Result<bool> {
    let found: Option<String> = each!(db, c => vault_honeytokens::table
        .find((organization, path))
        .select(vault_honeytokens::path)
        .get_result(c)
        .optional())?;
    Ok(found.is_some())
}

pub(super) fn count_marks(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => vault_honeytokens::table
        .filter(vault_honeytokens::org_id.eq(organization))
        .count()
        .get_result(c))?)
}

/// What the detectors of this module found, about a secret or an agent if one is named; the latest first.
pub(super) fn findings(
    db: &mut Db,
    organization: OrganizationId,
    path: Option<&str>,
    agent: Option<AgentId>,
    limit: i64,
) -> Result<Vec<FindingRow>> {
    let names: Vec<&str> = super::DETECTORS.iter().map(|detector| detector.name).collect();
    Ok(each!(db, c => {
        let mut query = threat_findings::table
            .filter(threat_findings::org_id.eq(organization))
            .filter(threat_findings::detector.eq_any(names))
            .order(threat_findings::id.desc())
            .limit(limit)
            .select(FindingRow::as_select())
            .into_boxed();
        if let Some(path) = path {
            // The path alone, or with more behind it: see `detect::subject`. Of what LIKE knows a path can have only `_`.
            let and_more = format!("{} %", path.replace('_', "\\_"));
            query = query.filter(
                threat_findings::subject.eq(path).or(threat_findings::subject.like(and_more).escape('\\')),
            );
        }
        if let Some(agent) = agent { query = query.filter(threat_findings::agent_id.eq(Some(agent))); }
        query.load(c)
    })?)
}
