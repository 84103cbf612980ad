//! What other capabilities recorded: MCP servers and threat findings.

use aim_core::{AgentId, Role, Timestamp};
use uuid::Uuid;

use crate::bed::Bed;

/// An id as the database writes it.
fn id(bed: &Bed, id: Uuid) -> String {
    if bed.database.kind == "sqlite" {
        format!("X'{}'", id.simple())
    } else {
        format!("'{id}'::uuid")
    }
}

/// A moment as the database writes it.
fn moment(bed: &Bed, at: Timestamp) -> String {
    if bed.database.kind == "sqlite" {
        at.timestamp_micros().to_string()
    } else {
        format!("TIMESTAMPTZ '{}'", at.to_text())
    }
}

async fn server(bed: &Bed, agent: AgentId, name: &str, status: &str) -> Uuid {
    let uuid = Uuid::new_v4();
    let (organization, this, agent, now) = (
        id(bed, bed.organization.uuid()),
        id(bed, uuid),
        id(bed, agent.uuid()),
        moment(bed, bed.now()),
    );
    bed.database
        .sql(&format!(
            "INSERT INTO mcp_servers (org_id, id, name, url, description, version, tags, status, manifest_version, \
             tool_count, resource_count, prompt_count, created_by, created_at, updated_at) \
             VALUES ({organization}, {this}, '{name}', 'https://{name}', '', '', '[]', '{status}', 2, 0, 0, 0, 'test', {now}, {now})"
        ))
        .await;
    bed.database
        .sql(&format!(
            "INSERT INTO mcp_connections (org_id, agent_id, server_id, source, created_by, created_at) \
             VALUES ({organization}, {agent}, {this}, 'manual', 'test', {now})"
        ))
        .await;
    uuid
}

async fn attested(bed: &Bed, server: Uuid, by: AgentId, version: i64) {
    let (organization, server, by, this, now) = (
        id(bed, bed.organization.uuid()),
        id(bed, server),
        id(bed, by.uuid()),
        id(bed, Uuid::new_v4()),
        moment(bed, bed.now()),
    );
    bed.database
        .sql(&format!(
            "INSERT INTO mcp_attestations (org_id, server_id, agent_id, manifest_version, id, manifest_digest, scheme, \
             first_attested_at, attested_at, times) \
             VALUES ({organization}, {server}, {by}, {version}, {this}, '', 'rfc9421', {now}, {now}, 1)"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_counts_as_attested_by_others_or_by_its_own_proof_and_never_by_the_agent_itself() {
    for bed in Bed::all().await {
        let (agent, other) = (bed.agent("connected").await, bed.agent("other").await);
        bed.decided(agent, 40, 0).await;
        server(&bed, agent, "verified", "verified").await;
        server(&bed, agent, "suspended", "suspended").await;
        let own = server(&bed, agent, "own-word", "pending").await;
        let vouched = server(&bed, agent, "vouched", "pending").await;
        let outdated = server(&bed, agent, "outdated", "pending").await;
        attested(&bed, own, agent, 2).await;
        attested(&bed, vouched, other, 2).await;
        attested(&bed, outdated, other, 1).await;
        bed.run().await;
        let viewer = bed.as_role(Role::Viewer);
        let breakdown = bed.trust.breakdown(&viewer, agent).await.unwrap();
        let mcp = breakdown.inputs.unwrap().mcp.unwrap();
        assert_eq!((mcp.servers, mcp.attested), (5, 2));
        assert_eq!(breakdown.factors["mcp_attestation"], Some(40));
        // An attestation is good for a month.
        bed.pass(chrono::TimeDelta::days(31));
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        let breakdown = bed.trust.breakdown(&viewer, agent).await.unwrap();
        assert_eq!(breakdown.inputs.unwrap().mcp.unwrap().attested, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_count_unless_they_are_false_counted_elsewhere_or_of_somebody_else_s_making() {
    for bed in Bed::all().await {
        let agent = bed.agent("found").await;
        bed.decided(agent, 40, 0).await;
        for (detector, severity, status) in [
            ("shared_key", "high", "open"),
            ("unusual_volume", "medium", "handled"),
            ("honeytoken", "critical", "false_positive"),
            ("forged_signature", "critical", "open"),
            ("replayed_signature", "critical", "open"),
            ("ended_key", "critical", "open"),
            ("denial_burst", "high", "open"),
            ("capability_probing", "high", "open"),
        ] {
            let (organization, this, agent, now) = (
                id(&bed, bed.organization.uuid()),
                id(&bed, Uuid::new_v4()),
                id(&bed, agent.uuid()),
                moment(&bed, bed.now()),
            );
            bed.database
                .sql(&format!(
                    "INSERT INTO threat_findings (org_id, id, agent_id, detector, subject, severity, status, response, \
                     evidence, count, first_seen_at, last_seen_at) VALUES ({organization}, {this}, {agent}, \
                     '{detector}', 'it', '{severity}', '{status}', 'alert', '{{}}', 1, {now}, {now})"
                ))
                .await;
        }
        bed.run().await;
        let breakdown = bed
            .trust
            .breakdown(&bed.as_role(Role::Viewer), agent)
            .await
            .unwrap();
        assert_eq!(breakdown.factors["incidents"], Some(80), "15 and 5 points");
    }
}
