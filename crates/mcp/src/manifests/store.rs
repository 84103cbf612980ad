//! Queries on manifests. No rules here; every one names the tenant.

use std::collections::HashMap;

use aim_core::{AgentId, Json, OrganizationId, PageRequest, Timestamp};
use aim_store::{Db, Error, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::{document::Manifest, model::ManifestOutline};
use crate::{
    schema::{mcp_attestations, mcp_connections, mcp_manifests},
    servers::McpServerId,
};

/// A version, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = mcp_manifests)]
pub(crate) struct ManifestRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) server_id: McpServerId,
    pub(crate) version: i64,
    pub(crate) digest: String,
    pub(crate) document: Json,
    pub(crate) tool_count: i64,
    pub(crate) resource_count: i64,
    pub(crate) prompt_count: i64,
    pub(crate) recorded_by: String,
    pub(crate) recorded_at: Timestamp,
}

impl ManifestRow {
    /// The contents.
    pub(crate) fn manifest(&self) -> Result<Manifest> {
        serde_json::from_value(self.document.0.clone()).map_err(|error| {
            Error::Corrupt(format!(
                "manifest {} of {}: {error}",
                self.version, self.server_id
            ))
        })
    }

    /// The version in figures.
    pub(crate) fn outline(&self, attested_by: i64) -> ManifestOutline {
        ManifestOutline {
            version: self.version,
            digest: self.digest.clone(),
            tools: self.tool_count,
            resources: self.resource_count,
            prompts: self.prompt_count,
            attested_by,
            recorded_by: self.recorded_by.clone(),
            recorded_at: self.recorded_at,
        }
    }
}

/// Adds a version.
pub(crate) fn insert(db: &mut Db, row: &ManifestRow) -> Result<()> {
    each!(db, c => diesel::insert_into(mcp_manifests::table).values(row).execute(c))?;
    Ok(())
}

/// One version.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    version: i64,
) -> Result<Option<ManifestRow>> {
    Ok(each!(db, c => mcp_manifests::table
        .find((organization, server, version))
        .select(ManifestRow::as_select())
        .get_result(c)
        .optional())?)
}

type Figures = (i64, String, i64, i64, i64, String, Timestamp);

/// A page of a server's versions without their contents, the newest first.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    page: &PageRequest,
) -> Result<Vec<ManifestOutline>> {
    let rows: Vec<Figures> = each!(db, c => mcp_manifests::table
        .filter(mcp_manifests::org_id.eq(organization))
        .filter(mcp_manifests::server_id.eq(server))
        .order(mcp_manifests::version.desc())
        .limit(page.limit)
        .offset(page.offset)
        .select((
            mcp_manifests::version,
            mcp_manifests::digest,
            mcp_manifests::tool_count,
            mcp_manifests::resource_count,
            mcp_manifests::prompt_count,
            mcp_manifests::recorded_by,
            mcp_manifests::recorded_at,
        ))
        .load(c))?;
    let versions: Vec<i64> = rows.iter().map(|row| row.0).collect();
    let attested = attested_by(db, organization, server, &versions)?;
    Ok(rows
        .into_iter()
        .map(
            |(version, digest, tools, resources, prompts, recorded_by, recorded_at)| ManifestOutline {
                version,
                digest,
                tools,
                resources,
                prompts,
                attested_by: attested.get(&version).copied().unwrap_or(0),
                recorded_by,
                recorded_at,
            },
        )
        .collect())
}

/// How many agents ever attested each of `versions`.
pub(crate) fn attested_by(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    versions: &[i64],
) -> Result<HashMap<i64, i64>> {
    let rows: Vec<(i64, i64)> = each!(db, c => mcp_attestations::table
        .filter(mcp_attestations::org_id.eq(organization))
        .filter(mcp_attestations::server_id.eq(server))
        .filter(mcp_attestations::manifest_version.eq_any(versions))
        .group_by(mcp_attestations::manifest_version)
        .select((mcp_attestations::manifest_version, diesel::dsl::count_star()))
        .load(c))?;
    Ok(rows.into_iter().collect())
}

/// At most `limit` of the agents that are connected to a server.
pub(crate) fn connected_agents(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    limit: i64,
) -> Result<Vec<AgentId>> {
    Ok(each!(db, c => mcp_connections::table
        .filter(mcp_connections::org_id.eq(organization))
        .filter(mcp_connections::server_id.eq(server))
        .order(mcp_connections::agent_id)
        .limit(limit)
        .select(mcp_connections::agent_id)
        .load(c))?)
}
