//! What can be done with manifests: one transaction a use case, an audit record for each change.

use aim_audit::Entry;
use aim_core::{AgentId, Code, Ctx, Error, Json, PageRequest, Result};
use aim_platform::Kernel;
use serde_json::{Value, json};

use super::{
    diff::{Diff, ItemKind},
    document::{Manifest, ManifestDocument},
    model::{ManifestList, ManifestVersion, RecordedManifest},
    store::{self, ManifestRow},
};
use crate::servers::{
    McpServerId, ServerStatus,
    store::{self as servers, ServerRow},
};

/// The most names of each sort that an audit record carries; the counts beside them are whole.
const MOST_NAMES: usize = 50;
/// The most agents that a record of drift names.
const MOST_AGENTS: i64 = 100;

/// Records and shows manifests.
#[derive(Clone)]
pub struct ManifestService {
    kernel: Kernel,
}

impl ManifestService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Records what a server was seen to offer. Only what differs from the version that counts makes a new one; where
    /// agents had attested that one, the change is drift, and leaves a record of its own.
    ///
    /// # Errors
    /// `resource.not_found`, for an agent that is not connected too; `request.field_invalid` by item; `resource.state` when
    /// the server is revoked.
    pub async fn record(
        &self,
        ctx: &Ctx,
        server: McpServerId,
        manifest: Manifest,
    ) -> Result<RecordedManifest> {
        let document = ManifestDocument::of(manifest)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                crate::servers::visible_to(db, &ctx, server)?;
                let mut row = servers::find(db, ctx.organization, server, true)?;
                if row.status()? == ServerStatus::Revoked {
                    return Err(Error::new(Code::StateConflict, "the server is revoked").into());
                }
                if row.manifest_digest.as_deref() == Some(document.digest()) {
                    return Ok(unchanged(&row, &document));
                }
                let before = store::find(db, ctx.organization, server, row.manifest_version)?;
                let diff = match &before {
                    Some(before) => Some(Diff::between(&before.manifest()?, document.manifest())),
                    None => None,
                };
                let attested_by = store::attested_by(db, ctx.organization, server, &[row.manifest_version])?
                    .get(&row.manifest_version)
                    .copied()
                    .unwrap_or(0);
                let version = new_version(&ctx, &mut row, &document);
                store::insert(db, &version)?;
                servers::save(db, &row)?;
                let agents = store::connected_agents(db, ctx.organization, server, MOST_AGENTS)?;
                let mut entries = vec![recorded(&ctx, &row, &version)];
                if let Some((before, diff)) = before.as_ref().zip(diff.as_ref()).filter(|_| attested_by > 0) {
                    entries.push(drifted(
                        &ctx,
                        &row,
                        (before, &version),
                        diff,
                        attested_by,
                        &agents,
                    ));
                }
                aim_audit::append(db, entries)?;
                Ok(RecordedManifest {
                    version: version.version,
                    digest: version.digest,
                    changed: true,
                    drift: diff.is_some() && attested_by > 0,
                    diff,
                })
            })
            .await
    }

    /// A page of a server's versions, the newest first.
    ///
    /// # Errors
    /// `resource.not_found`, or the database's.
    pub async fn list(&self, ctx: &Ctx, server: McpServerId, page: PageRequest) -> Result<ManifestList> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .read(ctx.organization, move |db| {
                crate::servers::visible_to(db, &ctx, server)?;
                let row = servers::find(db, ctx.organization, server, false)?;
                Ok(ManifestList {
                    manifests: store::page(db, ctx.organization, server, &page)?,
                    // Versions have no gaps.
                    total: row.manifest_version,
                    limit: page.limit,
                    offset: page.offset,
                })
            })
            .await
    }

    /// One version with its contents, and what changed since `against`, or since the one before.
    ///
    /// # Errors
    /// `resource.not_found` for an unknown server or version, `request.field_invalid` at `against`.
    pub async fn get(
        &self,
        ctx: &Ctx,
        server: McpServerId,
        version: i64,
        against: Option<i64>,
    ) -> Result<ManifestVersion> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .read(ctx.organization, move |db| {
                crate::servers::visible_to(db, &ctx, server)?;
                servers::find(db, ctx.organization, server, false)?;
                let row = store::find(db, ctx.organization, server, version)?.ok_or_else(Error::not_found)?;
                let other = match against {
                    Some(other) => Some(
                        store::find(db, ctx.organization, server, other)?
                            .ok_or_else(|| Error::field("against", "the server has no such version"))?,
                    ),
                    None => store::find(db, ctx.organization, server, version - 1)?,
                };
                let manifest = row.manifest()?;
                let diff = match &other {
                    Some(other) => Some(Diff::between(&other.manifest()?, &manifest)),
                    None => None,
                };
                let attested = store::attested_by(db, ctx.organization, server, &[version])?;
                Ok(ManifestVersion {
                    outline: row.outline(attested.get(&version).copied().unwrap_or(0)),
                    manifest,
                    compared_with: other.map(|other| other.version),
                    diff,
                })
            })
            .await
    }
}

fn unchanged(row: &ServerRow, document: &ManifestDocument) -> RecordedManifest {
    RecordedManifest {
        version: row.manifest_version,
        digest: document.digest().to_owned(),
        changed: false,
        drift: false,
        diff: None,
    }
}

/// The next version; the server's row then names it as the one that counts.
fn new_version(ctx: &Ctx, row: &mut ServerRow, document: &ManifestDocument) -> ManifestRow {
    let manifest = document.manifest();
    let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    row.manifest_version += 1;
    row.manifest_digest = Some(document.digest().to_owned());
    row.manifest_at = Some(ctx.now);
    row.tool_count = count(manifest.tools.len());
    row.resource_count = count(manifest.resources.len());
    row.prompt_count = count(manifest.prompts.len());
    row.updated_at = ctx.now;
    ManifestRow {
        org_id: row.org_id,
        server_id: row.id,
        version: row.manifest_version,
        digest: document.digest().to_owned(),
        document: Json::of(manifest),
        tool_count: row.tool_count,
        resource_count: row.resource_count,
        prompt_count: row.prompt_count,
        recorded_by: ctx.actor_text(),
        recorded_at: ctx.now,
    }
}

fn recorded(ctx: &Ctx, row: &ServerRow, version: &ManifestRow) -> Entry {
    crate::servers::event(ctx, "mcp_server.manifest_recorded", row)
        .facts(json!({
            "version": version.version,
            "digest": version.digest,
            "tools": version.tool_count,
            "resources": version.resource_count,
            "prompts": version.prompt_count,
        }))
        .details(json!({ "name": row.name }))
}

/// The record of a change of what agents had attested.
fn drifted(
    ctx: &Ctx,
    row: &ServerRow,
    (before, after): (&ManifestRow, &ManifestRow),
    diff: &Diff,
    attested_by: i64,
    agents: &[AgentId],
) -> Entry {
    crate::servers::event(ctx, "mcp_server.manifest_drift", row)
        .facts(json!({
            "server_id": row.id,
            "from_version": before.version,
            "to_version": after.version,
            "from_digest": before.digest,
            "to_digest": after.digest,
            "attested_by": attested_by,
            "status": row.status,
            "agents": agents,
            "diff": facts_of(diff),
        }))
        .details(json!({ "name": row.name, "url": row.url }))
}

/// A difference as facts: names, and how many.
fn facts_of(diff: &Diff) -> Value {
    let names = |kind: ItemKind, of: &[super::diff::Item]| -> Vec<String> {
        of.iter()
            .filter(|item| item.kind == kind)
            .map(|item| item.name.clone())
            .take(MOST_NAMES)
            .collect()
    };
    let known = ["description", "input_schema"];
    let changed_otherwise: Vec<&str> = diff
        .changed
        .iter()
        .filter(|change| {
            change.kind != ItemKind::Tool
                || change
                    .members
                    .iter()
                    .any(|member| !known.contains(&member.as_str()))
        })
        .map(|change| change.name.as_str())
        .take(MOST_NAMES)
        .collect();
    json!({
        "tools_added": names(ItemKind::Tool, &diff.added),
        "tools_removed": names(ItemKind::Tool, &diff.removed),
        "tools_description_changed": diff.touched(ItemKind::Tool, "description").take(MOST_NAMES).collect::<Vec<_>>(),
        "tools_schema_changed": diff.touched(ItemKind::Tool, "input_schema").take(MOST_NAMES).collect::<Vec<_>>(),
        "resources_added": names(ItemKind::Resource, &diff.added),
        "resources_removed": names(ItemKind::Resource, &diff.removed),
        "prompts_added": names(ItemKind::Prompt, &diff.added),
        "prompts_removed": names(ItemKind::Prompt, &diff.removed),
        "changed_otherwise": changed_otherwise,
        "added": diff.added.len(),
        "removed": diff.removed.len(),
        "changed": diff.changed.len(),
    })
}
