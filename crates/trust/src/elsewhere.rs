//! What other capabilities recorded about agents: connections to MCP servers, and threat findings. Small
//! queries of our own on their tables, which every community installation has; no rule of theirs is repeated.

use std::collections::{HashMap, HashSet};

use aim_core::{AgentId, Id, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use crate::{
    gather::cited,
    score::{Cited, Factor, Mcp},
};

/// How long an attestation counts.
const ATTESTED_DAYS: i64 = 30;

/// The columns of other capabilities' tables that are read here.
mod theirs {
    diesel::table! {
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::sql_types::{BigInt, Nullable, Text};

        mcp_servers (org_id, id) {
            org_id -> DbUuid,
            id -> DbUuid,
            name -> Text,
            status -> Text,
            verified_at -> Nullable<DbTime>,
            manifest_version -> BigInt,
            updated_at -> DbTime,
            deleted_at -> Nullable<DbTime>,
        }
    }

    diesel::table! {
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::sql_types::BigInt;

        mcp_attestations (org_id, server_id, agent_id, manifest_version) {
            org_id -> DbUuid,
            server_id -> DbUuid,
            agent_id -> DbUuid,
            manifest_version -> BigInt,
            attested_at -> DbTime,
        }
    }

    diesel::table! {
        use aim_core::sql::DbUuid;

        mcp_connections (org_id, agent_id, server_id) {
            org_id -> DbUuid,
            agent_id -> DbUuid,
            server_id -> DbUuid,
        }
    }

    diesel::table! {
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::sql_types::{Nullable, Text};

        threat_findings (org_id, id) {
            org_id -> DbUuid,
            id -> DbUuid,
            agent_id -> Nullable<DbUuid>,
            detector -> Text,
            severity -> Text,
            status -> Text,
            last_seen_at -> DbTime,
        }
    }
}

use theirs::{mcp_attestations, mcp_connections, mcp_servers, threat_findings};

/// Marks the ids of MCP servers, as far as they are read here.
enum ServerKind {}
type ServerId = Id<ServerKind>;

/// Marks the ids of findings, as far as they are read here.
enum FindingKind {}

struct Server {
    id: ServerId,
    name: String,
    verified: bool,
    ended: bool,
    at: Timestamp,
}

/// The MCP servers that an agent is connected to.
pub(crate) struct Servers(Vec<(String, String, Timestamp, bool)>);

impl Servers {
    /// How many, and how many of them are attested.
    pub(crate) fn counts(&self) -> Mcp {
        let number = |servers: usize| i64::try_from(servers).unwrap_or(i64::MAX);
        Mcp {
            servers: number(self.0.len()),
            attested: number(self.0.iter().filter(|(.., attested)| *attested).count()),
        }
    }

    /// Those that are not attested first, at most `most`.
    pub(crate) fn cited(&self, most: usize) -> Vec<Cited> {
        let mut servers: Vec<_> = self.0.iter().collect();
        servers.sort_by_key(|(_, name, _, attested)| (*attested, name.clone()));
        servers
            .into_iter()
            .take(most)
            .map(|(id, name, at, attested)| {
                let note = if *attested {
                    format!("{name} is attested")
                } else {
                    format!("{name} is not attested")
                };
                cited(Factor::McpAttestation, "mcp_server", id.clone(), *at, note)
            })
            .collect()
    }
}

/// The MCP servers of these agents. A server counts as attested when AIM verified it, or when another agent
/// than this one attested its present manifest within 30 days; an agent cannot vouch for its own choice.
pub(crate) fn connected(
    db: &mut Db,
    organization: OrganizationId,
    of: &[AgentId],
    now: Timestamp,
) -> Result<HashMap<AgentId, Servers>> {
    let connections: Vec<(AgentId, ServerId)> = each!(db, c => mcp_connections::table
        .filter(mcp_connections::org_id.eq(organization))
        .filter(mcp_connections::agent_id.eq_any(of))
        .select((mcp_connections::agent_id, mcp_connections::server_id))
        .load(c))?;
    if connections.is_empty() {
        return Ok(HashMap::new());
    }
    let mut ids: Vec<ServerId> = connections.iter().map(|(_, server)| *server).collect();
    ids.sort_unstable();
    ids.dedup();
    type Row = (ServerId, String, String, Timestamp, i64);
    let rows: Vec<Row> = each!(db, c => mcp_servers::table
        .filter(mcp_servers::org_id.eq(organization))
        .filter(mcp_servers::id.eq_any(&ids))
        .filter(mcp_servers::deleted_at.is_null())
        .select((
            mcp_servers::id,
            mcp_servers::name,
            mcp_servers::status,
            mcp_servers::updated_at,
            mcp_servers::manifest_version,
        ))
        .load(c))?;
    type Attestation = (ServerId, AgentId, i64);
    let fresh: HashSet<Attestation> = each!(db, c => mcp_attestations::table
        .filter(mcp_attestations::org_id.eq(organization))
        .filter(mcp_attestations::server_id.eq_any(&ids))
        .filter(mcp_attestations::attested_at.gt(now - TimeDelta::days(ATTESTED_DAYS)))
        .select((
            mcp_attestations::server_id,
            mcp_attestations::agent_id,
            mcp_attestations::manifest_version,
        ))
        .load::<Attestation>(c))?
    .into_iter()
    .collect();
    let mut found: HashMap<AgentId, Servers> = HashMap::new();
    for (agent, server) in connections {
        let Some((id, name, status, updated_at, version)) = rows.iter().find(|row| row.0 == server) else {
            continue;
        };
        let server = Server {
            id: *id,
            name: name.clone(),
            verified: status == "verified",
            ended: matches!(status.as_str(), "suspended" | "revoked"),
            at: *updated_at,
        };
        let vouched = fresh
            .iter()
            .any(|(of, by, at)| *of == server.id && *by != agent && at == version);
        let attested = !server.ended && (server.verified || vouched);
        found.entry(agent).or_insert_with(|| Servers(Vec::new())).0.push((
            server.id.to_string(),
            server.name,
            server.at,
            attested,
        ));
    }
    Ok(found)
}

/// A threat finding about an agent.
pub(crate) struct Finding {
    pub(crate) agent: AgentId,
    pub(crate) at: Timestamp,
    id: String,
    detector: String,
    severity: String,
}

impl Finding {
    /// What it takes from the factor `incidents`.
    pub(crate) fn points(&self) -> i64 {
        match self.severity.as_str() {
            "critical" => 30,
            "high" => 15,
            "medium" => 5,
            _ => 1,
        }
    }

    /// The finding as a citation.
    pub(crate) fn cited(&self) -> Cited {
        let note = format!(
            "threat finding: {}, {}",
            self.detector.replace('_', " "),
            self.severity
        );
        cited(
            Factor::Incidents,
            "threat_finding",
            self.id.clone(),
            self.at,
            note,
        )
    }
}

/// What others do with an agent's name: anybody can send forged signatures, and an agent must not lose trust
/// by it. Bursts of denials and probing are violations already, and count there.
const NOT_COUNTED: [&str; 5] = [
    "forged_signature",
    "replayed_signature",
    "ended_key",
    "denial_burst",
    "capability_probing",
];

/// The findings about these agents since `from` that were not marked as false.
pub(crate) fn findings(
    db: &mut Db,
    organization: OrganizationId,
    of: &[AgentId],
    from: Timestamp,
) -> Result<Vec<Finding>> {
    type Row = (Option<AgentId>, Id<FindingKind>, String, String, Timestamp);
    let wanted: Vec<Option<AgentId>> = of.iter().copied().map(Some).collect();
    let rows: Vec<Row> = each!(db, c => threat_findings::table
        .filter(threat_findings::org_id.eq(organization))
        .filter(threat_findings::agent_id.eq_any(&wanted))
        .filter(threat_findings::last_seen_at.ge(from))
        .filter(threat_findings::status.ne("false_positive"))
        .filter(threat_findings::detector.ne_all(NOT_COUNTED))
        .order(threat_findings::id.desc())
        .select((
            threat_findings::agent_id,
            threat_findings::id,
            threat_findings::detector,
            threat_findings::severity,
            threat_findings::last_seen_at,
        ))
        .load(c))?;
    Ok(rows
        .into_iter()
        .filter_map(|(agent, id, detector, severity, at)| {
            Some(Finding {
                agent: agent?,
                at,
                id: id.to_string(),
                detector,
                severity,
            })
        })
        .collect())
}
