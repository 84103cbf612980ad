//! The list of current keys that were warned of: queries without rules.

use aim_core::{AgentId, OrganizationId, PageRequest, Timestamp};
use aim_store::{
    Db, Result, each,
    schema::{agent_keys, agents, key_expiry_warnings},
};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl};

/// A current key that was warned of: agent, its name, fingerprint, expiry.
pub(crate) type WarnedKey = (AgentId, String, String, Timestamp);

/// A warning that was given: agent, fingerprint, threshold in days, when.
pub(crate) type GivenWarning = (AgentId, String, i64, Timestamp);

/// What is common to counting and listing: current keys of living agents with a warning.
macro_rules! warned_keys {
    ($organization:expr) => {
        agent_keys::table
            .inner_join(
                agents::table.on(agents::org_id
                    .eq(agent_keys::org_id)
                    .and(agents::id.eq(agent_keys::agent_id))),
            )
            .filter(agent_keys::org_id.eq($organization))
            .filter(agent_keys::replaced_at.is_null())
            .filter(agent_keys::revoked_at.is_null())
            .filter(agents::deleted_at.is_null())
            .filter(agents::status.ne("revoked"))
            .filter(diesel::dsl::exists(
                key_expiry_warnings::table
                    .filter(key_expiry_warnings::org_id.eq(agent_keys::org_id))
                    .filter(key_expiry_warnings::agent_id.eq(agent_keys::agent_id))
                    .filter(key_expiry_warnings::fingerprint.eq(agent_keys::fingerprint)),
            ))
    };
}

/// How many current keys were warned of.
pub(crate) fn count(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => warned_keys!(organization).count().get_result(c))?)
}

/// A page of them with one more, the soonest to expire first.
pub(crate) fn page(db: &mut Db, organization: OrganizationId, page: &PageRequest) -> Result<Vec<WarnedKey>> {
    let after = match page.cursor {
        Some(cursor) => {
            let agent = AgentId::from_uuid(cursor.0);
            let expiry = latest_expiry(db, organization, agent)?.ok_or_else(|| {
                aim_core::Error::field(
                    "cursor",
                    "not a cursor of this list; leave it out to start at the top",
                )
            })?;
            Some((expiry, agent))
        }
        None => None,
    };
    Ok(each!(db, c => {
        let mut query = warned_keys!(organization)
            .order((agent_keys::expires_at, agent_keys::agent_id))
            .limit(page.fetch())
            .offset(page.offset)
            .select((agent_keys::agent_id, agents::name, agent_keys::fingerprint, agent_keys::expires_at))
            .into_boxed();
        if let Some((expiry, agent)) = after {
            query = query.filter(
                agent_keys::expires_at
                    .gt(expiry)
                    .or(agent_keys::expires_at.eq(expiry).and(agent_keys::agent_id.gt(agent))),
            );
        }
        query.load(c)
    })?)
}

/// The expiry of the key that the agent was last warned of: where a cursor's page ended, even if that
/// key was replaced since.
fn latest_expiry(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => key_expiry_warnings::table
        .filter(key_expiry_warnings::org_id.eq(organization))
        .filter(key_expiry_warnings::agent_id.eq(agent))
        .order(key_expiry_warnings::created_at.desc())
        .select(key_expiry_warnings::expires_at)
        .first(c)
        .optional())?)
}

/// Every warning that these agents were given.
pub(crate) fn given_to(
    db: &mut Db,
    organization: OrganizationId,
    of: &[AgentId],
) -> Result<Vec<GivenWarning>> {
    Ok(each!(db, c => key_expiry_warnings::table
        .filter(key_expiry_warnings::org_id.eq(organization))
        .filter(key_expiry_warnings::agent_id.eq_any(of))
        .select((
            key_expiry_warnings::agent_id,
            key_expiry_warnings::fingerprint,
            key_expiry_warnings::days_left,
            key_expiry_warnings::created_at,
        ))
        .load(c))?)
}
