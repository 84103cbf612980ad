//! A server's row with what others say about it: attestations, connections.

use aim_core::{OrganizationId, Timestamp};
use aim_crypto::keys::PublicKey;
use aim_store::{Db, Error, Result};

use super::{
    model::{ManifestSummary, McpServerId, ServerView},
    store::{self, ServerRow},
};
use crate::attestations::{Standing, store as attestations};

/// The views of `rows`, in their order, as of `now`.
pub(crate) fn views(
    db: &mut Db,
    organization: OrganizationId,
    rows: Vec<ServerRow>,
    now: Timestamp,
) -> Result<Vec<ServerView>> {
    let ids: Vec<McpServerId> = rows.iter().map(|row| row.id).collect();
    let connected = store::connected(db, organization, &ids)?;
    let mut standings = attestations::standings(db, organization, &rows, now)?;
    rows.into_iter()
        .map(|row| {
            let standing = standings.remove(&row.id).unwrap_or_default();
            let connected = connected.get(&row.id).copied().unwrap_or(0);
            of(row, &standing, connected)
        })
        .collect()
}

/// The view of one row.
pub(crate) fn view(db: &mut Db, row: ServerRow, now: Timestamp) -> Result<ServerView> {
    let organization = row.org_id;
    views(db, organization, vec![row], now)?
        .pop()
        .ok_or_else(|| Error::Corrupt("a server without a view".to_owned()))
}

fn of(row: ServerRow, standing: &Standing, connected_agents: i64) -> Result<ServerView> {
    let key = row
        .public_key
        .as_deref()
        .map(PublicKey::from_bytes)
        .transpose()
        .map_err(|error| Error::Corrupt(format!("MCP server {}: {error}", row.id)))?;
    let manifest = row
        .manifest_digest
        .as_ref()
        .zip(row.manifest_at)
        .map(|(digest, at)| ManifestSummary {
            version: row.manifest_version,
            digest: digest.clone(),
            tools: row.tool_count,
            resources: row.resource_count,
            prompts: row.prompt_count,
            recorded_at: at,
        });
    Ok(ServerView {
        status: row.status()?,
        tags: row.tags.strings(),
        public_key: key.as_ref().map(PublicKey::spki_base64),
        fingerprint: key.as_ref().map(|key| key.fingerprint().to_string()),
        manifest,
        confidence: standing.confidence,
        attesting_agents: standing.agents,
        last_attested_at: standing.last_at,
        connected_agents,
        id: row.id,
        organization_id: row.org_id,
        name: row.name,
        url: row.url,
        description: row.description,
        version: row.version,
        owner_id: row.owner_id,
        status_reason: row.status_reason,
        verified_at: row.verified_at,
        last_check_at: row.last_check_at,
        last_check_problem: row.last_check_problem,
        created_at: row.created_at,
        updated_at: row.updated_at,
        created_by: row.created_by,
    })
}
