//! Queries on attestations. No rules here; every one names the tenant.

use std::collections::HashMap;

use aim_core::{AgentId, OrganizationId, PageRequest, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl,
    SelectableHelper,
};

use super::{
    confidence::{COUNTS_FOR, MOST_VOTES, Vote, confidence},
    model::AttestationId,
};
use crate::{
    agent_table::agents,
    schema::mcp_attestations,
    servers::{McpServerId, store::ServerRow},
};

/// Attestations of active agents since a moment: those that count.
macro_rules! counting {
    ($organization:expr, $since:expr) => {
        mcp_attestations::table
            .inner_join(
                agents::table.on(agents::org_id
                    .eq(mcp_attestations::org_id)
                    .and(agents::id.eq(mcp_attestations::agent_id))),
            )
            .filter(mcp_attestations::org_id.eq($organization))
            .filter(mcp_attestations::attested_at.gt($since))
            .filter(agents::deleted_at.is_null())
            .filter(agents::status.eq("active"))
    };
}

/// An attestation, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = mcp_attestations, treat_none_as_default_value = false)]
pub(crate) struct AttestationRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) server_id: McpServerId,
    pub(crate) agent_id: AgentId,
    pub(crate) manifest_version: i64,
    pub(crate) id: AttestationId,
    pub(crate) manifest_digest: String,
    pub(crate) fingerprint: Option<String>,
    pub(crate) scheme: String,
    pub(crate) note: Option<String>,
    pub(crate) first_attested_at: Timestamp,
    pub(crate) attested_at: Timestamp,
    pub(crate) times: i64,
}

/// What the attestations of a server's present manifest come to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// 0 to 100; none where nobody attested it.
    pub(crate) confidence: Option<i64>,
    /// How many active agents attested it within the time in which that counts.
    pub(crate) agents: i64,
    /// When the last of them did.
    pub(crate) last_at: Option<Timestamp>,
}

/// The standings of `rows` at `now`; none where nobody attested the present manifest.
pub(crate) fn standings(
    db: &mut Db,
    organization: OrganizationId,
    rows: &[ServerRow],
    now: Timestamp,
) -> Result<HashMap<McpServerId, Standing>> {
    let servers: Vec<McpServerId> = rows
        .iter()
        .filter(|row| row.manifest_version > 0)
        .map(|row| row.id)
        .collect();
    if servers.is_empty() {
        return Ok(HashMap::new());
    }
    let since = now - COUNTS_FOR;
    let counts: Vec<(McpServerId, i64, i64)> = each!(db, c => counting!(organization, since)
        .filter(mcp_attestations::server_id.eq_any(&servers))
        .group_by((mcp_attestations::server_id, mcp_attestations::manifest_version))
        .select((
            mcp_attestations::server_id,
            mcp_attestations::manifest_version,
            diesel::dsl::count_star(),
        ))
        .load(c))?;
    let mut standings = HashMap::new();
    for row in rows {
        let count = counts
            .iter()
            .find(|(server, version, _)| *server == row.id && *version == row.manifest_version);
        let Some((_, _, agents)) = count else { continue };
        let times: Vec<Timestamp> = each!(db, c => counting!(organization, since)
            .filter(mcp_attestations::server_id.eq(row.id))
            .filter(mcp_attestations::manifest_version.eq(row.manifest_version))
            .order(mcp_attestations::id.desc())
            .limit(MOST_VOTES)
            .select(mcp_attestations::attested_at)
            .load(c))?;
        let votes: Vec<Vote> = times
            .iter()
            .map(|attested_at| Vote {
                attested_at: *attested_at,
            })
            .collect();
        let standing = Standing {
            confidence: confidence(&votes, now),
            agents: *agents,
            last_at: times.first().copied(),
        };
        standings.insert(row.id, standing);
    }
    Ok(standings)
}

/// The agent's word on this version, if it gave one.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    agent: AgentId,
    version: i64,
) -> Result<Option<AttestationRow>> {
    Ok(each!(db, c => mcp_attestations::table
        .find((organization, server, agent, version))
        .select(AttestationRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Writes an agent's word on a version over its earlier one.
pub(crate) fn put(db: &mut Db, row: &AttestationRow) -> Result<()> {
    let key = (row.org_id, row.server_id, row.agent_id, row.manifest_version);
    each!(db, c => diesel::delete(mcp_attestations::table.find(key)).execute(c))?;
    each!(db, c => diesel::insert_into(mcp_attestations::table).values(row).execute(c))?;
    Ok(())
}

/// How many attestations of all versions a server has.
pub(crate) fn count(db: &mut Db, organization: OrganizationId, server: McpServerId) -> Result<i64> {
    Ok(each!(db, c => mcp_attestations::table
        .filter(mcp_attestations::org_id.eq(organization))
        .filter(mcp_attestations::server_id.eq(server))
        .count()
        .get_result(c))?)
}

/// An attestation with its agent's name and status.
pub(crate) type Named = (AttestationRow, String, String);

/// A page of a server's attestations with one more, the newest first.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    page: &PageRequest,
) -> Result<Vec<Named>> {
    Ok(each!(db, c => {
        let mut query = mcp_attestations::table
            .inner_join(agents::table.on(agents::org_id
                .eq(mcp_attestations::org_id)
                .and(agents::id.eq(mcp_attestations::agent_id))))
            .filter(mcp_attestations::org_id.eq(organization))
            .filter(mcp_attestations::server_id.eq(server))
            .order(mcp_attestations::id.desc())
            .limit(page.fetch())
            .offset(page.offset)
            .select((AttestationRow::as_select(), agents::name, agents::status))
            .into_boxed();
        if let Some(cursor) = page.cursor {
            query = query.filter(mcp_attestations::id.lt(AttestationId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}
