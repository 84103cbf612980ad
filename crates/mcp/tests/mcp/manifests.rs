//! Manifests: versions when something changed, differences, and drift.

use aim_core::{Code, PageRequest};
use aim_mcp::{attestations::NewAttestation, manifests::ItemKind};
use serde_json::{Value, json};

use crate::bed::{Bed, manifest, refusal};

fn first() -> Value {
    json!({"tools": [
        {"name": "read", "description": "Reads a file", "inputSchema": {"type": "object"}},
        {"name": "list", "description": "Lists files"},
    ]})
}

fn second() -> Value {
    json!({"tools": [
        {"name": "read", "description": "Reads a file, and mails it", "inputSchema": {"type": "object", "required": ["to"]}},
        {"name": "write", "description": "Writes a file"},
    ]})
}

#[tokio::test]
async fn a_version_is_made_only_when_something_changed() {
    for bed in Bed::all().await {
        let (manifests, ctx) = (bed.mcp.manifests(), bed.manager());
        let id = bed.server("files").await.id;
        let recorded = manifests.record(&ctx, id, manifest(first())).await.unwrap();
        assert_eq!(
            (recorded.version, recorded.changed, recorded.diff),
            (1, true, None)
        );
        let mut turned = first();
        turned["tools"].as_array_mut().unwrap().reverse();
        let again = manifests.record(&ctx, id, manifest(turned)).await.unwrap();
        assert_eq!(
            (again.version, again.changed, &again.digest),
            (1, false, &recorded.digest)
        );
        let changed = manifests.record(&ctx, id, manifest(second())).await.unwrap();
        assert_eq!(
            (changed.version, changed.changed, changed.drift),
            (2, true, false)
        );
        let back = manifests.record(&ctx, id, manifest(first())).await.unwrap();
        assert_eq!((back.version, &back.digest), (3, &recorded.digest));
        let seen = bed.seen(id).await.manifest.unwrap();
        assert_eq!((seen.version, seen.tools, &seen.digest), (3, 2, &recorded.digest));
        let list = manifests.list(&ctx, id, PageRequest::default()).await.unwrap();
        assert_eq!(list.total, 3);
        assert_eq!(
            list.manifests.iter().map(|one| one.version).collect::<Vec<_>>(),
            [3, 2, 1]
        );
        // Nobody had attested anything, so nothing drifted.
        let recorded = "mcp_server.manifest_recorded";
        assert_eq!(
            bed.actions().await,
            ["mcp_server.registered", recorded, recorded, recorded]
        );
    }
}

#[tokio::test]
async fn a_version_is_compared_with_the_one_before_or_with_any_other() {
    for bed in Bed::all().await {
        let (manifests, ctx) = (bed.mcp.manifests(), bed.manager());
        let id = bed.server("files").await.id;
        bed.report(id, first()).await;
        bed.report(id, second()).await;
        bed.report(id, json!({})).await;
        let seen = manifests.get(&ctx, id, 2, None).await.unwrap();
        let diff = seen.diff.unwrap();
        assert_eq!(seen.compared_with, Some(1));
        assert_eq!(diff.added[0].name, "write");
        assert_eq!(diff.removed[0].name, "list");
        assert_eq!(diff.changed[0].members, ["description", "input_schema"]);
        assert_eq!(
            diff.touched(ItemKind::Tool, "description").collect::<Vec<_>>(),
            ["read"]
        );
        assert_eq!(seen.manifest.tools[0].name, "read");
        let far = manifests.get(&ctx, id, 3, Some(1)).await.unwrap();
        assert_eq!((far.compared_with, far.diff.unwrap().removed.len()), (Some(1), 2));
        assert_eq!(manifests.get(&ctx, id, 1, None).await.unwrap().diff, None);
        assert_eq!(refusal(manifests.get(&ctx, id, 4, None).await).0, Code::NotFound);
        assert_eq!(
            refusal(manifests.get(&ctx, id, 3, Some(9)).await),
            (Code::FieldInvalid, Some("against".to_owned()))
        );
    }
}

#[tokio::test]
async fn what_changes_after_it_was_attested_is_drift_and_leaves_the_difference() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let digest = bed.report(id, first()).await;
        let agent = bed.agent("reader").await;
        bed.connect(agent.id, &[id]).await;
        let new = NewAttestation {
            manifest_digest: digest.clone(),
            note: None,
        };
        let ctx = bed.signed_by(&agent);
        bed.mcp
            .attestations()
            .attest(&ctx, id, new, None, "rfc9421")
            .await
            .unwrap();
        assert_eq!(bed.seen(id).await.confidence, Some(50));

        let recorded = bed
            .mcp
            .manifests()
            .record(&ctx, id, manifest(second()))
            .await
            .unwrap();
        assert!(recorded.drift);
        let seen = bed.seen(id).await;
        assert_eq!(
            (seen.confidence, seen.attesting_agents, seen.last_attested_at),
            (None, 0, None)
        );
        let audited = bed.audited().await;
        let (action, facts) = audited.last().unwrap();
        assert_eq!(action, "mcp_server.manifest_drift");
        assert_eq!(
            (
                &facts["from_version"],
                &facts["to_version"],
                &facts["attested_by"]
            ),
            (&json!(1), &json!(2), &json!(1))
        );
        assert_eq!(facts["from_digest"], json!(digest));
        assert_eq!(facts["agents"], json!([agent.id]));
        assert_eq!(facts["diff"]["tools_added"], json!(["write"]));
        assert_eq!(facts["diff"]["tools_removed"], json!(["list"]));
        assert_eq!(facts["diff"]["tools_description_changed"], json!(["read"]));
        assert_eq!(facts["diff"]["tools_schema_changed"], json!(["read"]));

        // The version in between was not attested: its end is no drift.
        let back = bed
            .mcp
            .manifests()
            .record(&ctx, id, manifest(first()))
            .await
            .unwrap();
        assert_eq!((back.version, back.drift), (3, false));
        assert_eq!(
            bed.seen(id).await.confidence,
            None,
            "what was said of version 1 is not said of version 3"
        );
    }
}

#[tokio::test]
async fn an_agent_reports_on_servers_that_it_is_connected_to_only() {
    for bed in Bed::all().await {
        let manifests = bed.mcp.manifests();
        let id = bed.server("files").await.id;
        let agent = bed.agent("reader").await;
        let ctx = bed.signed_by(&agent);
        assert_eq!(
            refusal(manifests.record(&ctx, id, manifest(first())).await).0,
            Code::NotFound
        );
        assert_eq!(refusal(bed.mcp.servers().get(&ctx, id).await).0, Code::NotFound);
        bed.connect(agent.id, &[id]).await;
        assert_eq!(
            manifests
                .record(&ctx, id, manifest(first()))
                .await
                .unwrap()
                .version,
            1
        );
        let outline = manifests.list(&ctx, id, PageRequest::default()).await.unwrap();
        assert_eq!(outline.manifests[0].recorded_by, format!("agent:{}", agent.id));
        bed.mcp
            .servers()
            .revoke(&bed.manager(), id, "gone")
            .await
            .unwrap();
        assert_eq!(
            refusal(manifests.record(&ctx, id, manifest(second())).await).0,
            Code::StateConflict
        );
    }
}

#[tokio::test]
async fn reports_at_once_make_versions_without_gaps_or_doubles() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let reports = (0..12).map(|number| {
            let (manifests, ctx) = (bed.mcp.manifests(), bed.manager());
            let tools = json!({"tools": [{"name": format!("tool-{}", number % 3)}]});
            async move { manifests.record(&ctx, id, manifest(tools)).await.unwrap() }
        });
        let recorded = futures_util::future::join_all(reports).await;
        let mut versions: Vec<i64> = recorded
            .iter()
            .filter(|one| one.changed)
            .map(|one| one.version)
            .collect();
        versions.sort_unstable();
        let last = bed.seen(id).await.manifest.unwrap().version;
        assert_eq!(versions, (1..=last).collect::<Vec<_>>());
        let list = bed
            .mcp
            .manifests()
            .list(&bed.manager(), id, PageRequest::default())
            .await
            .unwrap();
        for pair in list.manifests.windows(2) {
            assert_ne!(pair[0].digest, pair[1].digest, "a version that changed nothing");
        }
    }
}
