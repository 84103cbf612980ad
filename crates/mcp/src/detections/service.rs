//! What can be done with detections: one transaction a use case, an audit record for what is new.

use std::collections::BTreeMap;

use aim_audit::Entry;
use aim_core::{AgentId, Code, Ctx, Error, Json, Result};
use aim_platform::Kernel;
use aim_store::Db;
use serde_json::json;

use super::{
    model::{
        DetectedServer, Detection, DetectionReport, DetectionStatus, MOST_KEPT, MOST_REPORTED,
        SDK_INTEGRATION,
    },
    store::{self, DetectionRow},
};
use crate::{
    connections::{Added, Source, model::MOST_SERVERS, store as connections},
    servers::{McpServerId, store as servers},
};

/// Takes agents' reports of the servers that they found, and shows them.
#[derive(Clone)]
pub struct DetectionService {
    kernel: Kernel,
}

impl DetectionService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Takes a report. A server that is registered under exactly one entry of that name gets connected; the others stay
    /// what they are: seen, and unknown to the registry.
    ///
    /// # Errors
    /// `resource.not_found` for the agent, or another one's; `request.field_invalid` by field; `resource.conflict` when the
    /// agent has reported too many names.
    pub async fn report(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        detections: Vec<Detection>,
    ) -> Result<DetectionReport> {
        ctx.acts_for(agent)?;
        if detections.is_empty() {
            return Err(Error::field("detections", "report at least one"));
        }
        if detections.len() > MOST_REPORTED {
            return Err(Error::field(
                "detections",
                format!("report at most {MOST_REPORTED} at a time"),
            ));
        }
        for (place, detection) in detections.iter().enumerate() {
            detection.check(place)?;
        }
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| report(db, &ctx, agent, &detections))
            .await
    }

    /// Takes an agent's word that it uses servers, by their ids or names. Those that are registered get connected; other
    /// names are kept as detections, and stand in `talks_to`.
    ///
    /// # Errors
    /// `resource.not_found` for the agent, or another one's; `request.field_invalid` at the id that is unknown.
    pub async fn report_use(&self, ctx: &Ctx, agent: AgentId, using: Vec<Detection>) -> Result<Added> {
        ctx.acts_for(agent)?;
        if using.is_empty() || using.len() > MOST_SERVERS {
            return Err(Error::field(
                "mcp_server_ids",
                format!("name 1 to {MOST_SERVERS} MCP servers"),
            ));
        }
        for (place, one) in using.iter().enumerate() {
            one.check(place)?;
        }
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| report_use(db, &ctx, agent, &using))
            .await
    }

    /// What an agent's reports come to.
    ///
    /// # Errors
    /// `resource.not_found` for the agent, or another one's.
    pub async fn status(&self, ctx: &Ctx, agent: AgentId) -> Result<DetectionStatus> {
        ctx.acts_for(agent)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                connections::agent(db, organization, agent, false)?;
                let rows = store::of_agent(db, organization, agent)?;
                let last_reported_at = rows.iter().map(|row| row.last_seen_at).max();
                let newest = rows
                    .iter()
                    .filter(|row| row.sdk_version.is_some())
                    .max_by_key(|row| row.last_seen_at);
                let sdk_version = newest.and_then(|row| row.sdk_version.clone());
                let sdk_installed = rows.iter().any(|row| row.method == SDK_INTEGRATION);
                let mut found: BTreeMap<String, DetectedServer> = BTreeMap::new();
                for row in rows.into_iter().filter(|row| row.method != SDK_INTEGRATION) {
                    let server = found.entry(row.name.clone()).or_insert_with(|| DetectedServer {
                        name: row.name,
                        confidence: row.confidence,
                        methods: Vec::new(),
                        first_seen_at: row.first_seen_at,
                        last_seen_at: row.last_seen_at,
                        mcp_server_id: None,
                    });
                    server.confidence = server.confidence.max(row.confidence);
                    server.first_seen_at = server.first_seen_at.min(row.first_seen_at);
                    server.last_seen_at = server.last_seen_at.max(row.last_seen_at);
                    server.methods.push(row.method);
                }
                let names: Vec<&str> = found.keys().map(String::as_str).collect();
                let registered = servers::find_by_names(db, organization, &names)?;
                for server in found.values_mut() {
                    let mut same = registered.iter().filter(|row| row.name == server.name);
                    server.mcp_server_id = match (same.next(), same.next()) {
                        (Some(only), None) => Some(only.id),
                        _ => None,
                    };
                }
                Ok(DetectionStatus {
                    agent,
                    sdk_version,
                    sdk_installed,
                    servers: found.into_values().collect(),
                    last_reported_at,
                })
            })
            .await
    }
}

fn report(
    db: &mut Db,
    ctx: &Ctx,
    agent: AgentId,
    detections: &[Detection],
) -> aim_store::Result<DetectionReport> {
    let names: Vec<&str> = detections
        .iter()
        .filter(|detection| detection.method != SDK_INTEGRATION)
        .map(|detection| detection.name.as_str())
        .collect();
    let registered = servers::find_by_names(db, ctx.organization, &names)?;
    // An ambiguous name connects to nothing.
    let unambiguous: Vec<_> = registered
        .iter()
        .filter(|row| registered.iter().filter(|other| other.name == row.name).count() == 1)
        .map(|row| row.id)
        .collect();
    let to_connect = servers::find_all(db, ctx.organization, &unambiguous, true)?;
    let part = connections::agent(db, ctx.organization, agent, true)?;
    let mut kept = store::of_agent(db, ctx.organization, agent)?;
    let (mut new, mut known): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for detection in detections {
        if !new.contains(&detection.name) && !known.contains(&detection.name) {
            let was_there = kept.iter().any(|row| row.name == detection.name);
            if was_there { &mut known } else { &mut new }.push(detection.name.clone());
        }
        keep(db, ctx, agent, detection, &mut kept)?;
    }
    check_room(&kept)?;
    let (_, _, connected) = crate::connections::connect(db, ctx, &part, &to_connect, &[], Source::Detected)?;
    let mut entries = Vec::new();
    if !new.is_empty() {
        let unregistered: Vec<&String> = new
            .iter()
            .filter(|name| registered.iter().all(|row| row.name != **name))
            .collect();
        entries.push(detected(ctx, agent, &part.name, &new, &unregistered));
    }
    entries.extend(connected);
    aim_audit::append(db, entries)?;
    Ok(DetectionReport {
        processed: detections.len(),
        new,
        known,
    })
}

fn report_use(db: &mut Db, ctx: &Ctx, agent: AgentId, using: &[Detection]) -> aim_store::Result<Added> {
    connections::agent(db, ctx.organization, agent, false)?;
    let names: Vec<&str> = using.iter().map(|one| one.name.as_str()).collect();
    let named = servers::find_by_names(db, ctx.organization, &names)?;
    let (mut ids, mut others): (Vec<McpServerId>, Vec<&Detection>) = (Vec::new(), Vec::new());
    for one in using {
        let mut same = named.iter().filter(|row| row.name == one.name);
        match (one.name.parse(), same.next(), same.next()) {
            (Ok(id), _, _) => ids.push(id),
            (_, Some(only), None) => ids.push(only.id),
            _ => others.push(one),
        }
    }
    let found = servers::find_all(db, ctx.organization, &ids, true)?;
    if let Some(missing) = ids.iter().find(|id| found.iter().all(|row| row.id != **id)) {
        let detail = format!("your organisation has no MCP server {missing}; nothing was changed");
        return Err(Error::field("mcp_server_ids", detail).into());
    }
    let part = connections::agent(db, ctx.organization, agent, true)?;
    let mut kept = store::of_agent(db, ctx.organization, agent)?;
    let mut new_names: Vec<String> = Vec::new();
    for one in &others {
        if !part.talks_to.contains(&one.name) && !new_names.contains(&one.name) {
            new_names.push(one.name.clone());
        }
        keep(db, ctx, agent, one, &mut kept)?;
    }
    check_room(&kept)?;
    let (talks_to, added, connected) =
        crate::connections::connect(db, ctx, &part, &found, &new_names, Source::Reported)?;
    let mut entries = Vec::new();
    if !new_names.is_empty() {
        entries.push(detected(
            ctx,
            agent,
            &part.name,
            &new_names,
            &new_names.iter().collect::<Vec<_>>(),
        ));
    }
    entries.extend(connected);
    aim_audit::append(db, entries)?;
    let count = added.len() + new_names.len();
    Ok(Added {
        message: format!("{} is known to use {count} more MCP servers", part.name),
        total_count: i64::try_from(talks_to.len()).unwrap_or(i64::MAX),
        talks_to,
        added_servers: ids.into_iter().filter(|id| added.contains(id)).collect(),
    })
}

fn check_room(kept: &[DetectionRow]) -> aim_store::Result<()> {
    if i64::try_from(kept.len()).unwrap_or(i64::MAX) <= MOST_KEPT {
        return Ok(());
    }
    let detail = format!("an agent may report at most {MOST_KEPT} different servers and methods");
    Err(Error::new(Code::Conflict, detail).at("detections").into())
}

/// The audit record of names that an agent had not reported before.
fn detected(ctx: &Ctx, agent: AgentId, agent_name: &str, new: &[String], unregistered: &[&String]) -> Entry {
    Entry::event(ctx, "mcp_server.detected")
        .agent(agent)
        .target("agent", agent)
        .facts(json!({ "count": new.len(), "unregistered": unregistered.len() }))
        .details(json!({ "agent_name": agent_name, "names": new, "unregistered": unregistered }))
}

fn keep(
    db: &mut Db,
    ctx: &Ctx,
    agent: AgentId,
    detection: &Detection,
    kept: &mut Vec<DetectionRow>,
) -> aim_store::Result<()> {
    let earlier = kept
        .iter_mut()
        .find(|row| row.name == detection.name && row.method == detection.method);
    let details = Json::of(&detection.details.clone().unwrap_or_default());
    let confidence = detection.confidence.round() as i64;
    match earlier {
        Some(row) => {
            row.confidence = confidence;
            row.details = details;
            row.sdk_version = detection.sdk_version.clone().or_else(|| row.sdk_version.take());
            row.last_seen_at = ctx.now;
            row.times += 1;
            store::save(db, row)
        }
        None => {
            let row = DetectionRow {
                org_id: ctx.organization,
                agent_id: agent,
                name: detection.name.clone(),
                method: detection.method.clone(),
                confidence,
                details,
                sdk_version: detection.sdk_version.clone(),
                first_seen_at: ctx.now,
                last_seen_at: ctx.now,
                times: 1,
            };
            store::insert(db, &row)?;
            kept.push(row);
            Ok(())
        }
    }
}
