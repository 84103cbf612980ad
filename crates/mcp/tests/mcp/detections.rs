//! Detections: what is registered gets connected, what is not stays visible.

use aim_core::Code;
use aim_mcp::{
    connections::Source,
    detections::{Detection, model::SDK_INTEGRATION},
    servers::{McpServerId, NewServer},
};

use crate::bed::{Bed, new_server, refusal};

fn found(name: &str, method: &str) -> Detection {
    Detection {
        name: name.to_owned(),
        method: method.to_owned(),
        confidence: 94.6,
        details: None,
        sdk_version: Some("aim-sdk-python@2.0.3".to_owned()),
    }
}

#[tokio::test]
async fn a_report_tells_new_from_known_and_connects_what_is_registered() {
    for bed in Bed::all().await {
        let detections = bed.mcp.detections();
        let files = bed.server("files").await.id;
        let agent = bed.agent("reader").await;
        let ctx = bed.signed_by(&agent);
        let report = vec![
            found("files", "claude_config"),
            found("files", "sdk_import"),
            found("shadow", "claude_config"),
        ];
        let told = detections.report(&ctx, agent.id, report.clone()).await.unwrap();
        assert_eq!(
            (told.processed, &told.new[..]),
            (3, &["files".to_owned(), "shadow".to_owned()][..])
        );
        let again = detections.report(&ctx, agent.id, report).await.unwrap();
        assert_eq!((again.new.len(), again.known.len()), (0, 2));

        let of_agent = bed.mcp.connections().of_agent(&ctx, agent.id).await.unwrap();
        assert_eq!(
            (of_agent.total, of_agent.mcp_servers[0].source),
            (1, Source::Detected)
        );
        assert_eq!(bed.talks_to(agent.id).await, ["files"]);
        let status = detections.status(&ctx, agent.id).await.unwrap();
        assert_eq!(status.sdk_version.as_deref(), Some("aim-sdk-python@2.0.3"));
        assert!(!status.sdk_installed);
        let [registered, shadow] = &status.servers[..] else {
            panic!("{status:?}")
        };
        assert_eq!(
            (
                registered.mcp_server_id,
                registered.confidence,
                &registered.methods[..]
            ),
            (
                Some(files),
                95,
                &["claude_config".to_owned(), "sdk_import".to_owned()][..]
            )
        );
        assert_eq!((shadow.name.as_str(), shadow.mcp_server_id), ("shadow", None));
        assert_eq!(
            bed.actions().await,
            [
                "mcp_server.registered",
                "mcp_server.detected",
                "mcp_connection.added"
            ],
            "a report of what is known leaves no record"
        );

        detections
            .report(&ctx, agent.id, vec![found("aim-sdk", SDK_INTEGRATION)])
            .await
            .unwrap();
        let status = detections.status(&ctx, agent.id).await.unwrap();
        assert_eq!((status.sdk_installed, status.servers.len()), (true, 2));
    }
}

#[tokio::test]
async fn a_name_that_two_servers_have_connects_to_neither() {
    for bed in Bed::all().await {
        bed.server("files").await;
        let twin = NewServer {
            url: "https://twin.example.com".to_owned(),
            ..new_server("files")
        };
        bed.mcp.servers().register(&bed.manager(), twin).await.unwrap();
        let agent = bed.agent("reader").await;
        let ctx = bed.signed_by(&agent);
        bed.mcp
            .detections()
            .report(&ctx, agent.id, vec![found("files", "claude_config")])
            .await
            .unwrap();
        assert_eq!(
            bed.mcp
                .connections()
                .of_agent(&ctx, agent.id)
                .await
                .unwrap()
                .total,
            0
        );
        let status = bed.mcp.detections().status(&ctx, agent.id).await.unwrap();
        assert_eq!(status.servers[0].mcp_server_id, None);
    }
}

#[tokio::test]
async fn use_of_a_server_is_reported_by_id_or_name() {
    for bed in Bed::all().await {
        let detections = bed.mcp.detections();
        let (files, mail) = (bed.server("files").await.id, bed.server("mail").await.id);
        let agent = bed.agent("reader").await;
        let ctx = bed.signed_by(&agent);
        let using = vec![
            found(&files.to_string(), "manual"),
            found("mail", "manual"),
            found("unheard-of", "manual"),
        ];
        let added = detections
            .report_use(&ctx, agent.id, using.clone())
            .await
            .unwrap();
        assert_eq!(added.added_servers, [files, mail]);
        assert_eq!(bed.talks_to(agent.id).await, ["files", "mail", "unheard-of"]);
        let again = detections.report_use(&ctx, agent.id, using).await.unwrap();
        assert!(again.added_servers.is_empty());
        assert_eq!(again.total_count, 3);
        let unknown = McpServerId::generate(ctx.now).to_string();
        let refused = refusal(
            detections
                .report_use(&ctx, agent.id, vec![found(&unknown, "manual")])
                .await,
        );
        assert_eq!(refused, (Code::FieldInvalid, Some("mcp_server_ids".to_owned())));
    }
}

#[tokio::test]
async fn an_agent_reports_for_itself_only_and_within_bounds() {
    for bed in Bed::all().await {
        let detections = bed.mcp.detections();
        let (agent, other) = (bed.agent("reader").await, bed.agent("writer").await);
        let ctx = bed.signed_by(&agent);
        let good = || found("files", "claude_config");
        assert_eq!(
            refusal(detections.report(&ctx, other.id, vec![good()]).await).0,
            Code::NotFound
        );
        assert_eq!(refusal(detections.status(&ctx, other.id).await).0, Code::NotFound);
        assert_eq!(
            refusal(detections.status(&bed.stranger(), agent.id).await).0,
            Code::NotFound
        );
        let bad = [
            (
                Detection {
                    name: String::new(),
                    ..good()
                },
                "detections[0].mcp_server",
            ),
            (
                Detection {
                    method: "by looking".to_owned(),
                    ..good()
                },
                "detections[0].detection_method",
            ),
            (
                Detection {
                    confidence: 101.0,
                    ..good()
                },
                "detections[0].confidence",
            ),
            (
                Detection {
                    confidence: f64::NAN,
                    ..good()
                },
                "detections[0].confidence",
            ),
        ];
        for (detection, field) in bad {
            let refused = refusal(detections.report(&ctx, agent.id, vec![detection]).await);
            assert_eq!(refused.1.as_deref(), Some(field));
        }
        assert_eq!(
            refusal(detections.report(&ctx, agent.id, vec![]).await)
                .1
                .as_deref(),
            Some("detections")
        );
        let many = |from: usize| {
            (from..from + 100)
                .map(|n| found(&format!("s{n}"), "x"))
                .collect::<Vec<_>>()
        };
        for block in 0..5 {
            detections
                .report(&ctx, agent.id, many(block * 100))
                .await
                .unwrap();
        }
        assert_eq!(
            refusal(detections.report(&ctx, agent.id, many(500)).await).0,
            Code::Conflict
        );
        assert_eq!(
            detections.status(&ctx, agent.id).await.unwrap().servers.len(),
            500
        );
    }
}
