//! Connections, and the names in `talks_to`.

use aim_core::{Code, PageRequest};
use aim_mcp::{
    connections::Source,
    servers::{McpServerId, UpdateServer},
};

use crate::bed::{Bed, ids, refusal};

#[tokio::test]
async fn servers_are_connected_all_or_none_and_their_names_stand_in_talks_to() {
    for bed in Bed::all().await {
        let (connections, ctx) = (bed.mcp.connections(), bed.manager());
        let agent = bed.agent("reader").await;
        let (files, mail) = (bed.server("files").await.id, bed.server("mail").await.id);
        let unknown = McpServerId::generate(ctx.now);
        let refused = refusal(connections.connect(&ctx, agent.id, ids(&[files, unknown])).await);
        assert_eq!(
            refused,
            (Code::FieldInvalid, Some("mcp_server_ids[1]".to_owned()))
        );
        assert!(bed.talks_to(agent.id).await.is_empty(), "nothing was changed");

        let added = connections
            .connect(&ctx, agent.id, ids(&[files, files, mail]))
            .await
            .unwrap();
        assert_eq!(
            (&added.talks_to[..], &added.added_servers[..], added.total_count),
            (
                &["files".to_owned(), "mail".to_owned()][..],
                &[files, mail][..],
                2
            )
        );
        let again = connections.connect(&ctx, agent.id, ids(&[mail])).await.unwrap();
        assert!(again.added_servers.is_empty());
        assert_eq!(bed.talks_to(agent.id).await, ["files", "mail"]);
        let of_agent = connections.of_agent(&ctx, agent.id).await.unwrap();
        let names: Vec<_> = of_agent
            .mcp_servers
            .iter()
            .map(|one| one.server.name.as_str())
            .collect();
        assert_eq!((names, of_agent.total), (vec!["files", "mail"], 2));
        let of_server = connections
            .of_server(&ctx, mail, PageRequest::default())
            .await
            .unwrap();
        assert_eq!((of_server.agents[0].id, of_server.total), (agent.id, 1));
        assert_eq!(bed.seen(mail).await.connected_agents, 1);
        assert_eq!(
            bed.actions().await,
            [
                "mcp_server.registered",
                "mcp_server.registered",
                "mcp_connection.added"
            ],
            "what changed nothing left no record"
        );
    }
}

#[tokio::test]
async fn a_bulk_removal_answers_as_documented_and_is_undone_by_connecting_again() {
    for bed in Bed::all().await {
        let (connections, ctx) = (bed.mcp.connections(), bed.manager());
        let agent = bed.agent("reader").await;
        let mut servers = Vec::new();
        for name in ["files", "mail", "web"] {
            servers.push(bed.server(name).await.id);
        }
        let others = bed.agent("other").await;
        bed.connect(agent.id, &servers).await;
        bed.connect(others.id, &servers).await;

        let unknown = McpServerId::generate(ctx.now);
        let refused = refusal(
            connections
                .disconnect(&ctx, agent.id, ids(&[servers[0], unknown]))
                .await,
        );
        assert_eq!(
            refused,
            (Code::FieldInvalid, Some("mcp_server_ids[1]".to_owned()))
        );
        assert_eq!(
            bed.talks_to(agent.id).await,
            ["files", "mail", "web"],
            "all or none"
        );
        assert_eq!(
            refusal(connections.disconnect(&ctx, agent.id, ids(&[])).await)
                .1
                .as_deref(),
            Some("mcp_server_ids")
        );

        let removed = connections
            .disconnect(&ctx, agent.id, ids(&servers[..2]))
            .await
            .unwrap();
        let json = serde_json::to_value(&removed).unwrap();
        let mut members: Vec<&String> = json.as_object().unwrap().keys().collect();
        members.sort_unstable();
        assert_eq!(members, ["message", "removed_servers", "talks_to", "total_count"]);
        assert_eq!(
            (
                &removed.talks_to[..],
                &removed.removed_servers[..],
                removed.total_count
            ),
            (&["web".to_owned()][..], &servers[..2], 1)
        );
        assert_eq!(bed.talks_to(agent.id).await, ["web"]);
        assert_eq!(
            bed.talks_to(others.id).await,
            ["files", "mail", "web"],
            "nobody else was touched"
        );
        let audited = bed.audited().await;
        let (action, facts) = audited.last().unwrap();
        assert_eq!(
            (action.as_str(), &facts["server_ids"]),
            ("mcp_connection.removed", &serde_json::json!(&servers[..2]))
        );

        bed.connect(agent.id, &removed.removed_servers).await;
        assert_eq!(connections.of_agent(&ctx, agent.id).await.unwrap().total, 3);
        let one = connections
            .disconnect_one(&ctx, agent.id, servers[2])
            .await
            .unwrap();
        assert_eq!(one.removed_servers, [servers[2]]);
        assert_eq!(
            refusal(connections.disconnect_one(&ctx, agent.id, servers[2]).await).0,
            Code::NotFound
        );
    }
}

#[tokio::test]
async fn names_that_people_wrote_stay_and_a_name_of_two_servers_goes_with_the_last() {
    for bed in Bed::all().await {
        let (connections, ctx) = (bed.mcp.connections(), bed.manager());
        let agent = bed.agent("reader").await;
        let set = if bed.database.kind == "postgres" {
            r#"UPDATE agents SET talks_to = '["billing"]'::jsonb"#
        } else {
            r#"UPDATE agents SET talks_to = '["billing"]'"#
        };
        bed.database.sql(set).await;
        let first = bed.server("files").await.id;
        let mut twin = crate::bed::new_server("files");
        twin.url = "https://twin.example.com".to_owned();
        let twin = bed.mcp.servers().register(&ctx, twin).await.unwrap().id;
        bed.connect(agent.id, &[first, twin]).await;
        assert_eq!(bed.talks_to(agent.id).await, ["billing", "files"]);
        connections.disconnect_one(&ctx, agent.id, first).await.unwrap();
        assert_eq!(bed.talks_to(agent.id).await, ["billing", "files"]);
        connections.disconnect_one(&ctx, agent.id, twin).await.unwrap();
        assert_eq!(bed.talks_to(agent.id).await, ["billing"]);
    }
}

#[tokio::test]
async fn a_server_that_is_renamed_or_deleted_takes_its_name_along() {
    for bed in Bed::all().await {
        let ctx = bed.manager();
        let agent = bed.agent("reader").await;
        let (files, mail) = (bed.server("files").await.id, bed.server("mail").await.id);
        bed.connect(agent.id, &[files, mail]).await;
        let rename = UpdateServer {
            name: Some("reports".to_owned()),
            ..UpdateServer::default()
        };
        bed.mcp.servers().update(&ctx, files, rename).await.unwrap();
        assert_eq!(bed.talks_to(agent.id).await, ["mail", "reports"]);
        bed.mcp.servers().delete(&ctx, mail).await.unwrap();
        assert_eq!(bed.talks_to(agent.id).await, ["reports"]);
        assert_eq!(
            bed.mcp
                .connections()
                .of_agent(&ctx, agent.id)
                .await
                .unwrap()
                .total,
            1
        );
        assert_eq!(
            bed.database.count("SELECT count(*) FROM mcp_connections").await,
            1
        );
    }
}

#[tokio::test]
async fn an_agent_adds_for_itself_only_and_hides_nothing() {
    for bed in Bed::all().await {
        let connections = bed.mcp.connections();
        let (agent, other) = (bed.agent("reader").await, bed.agent("writer").await);
        let files = bed.server("files").await.id;
        let ctx = bed.signed_by(&agent);
        connections.connect(&ctx, agent.id, ids(&[files])).await.unwrap();
        let seen = connections.of_agent(&ctx, agent.id).await.unwrap();
        assert_eq!(seen.mcp_servers[0].source, Source::Reported);
        assert_eq!(
            refusal(connections.connect(&ctx, other.id, ids(&[files])).await).0,
            Code::NotFound
        );
        assert_eq!(
            refusal(connections.of_agent(&ctx, other.id).await).0,
            Code::NotFound
        );
        assert_eq!(
            refusal(connections.disconnect(&ctx, agent.id, ids(&[files])).await).0,
            Code::Forbidden
        );
        assert_eq!(
            refusal(connections.disconnect_one(&ctx, agent.id, files).await).0,
            Code::Forbidden
        );
        let stranger = bed.stranger();
        assert_eq!(
            refusal(connections.connect(&stranger, agent.id, ids(&[files])).await).0,
            Code::NotFound
        );
        assert_eq!(
            refusal(connections.of_agent(&stranger, agent.id).await).0,
            Code::NotFound
        );
    }
}

#[tokio::test]
async fn changes_at_once_leave_talks_to_and_connections_in_agreement() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let mut servers = Vec::new();
        for number in 0..6 {
            servers.push(bed.server(&format!("server-{number}")).await.id);
        }
        bed.connect(agent.id, &servers[..3]).await;
        let changes = (0..6).map(|number| {
            let (connections, registry, ctx, id) = (
                bed.mcp.connections(),
                bed.mcp.servers(),
                bed.manager(),
                servers[number],
            );
            let agent = agent.id;
            async move {
                match number {
                    0 | 1 => connections.disconnect_one(&ctx, agent, id).await.map(|_| ()),
                    2 => registry.delete(&ctx, id).await,
                    _ => connections.connect(&ctx, agent, ids(&[id])).await.map(|_| ()),
                }
            }
        });
        for outcome in futures_util::future::join_all(changes).await {
            outcome.unwrap();
        }
        let mut names = bed.talks_to(agent.id).await;
        names.sort_unstable();
        assert_eq!(names, ["server-3", "server-4", "server-5"]);
        assert_eq!(
            bed.mcp
                .connections()
                .of_agent(&bed.manager(), agent.id)
                .await
                .unwrap()
                .total,
            3
        );
    }
}
