//! Queries on namespaces and on the reads of an agent. No rules here; every one names the tenant.

use aim_core::{AgentId, DecisionId, Error as CoreError, Json, OrganizationId, Timestamp};
use aim_key_vault::store::by_fingerprint;
use aim_store::{
    Db, Result, ResultExt, each,
    schema::{agents, audit_log, decisions, followers},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::NamespaceId;
use crate::{
    access::{lists, store::first_id},
    schema::{sdk_namespaces, vault_secrets},
    vault::reads::READ_ACTION,
};

/// A namespace, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = sdk_namespaces)]
pub(super) struct NamespaceRow {
    pub(super) org_id: OrganizationId,
    pub(super) id: NamespaceId,
    pub(super) agent_id: AgentId,
    pub(super) namespace: String,
    pub(super) operations: Json,
    pub(super) url_patterns: Json,
    pub(super) created_by: String,
    pub(super) created_at: Timestamp,
}

/// A decision on a read.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = decisions)]
pub(super) struct ResolveRow {
    pub(super) id: DecisionId,
    pub(super) agent_id: AgentId,
    pub(super) created_at: Timestamp,
    pub(super) action: String,
    pub(super) resource: Option<String>,
    pub(super) status: String,
    pub(super) scheme: String,
    pub(super) leaf_index: i64,
}

/// Whether the organisation has that agent.
pub(super) fn has_agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let found: Option<String> = each!(db, c => agents::table
        .find((organization, agent))
        .filter(agents::deleted_at.is_null())
        .select(agents::status)
        .get_result(c)
        .optional())?;
    Ok(found.is_some())
}

/// The agent's key of that name.
pub(super) fn key(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    fingerprint: &str,
) -> Result<Option<aim_crypto::keys::PublicKey>> {
    let row = by_fingerprint(db, fingerprint)?;
    let own = row.filter(|row| row.org_id == organization && row.agent_id == agent);
    own.map(|row| row.public_key()).transpose()
}

/// Adds a namespace.
pub(super) fn insert(db: &mut Db, row: &NamespaceRow) -> Result<()> {
    each!(db, c => diesel::insert_into(sdk_namespaces::table).values(row).execute(c)).on_unique(|| {
        CoreError::new(
            aim_core::Code::NameTaken,
            "the agent has a namespace of this name already",
        )
        .at("namespace")
    })?;
    Ok(())
}

/// How many namespaces the agent has.
pub(super) fn count(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<i64> {
    Ok(each!(db, c => sdk_namespaces::table
        .filter(sdk_namespaces::org_id.eq(organization))
        .filter(sdk_namespaces::agent_id.eq(agent))
        .count()
        .get_result(c))?)
}

/// A namespace by its id.
pub(super) fn find(
    db: &mut Db,
    organization: OrganizationId,
    id: NamespaceId,
) -> Result<Option<NamespaceRow>> {
    Ok(each!(db, c => sdk_namespaces::table
        .find((organization, id))
        .select(NamespaceRow::as_select())
        .get_result(c)
        .optional())?)
}

/// A namespace by its name.
pub(super) fn named(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    namespace: &str,
) -> Result<Option<NamespaceRow>> {
    Ok(each!(db, c => sdk_namespaces::table
        .filter(sdk_namespaces::org_id.eq(organization))
        .filter(sdk_namespaces::agent_id.eq(agent))
        .filter(sdk_namespaces::namespace.eq(namespace))
        .select(NamespaceRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Namespaces, the newest first, before the one that a cursor names.
pub(super) fn page(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    before: Option<NamespaceId>,
    limit: i64,
) -> Result<Vec<NamespaceRow>> {
    Ok(each!(db, c => {
        let mut query = sdk_namespaces::table
            .filter(sdk_namespaces::org_id.eq(organization))
            .order(sdk_namespaces::id.desc())
            .limit(limit)
            .select(NamespaceRow::as_select())
            .into_boxed();
        if let Some(agent) = agent {
            query = query.filter(sdk_namespaces::agent_id.eq(agent));
        }
        if let Some(before) = before {
            query = query.filter(sdk_namespaces::id.lt(before));
        }
        query.load(c)
    })?)
}

/// The newest version of each secret that is at one of these paths.
pub(super) fn versions(
    db: &mut Db,
    organization: OrganizationId,
    paths: &[String],
) -> Result<Vec<(String, i64)>> {
    Ok(each!(db, c => vault_secrets::table
        .filter(vault_secrets::org_id.eq(organization))
        .filter(vault_secrets::path.eq_any(paths))
        .select((vault_secrets::path, vault_secrets::current_version))
        .load(c))?)
}

/// Removes a namespace. `false`: there is none.
pub(super) fn remove(db: &mut Db, organization: OrganizationId, id: NamespaceId) -> Result<bool> {
    let count = each!(db, c => diesel::delete(
            sdk_namespaces::table
                .filter(sdk_namespaces::org_id.eq(organization))
                .filter(sdk_namespaces::id.eq(id)),
        )
        .execute(c))?;
    Ok(count == 1)
}

/// Reads of secrets since `since`, the newest first. No index of decisions knows their action: reads that the access audit has
/// listed are taken from its list, and only those after its place in the log are looked for among all decisions.
pub(super) fn reads(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    since: Timestamp,
    (limit, offset): (i64, i64),
) -> Result<Vec<ResolveRow>> {
    let unlisted_from = unlisted_from(db, organization)?;
    let mut reads = match unlisted_from {
        Some(from) => latest(db, organization, agent, (since, from), limit + offset)?,
        None => Vec::new(),
    };
    let found = i64::try_from(reads.len()).unwrap_or(i64::MAX);
    if found < limit + offset {
        let page = (limit.min(limit + offset - found), (offset - found).max(0));
        let ids = lists::decisions(db, organization, agent, (since, unlisted_from), page)?;
        reads.drain(..usize::try_from(offset.min(found)).unwrap_or_default());
        reads.extend(decided(db, organization, &ids)?);
    } else {
        reads.drain(..usize::try_from(offset).unwrap_or_default());
    }
    Ok(reads)
}

/// When the first record was made that the access audit has not read yet. `None`: it has read all of them.
fn unlisted_from(db: &mut Db, organization: OrganizationId) -> Result<Option<Timestamp>> {
    let next: Option<i64> = each!(db, c => followers::table
        .find(crate::access::follower::NAME)
        .select(followers::next_index)
        .get_result(c)
        .optional())?;
    Ok(each!(db, c => audit_log::table
        .filter(audit_log::org_id.eq(organization))
        .filter(audit_log::leaf_index.ge(next.unwrap_or_default()))
        .order(audit_log::leaf_index)
        .select(audit_log::created_at)
        .first(c)
        .optional())?)
}

/// Reads made at or after both moments, found among the decisions.
fn latest(
    db: &mut Db,
    organization: OrganizationId,
    agent: Option<AgentId>,
    (since, from): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<ResolveRow>> {
    let first = DecisionId::from_uuid(first_id(since.max(from)));
    Ok(each!(db, c => {
        let mut query = decisions::table
            .filter(decisions::org_id.eq(organization))
            .filter(decisions::id.ge(first))
            .filter(decisions::created_at.ge(since))
            .filter(decisions::action.eq(READ_ACTION))
            .order(decisions::id.desc())
            .limit(limit)
            .select(ResolveRow::as_select())
            .into_boxed();
        if let Some(agent) = agent {
            query = query.filter(decisions::agent_id.eq(agent));
        }
        query.load(c)
    })?)
}

/// These decisions, the newest first.
fn decided(db: &mut Db, organization: OrganizationId, ids: &[DecisionId]) -> Result<Vec<ResolveRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(each!(db, c => decisions::table
        .filter(decisions::org_id.eq(organization))
        .filter(decisions::id.eq_any(ids))
        .order(decisions::id.desc())
        .select(ResolveRow::as_select())
        .load(c))?)
}
