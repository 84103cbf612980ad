//! Agents: proof of possession, names, tenants, what lists find, and how an agent ends.

use std::collections::BTreeSet;

use aim_core::{Actor, AgentCredential, Code, PageRequest};
use aim_crypto::keys::SigningKey;
use aim_decision::AgentStatus;
use aim_identity::agents::{AgentFilter, AgentSort, UpdateAgent};
use chrono::TimeDelta;

use crate::{
    common::{World, worlds},
    registration::refusal,
};

async fn names(world: &World, filter: AgentFilter) -> Vec<String> {
    let list = world
        .identity
        .agents()
        .list(&world.admin(), filter)
        .await
        .unwrap();
    assert_eq!(list.total, i64::try_from(list.agents.len()).unwrap());
    list.agents.into_iter().map(|agent| agent.name).collect()
}

#[tokio::test]
async fn suspension_and_reactivation_move_the_epoch_and_refuse_what_is_no_change() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        let (agent, _) = world.register(&admin, "a").await;
        let epoch = "SELECT epoch FROM agents";
        assert_eq!(
            agents.reactivate(&admin, agent.id).await.unwrap_err().code,
            Code::StateConflict
        );
        assert_eq!(
            agents
                .suspend(&admin, agent.id, " ")
                .await
                .unwrap_err()
                .field
                .as_deref(),
            Some("reason")
        );
        assert_eq!(world.database.count(epoch).await, 0);
        let suspended = agents.suspend(&admin, agent.id, "odd calls").await.unwrap();
        assert_eq!(suspended.status, AgentStatus::Suspended);
        assert_eq!(world.database.count(epoch).await, 1);
        assert_eq!(
            agents.suspend(&admin, agent.id, "again").await.unwrap_err().code,
            Code::StateConflict
        );
        let active = agents.reactivate(&admin, agent.id).await.unwrap();
        assert_eq!(active.status, AgentStatus::Active);
        assert_eq!(world.database.count(epoch).await, 2);
        assert_eq!(
            world.audited("agent.suspended").await + world.audited("agent.reactivated").await,
            2
        );
    }
}

#[tokio::test]
async fn several_agents_are_suspended_together_or_not_at_all() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        let (first, _) = world.register(&admin, "first").await;
        let (second, _) = world.register(&admin, "second").await;
        let (third, _) = world.register(&admin, "third").await;
        let (foreign, _) = world.register(&world.stranger(), "foreign").await;
        for (ids, reason, field) in [
            (vec![], "break-in", "ids"),
            (vec![first.id; 101], "break-in", "ids"),
            (vec![first.id], "  ", "reason"),
        ] {
            let error = agents.suspend_all(&admin, &ids, reason).await.unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field));
        }
        let error = agents
            .suspend_all(&admin, &[first.id, foreign.id], "break-in")
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::NotFound);
        assert_eq!(
            agents.get(&admin, first.id).await.unwrap().status,
            AgentStatus::Active
        );
        assert_eq!(world.audited("agent.suspended").await, 0);

        agents.suspend(&admin, second.id, "odd calls").await.unwrap();
        let done = agents
            .suspend_all(&admin, &[third.id, first.id, second.id, first.id], "break-in")
            .await
            .unwrap();
        // Ids of one millisecond have no order.
        let both: BTreeSet<_> = [first.id, third.id].into();
        assert_eq!(done.suspended, both.into_iter().collect::<Vec<_>>());
        assert_eq!(done.unchanged, [second.id]);
        for id in [first.id, second.id, third.id] {
            assert_eq!(
                agents.get(&admin, id).await.unwrap().status,
                AgentStatus::Suspended
            );
        }
        let foreign = agents.get(&world.stranger(), foreign.id).await.unwrap();
        assert_eq!(foreign.status, AgentStatus::Active);
        assert_eq!(world.audited("agent.suspended").await, 3);
        let changed = "SELECT count(*) FROM agents WHERE epoch = 1";
        assert_eq!(world.database.count(changed).await, 3);
    }
}

#[tokio::test]
async fn a_deleted_agent_is_gone_and_its_keys_have_ended() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        let (agent, _) = world.register(&admin, "a").await;
        agents.delete(&admin, agent.id).await.unwrap();
        assert_eq!(
            agents.get(&admin, agent.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            agents.delete(&admin, agent.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            agents.suspend(&admin, agent.id, "late").await.unwrap_err().code,
            Code::NotFound
        );
        let live = "SELECT count(*) FROM agent_keys WHERE revoked_at IS NULL";
        assert_eq!(world.database.count(live).await, 0);
        assert_eq!(world.audited("agent_key.revoked").await, 1);
        assert!(names(&world, AgentFilter::default()).await.is_empty());
        let revoked = AgentFilter {
            statuses: vec![AgentStatus::Revoked],
            ..AgentFilter::default()
        };
        assert_eq!(names(&world, revoked).await, ["a"]);
    }
}

#[tokio::test]
async fn another_tenants_agent_and_an_unknown_one_are_the_same() {
    for world in worlds().await {
        let agents = world.identity.agents();
        let (agent, _) = world.register(&world.admin(), "mine").await;
        let stranger = world.stranger();
        let unknown = stranger.new_id();
        let text = |error: aim_core::Error| format!("{error:?}");
        let change = || UpdateAgent {
            version: Some("2".to_owned()),
            ..UpdateAgent::default()
        };
        let pairs = [
            (
                text(agents.get(&stranger, agent.id).await.unwrap_err()),
                text(agents.get(&stranger, unknown).await.unwrap_err()),
            ),
            (
                text(agents.update(&stranger, agent.id, change()).await.unwrap_err()),
                text(agents.update(&stranger, unknown, change()).await.unwrap_err()),
            ),
            (
                text(agents.suspend(&stranger, agent.id, "x").await.unwrap_err()),
                text(agents.suspend(&stranger, unknown, "x").await.unwrap_err()),
            ),
            (
                text(agents.delete(&stranger, agent.id).await.unwrap_err()),
                text(agents.delete(&stranger, unknown).await.unwrap_err()),
            ),
        ];
        for (foreign, unknown) in pairs {
            assert_eq!(foreign, unknown);
        }
        assert_eq!(agents.get_by_name(&stranger, "mine").await.unwrap(), None);
        assert_eq!(
            agents
                .list(&stranger, AgentFilter::default())
                .await
                .unwrap()
                .total,
            0
        );
        assert!(agents.get(&world.admin(), agent.id).await.is_ok());
        let page = PageRequest::parse(None, None, Some(&agent.id.uuid().simple().to_string())).unwrap();
        let error = agents
            .list(
                &stranger,
                AgentFilter {
                    page,
                    ..AgentFilter::default()
                },
            )
            .await
            .unwrap_err();
        assert_eq!(
            error.field.as_deref(),
            Some("cursor"),
            "a cursor is looked up under the tenant too"
        );
    }
}

#[tokio::test]
async fn an_agent_sees_itself_and_no_other() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        let (own, key) = world.register(&admin, "own").await;
        let (other, _) = world.register(&admin, "other").await;
        let mut ctx = admin.clone();
        let fingerprint = key.public().fingerprint().to_string();
        ctx.actor = Actor::Agent {
            id: own.id,
            credential: AgentCredential::Key { fingerprint },
        };
        assert!(agents.get(&ctx, own.id).await.is_ok());
        assert_eq!(agents.get(&ctx, other.id).await.unwrap_err().code, Code::NotFound);
        assert_eq!(
            agents.get_by_name(&ctx, "other").await.unwrap_err().code,
            Code::NotFound
        );
    }
}

#[tokio::test]
async fn an_owner_is_an_active_user_of_the_organisation() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        let mut new = world
            .new_agent(&admin, "a", &SigningKey::generate().unwrap())
            .await;
        new.owner_id = Some(world.second.admin_user_id);
        assert_eq!(
            refusal(&world, new).await,
            (Code::FieldInvalid, Some("owner_id".to_owned()))
        );
        let (agent, _) = world.register(&admin, "b").await;
        let foreign = UpdateAgent {
            owner_id: Some(Some(world.second.admin_user_id)),
            ..UpdateAgent::default()
        };
        let error = agents.update(&admin, agent.id, foreign).await.unwrap_err();
        assert_eq!(error.field.as_deref(), Some("owner_id"));
        let nobody = UpdateAgent {
            owner_id: Some(None),
            ..UpdateAgent::default()
        };
        assert_eq!(
            agents.update(&admin, agent.id, nobody).await.unwrap().owner_id,
            None
        );
    }
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        let (before, _) = world.register(&admin, "a").await;
        let update = UpdateAgent {
            tags: Some(vec!["x".to_owned()]),
            repository_url: Some(Some("https://example.com/a".to_owned())),
            ..UpdateAgent::default()
        };
        world.clock.advance(TimeDelta::seconds(1));
        let after = agents.update(&world.admin(), before.id, update).await.unwrap();
        assert_eq!(after.updated_at, world.kernel.now());
        let mut expected = before.clone();
        expected.tags = vec!["x".to_owned()];
        expected.repository_url = Some("https://example.com/a".to_owned());
        expected.updated_at = after.updated_at;
        assert_eq!(after, expected);
        let cleared = UpdateAgent {
            repository_url: Some(None),
            ..UpdateAgent::default()
        };
        assert_eq!(
            agents
                .update(&admin, before.id, cleared)
                .await
                .unwrap()
                .repository_url,
            None
        );
    }
}

#[tokio::test]
async fn lists_find_by_text_type_tag_owner_and_status() {
    for world in worlds().await {
        let (agents, admin) = (world.identity.agents(), world.admin());
        for (name, description, agent_type, tags) in [
            ("alpha", "writes INVOICES", "ai_agent", vec!["prod", "a\"b"]),
            ("beta", "100% sure_thing", "mcp_server", vec!["production"]),
            ("gamma", "back\\slash", "ai_agent", vec![]),
        ] {
            let mut new = world
                .new_agent(&admin, name, &SigningKey::generate().unwrap())
                .await;
            description.clone_into(&mut new.description);
            agent_type.clone_into(&mut new.agent_type);
            new.tags = tags.into_iter().map(str::to_owned).collect();
            agents.register(&admin, new).await.unwrap();
        }
        let text = |text: &str| AgentFilter {
            text: Some(text.to_owned()),
            ..AgentFilter::default()
        };
        assert_eq!(names(&world, text("invoices")).await, ["alpha"]);
        assert_eq!(names(&world, text("BET")).await, ["beta"]);
        assert_eq!(names(&world, text("0% sure_")).await, ["beta"]);
        assert_eq!(names(&world, text("\\")).await, ["gamma"]);
        assert!(
            names(&world, text("_lph_")).await.is_empty(),
            "wildcards have no meaning"
        );
        let tag = |tag: &str| AgentFilter {
            tag: Some(tag.to_owned()),
            ..AgentFilter::default()
        };
        assert_eq!(names(&world, tag("prod")).await, ["alpha"]);
        assert_eq!(names(&world, tag("a\"b")).await, ["alpha"]);
        assert!(names(&world, tag("pro")).await.is_empty());
        let of_type = AgentFilter {
            agent_type: Some("mcp_server".to_owned()),
            ..AgentFilter::default()
        };
        assert_eq!(names(&world, of_type).await, ["beta"]);
        let nobody = AgentFilter {
            owner: Some(world.second.admin_user_id),
            ..AgentFilter::default()
        };
        assert!(names(&world, nobody).await.is_empty());

        let beta = agents.get_by_name(&admin, "beta").await.unwrap().unwrap();
        agents.suspend(&admin, beta.id, "why not").await.unwrap();
        let gamma = agents.get_by_name(&admin, "gamma").await.unwrap().unwrap();
        agents.delete(&admin, gamma.id).await.unwrap();
        let with = |statuses: &[AgentStatus]| AgentFilter {
            statuses: statuses.to_vec(),
            sort: AgentSort::Name,
            ..AgentFilter::default()
        };
        assert_eq!(names(&world, with(&[])).await, ["alpha", "beta"]);
        assert_eq!(names(&world, with(&[AgentStatus::Suspended])).await, ["beta"]);
        assert_eq!(
            names(&world, with(&[AgentStatus::Active, AgentStatus::Revoked])).await,
            ["alpha", "gamma"]
        );
    }
}

#[tokio::test]
async fn every_order_is_paged_without_gap_or_repetition() {
    for world in worlds().await {
        let admin = world.admin();
        for name in ["d", "b", "e", "a", "c"] {
            let mut at = admin.clone();
            world.clock.advance(TimeDelta::seconds(1));
            at.now = world.kernel.now();
            world.register(&at, name).await;
        }
        for (sort, expected) in [
            (AgentSort::Name, "abcde"),
            (AgentSort::NameDescending, "edcba"),
            (AgentSort::Created, "dbeac"),
            (AgentSort::CreatedDescending, "caebd"),
        ] {
            let mut seen = String::new();
            let mut cursor: Option<String> = None;
            loop {
                let page = PageRequest::parse(Some(2), None, cursor.as_deref()).unwrap();
                let filter = AgentFilter {
                    sort,
                    page,
                    ..AgentFilter::default()
                };
                let list = world.identity.agents().list(&admin, filter).await.unwrap();
                assert_eq!(list.total, 5);
                seen.extend(list.agents.iter().map(|agent| agent.name.as_str()));
                cursor = list.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected, "{sort:?}");
            let offset = PageRequest::parse(Some(2), Some(3), None).unwrap();
            let filter = AgentFilter {
                sort,
                page: offset,
                ..AgentFilter::default()
            };
            let list = world.identity.agents().list(&admin, filter).await.unwrap();
            let names: String = list.agents.iter().map(|agent| agent.name.as_str()).collect();
            assert_eq!(names, expected[3..], "{sort:?}");
        }
    }
}

#[tokio::test]
async fn the_directory_learns_of_a_key_that_another_node_registered() {
    for world in worlds().await {
        let (mut other_kernel, _) = aim_testkit::kernel(&world.database.another_node().await);
        other_kernel.clock = world.kernel.clock.clone();
        let other = aim_identity::Identity::new(&other_kernel);
        let key = SigningKey::generate().unwrap();
        let fingerprint = key.public().fingerprint();
        assert!(
            other
                .directory()
                .by_fingerprint(fingerprint.as_str())
                .await
                .unwrap()
                .is_none()
        );
        let new = world.new_agent(&world.admin(), "a", &key).await;
        let agent = world
            .identity
            .agents()
            .register(&world.admin(), new)
            .await
            .unwrap();
        let known = other
            .directory()
            .by_fingerprint(fingerprint.as_str())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (known.agent, known.organization),
            (agent.id, world.first.organization_id)
        );
        assert_eq!(known.public_key, key.public());
        let by_agent = other.directory().by_agent(agent.id).await.unwrap().unwrap();
        let fingerprints: BTreeSet<_> = by_agent.keys.iter().map(|key| key.fingerprint.clone()).collect();
        assert_eq!(fingerprints, BTreeSet::from([fingerprint]));
        assert!(
            other
                .directory()
                .by_agent(world.admin().new_id())
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            other
                .directory()
                .by_fingerprint("nonsense")
                .await
                .unwrap()
                .is_none()
        );
    }
}
