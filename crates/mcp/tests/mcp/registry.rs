//! The registry: one entry an address, states, tenants.

use aim_core::{Code, PageRequest};
use aim_crypto::keys::SigningKey;
use aim_mcp::servers::{NewServer, ServerFilter, ServerQuery, ServerStatus, UpdateServer};

use crate::bed::{Bed, new_server, refusal};

#[tokio::test]
async fn an_address_is_registered_once_however_it_is_spelled_and_is_free_after_deletion() {
    for bed in Bed::all().await {
        let (servers, ctx) = (bed.mcp.servers(), bed.manager());
        let first = bed.server("files").await;
        assert_eq!(first.status, ServerStatus::Pending);
        let again = NewServer {
            url: "HTTPS://FILES.example.com:443/mcp/".to_owned(),
            ..new_server("other-name")
        };
        let refused = refusal(servers.register(&ctx, again.clone()).await);
        assert_eq!(refused, (Code::Conflict, Some("url".to_owned())));
        // Another tenant's registry is another registry.
        servers.register(&bed.stranger(), again.clone()).await.unwrap();
        let revoked = servers.revoke(&ctx, first.id, "not ours").await.unwrap();
        assert_eq!(revoked.status, ServerStatus::Revoked);
        assert_eq!(
            refusal(servers.register(&ctx, again.clone()).await).0,
            Code::Conflict
        );
        servers.delete(&ctx, first.id).await.unwrap();
        let second = servers.register(&ctx, again).await.unwrap();
        assert_ne!(second.id, first.id);
        assert_eq!(refusal(servers.get(&ctx, first.id).await).0, Code::NotFound);
        assert_eq!(
            bed.actions().await,
            [
                "mcp_server.registered",
                "mcp_server.revoked",
                "mcp_server.deleted",
                "mcp_server.registered"
            ]
        );
    }
}

#[tokio::test]
async fn states_change_as_the_table_allows_and_each_change_says_why() {
    for bed in Bed::all().await {
        let (servers, ctx) = (bed.mcp.servers(), bed.manager());
        let id = bed.server("files").await.id;
        assert_eq!(refusal(servers.reactivate(&ctx, id).await).0, Code::StateConflict);
        assert_eq!(
            refusal(servers.suspend(&ctx, id, " ").await),
            (Code::FieldInvalid, Some("reason".to_owned()))
        );
        let suspended = servers.suspend(&ctx, id, "drifted").await.unwrap();
        assert_eq!(
            (suspended.status, suspended.status_reason.as_deref()),
            (ServerStatus::Suspended, Some("drifted"))
        );
        assert_eq!(
            refusal(servers.suspend(&ctx, id, "again").await).0,
            Code::StateConflict
        );
        let back = servers.reactivate(&ctx, id).await.unwrap();
        assert_eq!((back.status, back.status_reason), (ServerStatus::Pending, None));
        servers.revoke(&ctx, id, "given up").await.unwrap();
        assert_eq!(refusal(servers.reactivate(&ctx, id).await).0, Code::StateConflict);
        let rename = UpdateServer {
            name: Some("new".to_owned()),
            ..UpdateServer::default()
        };
        assert_eq!(
            refusal(servers.update(&ctx, id, rename).await).0,
            Code::StateConflict
        );
        assert_eq!(
            bed.actions().await,
            [
                "mcp_server.registered",
                "mcp_server.suspended",
                "mcp_server.reactivated",
                "mcp_server.revoked"
            ]
        );
    }
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_another_key_takes_the_verification_away() {
    for bed in Bed::all().await {
        let (servers, ctx) = (bed.mcp.servers(), bed.manager());
        let id = bed.server("files").await.id;
        bed.database
            .sql("UPDATE mcp_servers SET status = 'verified', verified_at = created_at")
            .await;
        let described = UpdateServer {
            description: Some("Reports".to_owned()),
            tags: Some(vec!["prod".to_owned()]),
            ..UpdateServer::default()
        };
        let server = servers.update(&ctx, id, described).await.unwrap();
        assert_eq!(
            (
                server.status,
                server.name.as_str(),
                server.description.as_str(),
                &server.tags[..]
            ),
            (
                ServerStatus::Verified,
                "files",
                "Reports",
                &["prod".to_owned()][..]
            )
        );
        let key = SigningKey::generate().unwrap().public();
        let keyed = UpdateServer {
            public_key: Some(Some(key.pem())),
            ..UpdateServer::default()
        };
        let server = servers.update(&ctx, id, keyed).await.unwrap();
        assert_eq!(
            (server.status, server.verified_at, server.fingerprint),
            (ServerStatus::Pending, None, Some(key.fingerprint().to_string()))
        );
        let stolen = UpdateServer {
            owner_id: Some(Some(aim_core::UserId::generate(ctx.now))),
            ..UpdateServer::default()
        };
        assert_eq!(
            refusal(servers.update(&ctx, id, stolen).await),
            (Code::FieldInvalid, Some("owner_id".to_owned()))
        );
    }
}

#[tokio::test]
async fn another_tenants_server_is_as_unknown_as_one_that_never_was() {
    for bed in Bed::all().await {
        let servers = bed.mcp.servers();
        let id = bed.server("files").await.id;
        let stranger = bed.stranger();
        let never = aim_mcp::servers::McpServerId::generate(stranger.now);
        for server in [id, never] {
            let refusals = [
                servers.get(&stranger, server).await.err(),
                servers
                    .update(&stranger, server, UpdateServer::default())
                    .await
                    .err(),
                servers.suspend(&stranger, server, "mischief").await.err(),
                servers.reactivate(&stranger, server).await.err(),
                servers.revoke(&stranger, server, "mischief").await.err(),
                servers.verify(&stranger, server).await.err(),
                servers.delete(&stranger, server).await.err(),
                bed.mcp
                    .manifests()
                    .list(&stranger, server, PageRequest::default())
                    .await
                    .err(),
                bed.mcp.manifests().get(&stranger, server, 1, None).await.err(),
                bed.mcp
                    .attestations()
                    .list(&stranger, server, PageRequest::default())
                    .await
                    .err(),
                bed.mcp
                    .connections()
                    .of_server(&stranger, server, PageRequest::default())
                    .await
                    .err(),
            ];
            for refusal in refusals {
                let refusal = refusal.unwrap();
                assert_eq!(
                    (refusal.code, refusal.detail),
                    (Code::NotFound, aim_core::Error::not_found().detail)
                );
            }
        }
        assert_eq!(bed.seen(id).await.status, ServerStatus::Pending);
        assert_eq!(
            servers
                .list(&stranger, ServerFilter::default())
                .await
                .unwrap()
                .total,
            0
        );
    }
}

#[tokio::test]
async fn a_list_is_filtered_sorted_and_paged_without_losing_anybody() {
    for bed in Bed::all().await {
        let (servers, ctx) = (bed.mcp.servers(), bed.manager());
        for name in ["delta", "alpha", "charlie", "bravo", "100%"] {
            bed.clock.advance(chrono::TimeDelta::milliseconds(2));
            let mut new = new_server(name);
            new.url = format!("https://{}.example.com", name.trim_end_matches('%'));
            new.tags = vec![if name < "c" { "early" } else { "late" }.to_owned()];
            servers.register(&bed.manager(), new).await.unwrap();
        }
        let names = async |query: ServerQuery| -> (Vec<String>, i64, Option<String>) {
            let list = servers.list(&ctx, query.filter().unwrap()).await.unwrap();
            let names = list.mcp_servers.into_iter().map(|server| server.name).collect();
            (names, list.total, list.next_cursor)
        };
        let all = |sort: &str| ServerQuery {
            sort: Some(sort.to_owned()),
            ..ServerQuery::default()
        };
        assert_eq!(
            names(all("name")).await.0,
            ["100%", "alpha", "bravo", "charlie", "delta"]
        );
        assert_eq!(
            names(all("-created_at")).await.0,
            ["100%", "bravo", "charlie", "alpha", "delta"]
        );
        let mut cursor = None;
        let mut walked = Vec::new();
        loop {
            let page = ServerQuery {
                limit: Some(2),
                cursor: cursor.clone(),
                ..all("-name")
            };
            let (found, total, next) = names(page).await;
            assert_eq!(total, 5);
            walked.extend(found);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(walked, ["delta", "charlie", "bravo", "alpha", "100%"]);
        let text = |text: &str| ServerQuery {
            q: Some(text.to_owned()),
            ..all("name")
        };
        assert_eq!(names(text("ALPHA")).await.0, ["alpha"]);
        assert_eq!(names(text("%")).await.0, ["100%"]);
        let tagged = ServerQuery {
            tag: Some("early".to_owned()),
            status: vec!["pending".to_owned(), "verified".to_owned()],
            ..all("name")
        };
        assert_eq!(names(tagged).await.0, ["100%", "alpha", "bravo"]);
        let suspended = ServerQuery {
            status: vec!["suspended".to_owned()],
            ..all("name")
        };
        assert_eq!(names(suspended).await.1, 0);
        let nonsense = ServerQuery {
            status: vec!["gone".to_owned()],
            ..ServerQuery::default()
        };
        assert_eq!(nonsense.filter().unwrap_err().field.as_deref(), Some("status"));
    }
}

#[tokio::test]
async fn two_who_register_one_address_at_once_make_one_entry() {
    for bed in Bed::all().await {
        let tries = (0..8).map(|_| {
            let (servers, ctx) = (bed.mcp.servers(), bed.manager());
            async move { servers.register(&ctx, new_server("files")).await }
        });
        let outcomes = futures_util::future::join_all(tries).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(error.code, Code::Conflict);
        }
        assert_eq!(bed.actions().await, ["mcp_server.registered"]);
    }
}
