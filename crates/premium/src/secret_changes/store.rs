//! Queries on what agents read. No rules here; every one names the tenant.

use std::collections::HashSet;

use aim_core::{Actor, AgentId, DecisionId, OrganizationId, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{audit_log, decisions},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use crate::vault::reads::READ_ACTION;

/// The most ids of one query.
const IDS: usize = 500;

/// The paths that these decisions are about.
pub(super) fn paths(
    db: &mut Db,
    organization: OrganizationId,
    ids: &[DecisionId],
) -> Result<Vec<(AgentId, String)>> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(IDS) {
        let rows: Vec<(AgentId, Option<String>)> = each!(db, c => decisions::table
            .filter(decisions::org_id.eq(organization))
            .filter(decisions::id.eq_any(part.to_vec()))
            .filter(decisions::action.eq(READ_ACTION))
            .select((decisions::agent_id, decisions::resource))
            .load(c))?;
        found.extend(rows.into_iter().filter_map(|(agent, path)| Some((agent, path?))));
    }
    Ok(found)
}

/// What the agent was allowed to read since then: the paths of its latest `most` records.
pub(super) fn read_since(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    since: Timestamp,
    most: i64,
) -> Result<HashSet<String>> {
    let ids: Vec<Option<String>> = each!(db, c => audit_log::table
        .filter(audit_log::org_id.eq(organization))
        .filter(audit_log::agent_id.eq(Some(agent)))
        .filter(audit_log::created_at.ge(since))
        .filter(audit_log::target_kind.eq("decision"))
        .filter(audit_log::action.eq_any(["action.decided", "secret.approval_used"]))
        .filter(audit_log::outcome.eq_any(["approved", "ok"]))
        .order(audit_log::leaf_index.desc())
        .limit(most)
        .select(audit_log::target_id)
        .load(c))?;
    let ids: Vec<DecisionId> = ids.into_iter().filter_map(|id| id?.parse().ok()).collect();
    Ok(paths(db, organization, &ids)?
        .into_iter()
        .map(|(_, path)| path)
        .collect())
}

/// Whether the agent may still listen.
pub(super) fn stands(
    db: &mut Db,
    organization: OrganizationId,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool> {
    match aim_platform::standing::check(db, organization, actor, now) {
        Ok(()) => Ok(true),
        Err(error) => {
            let error = error.into_core();
            match error.code {
                aim_core::Code::Forbidden | aim_core::Code::CredentialsInvalid => Ok(false),
                _ => Err(error.into()),
            }
        }
    }
}
