//! Pushed changes: an agent hears of what it read, and of what it may read; and of nothing else.

use aim_audit::Entry;
use aim_core::{AgentId, Code, Ctx, OrganizationId, Role};
use aim_premium::secret_changes::{Listening, SecretChanges};
use aim_testkit::{seed_agent, seed_organization};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::bed::{Bed, at, refused};

/// The next event but heartbeats: its name and data.
async fn next(listening: &mut Listening) -> Option<(String, Value)> {
    while let Some(bytes) = listening.next().await {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        if text.starts_with(':') {
            continue;
        }
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        return Some((
            line("event: ").to_owned(),
            serde_json::from_str(line("data: ")).unwrap(),
        ));
    }
    None
}

async fn listen(bed: &Bed, changes: &SecretChanges, ctx: &Ctx) -> Listening {
    let _ = bed;
    let mut listening = changes.hub().listen(ctx).await.unwrap();
    assert_eq!(next(&mut listening).await.unwrap().0, "ready");
    listening
}

async fn log(bed: &Bed, organization: OrganizationId, agent: AgentId, action: &'static str, facts: Value) {
    let ctx = Ctx::system("test", organization, bed.kernel.now());
    bed.kernel
        .store
        .write(organization, move |db| {
            let entry = Entry::event(&ctx, action).agent(agent).facts(facts.clone());
            aim_audit::append(db, vec![entry])?;
            Ok(())
        })
        .await
        .unwrap();
}

fn changed(event: Option<(String, Value)>) -> (String, i64, String) {
    let (name, data) = event.unwrap();
    assert_eq!(name, "secret", "{data}");
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    (text("path"), data["version"].as_i64().unwrap(), text("change"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_hears_of_changes_of_what_it_read_before_and_since_it_listens() {
    for bed in Bed::all().await {
        for path in ["payments/a", "payments/b", "payments/c"] {
            bed.put(path, "1").await;
        }
        bed.read("payments/a").await.unwrap();
        let changes = SecretChanges::new(&bed.kernel);
        let mut mine = listen(&bed, &changes, &bed.as_agent()).await;
        bed.put("payments/b", "2").await; // Not read yet.
        bed.put("payments/a", "2").await;
        assert_eq!(
            changed(next(&mut mine).await),
            ("payments/a".into(), 2, "written".into())
        );
        bed.read("payments/b").await.unwrap();
        let denied = bed.read("hr/x").await.unwrap();
        assert_eq!(denied.reply.decision.status, "denied");
        bed.put("hr/x", "1").await;
        bed.put("payments/c", "2").await;
        let (manager, b) = (bed.manager(), || at("payments/b"));
        bed.vault.rollback(&manager, b(), 1).await.unwrap();
        bed.vault.delete(&manager, b(), Some(2)).await.unwrap();
        bed.destroy("payments/b", 2).await.unwrap();
        let expected = [(3, "rolled_back"), (2, "deleted"), (2, "destroyed")];
        for (version, change) in expected {
            assert_eq!(
                changed(next(&mut mine).await),
                ("payments/b".into(), version, change.into())
            );
        }
        // What was read more than a day ago is forgotten, by whoever comes then.
        bed.clock.advance(TimeDelta::days(2));
        let mut later = listen(&bed, &changes, &bed.as_agent()).await;
        bed.read("payments/c").await.unwrap();
        bed.put("payments/a", "3").await;
        bed.put("payments/c", "3").await;
        assert_eq!(changed(next(&mut later).await).0, "payments/c");
        assert_eq!(changed(next(&mut mine).await).0, "payments/a");
        drop((mine, later));
        assert_eq!(changes.hub().listeners(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_what_others_read() {
    for bed in Bed::all().await {
        bed.put("payments/a", "1").await;
        bed.read("payments/a").await.unwrap();
        let peer = seed_agent(&bed.database.store, bed.organization, "peer").await;
        let foreign = seed_organization(&bed.database.store).await.organization;
        let stranger = seed_agent(&bed.database.store, foreign, "stranger").await;
        let changes = SecretChanges::new(&bed.kernel);
        let peer_ctx = bed.as_agent_of(bed.organization, &peer);
        let mut theirs = listen(&bed, &changes, &peer_ctx).await;
        let mut elsewhere = listen(&bed, &changes, &bed.as_agent_of(foreign, &stranger)).await;
        bed.put("payments/a", "2").await;
        log(
            &bed,
            bed.organization,
            bed.agent.id,
            "agent.restricted",
            json!({}),
        )
        .await;
        // What comes first is what concerns them.
        log(&bed, bed.organization, peer.id, "agent_key.rotated", json!({})).await;
        log(&bed, foreign, stranger.id, "policy.created", json!({})).await;
        let (name, data) = next(&mut theirs).await.unwrap();
        assert_eq!((name.as_str(), data), ("revoked", json!({"reason": "key"})));
        let (name, data) = next(&mut elsewhere).await.unwrap();
        assert_eq!((name.as_str(), data), ("revoked", json!({"reason": "policy"})));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_hears_that_it_or_its_grants_changed_and_a_suspended_one_nothing_more() {
    for bed in Bed::all().await {
        let changes = SecretChanges::new(&bed.kernel);
        let mut mine = listen(&bed, &changes, &bed.as_agent()).await;
        let (organization, agent) = (bed.organization, bed.agent.id);
        let unrelated = json!({"capability": "db:read"});
        log(&bed, organization, agent, "capability.revoked", unrelated).await;
        let alert_alone = json!({"level": "alert"});
        log(&bed, organization, agent, "trust.threshold_crossed", alert_alone).await;
        for (action, facts, reason) in [
            ("capability.revoked", json!({"capability": "secret:*"}), "grant"),
            (
                "capability.granted",
                json!({"capability": "secret:read"}),
                "grant",
            ),
            ("agent_key.rotated", json!({}), "key"),
            ("policy.deleted", json!({}), "policy"),
            ("trust_policy.updated", json!({"restrict_below": 40}), "policy"),
            ("trust.threshold_crossed", json!({"level": "restrict"}), "trust"),
            ("agent.updated", json!({}), "agent"),
            ("agent.suspended", json!({}), "agent"),
        ] {
            log(&bed, organization, agent, action, facts).await;
            let (name, data) = next(&mut mine).await.unwrap();
            assert_eq!(
                (name.as_str(), data),
                ("revoked", json!({"reason": reason})),
                "{action}"
            );
        }
        assert_eq!(next(&mut mine).await.unwrap().0, "ended");
        assert!(next(&mut mine).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_vault_was_sealed_is_heard_in_every_organisation() {
    for bed in Bed::all().await {
        let other = bed.another_organization().await;
        let stranger = seed_agent(&bed.database.store, other, "stranger").await;
        bed.put("payments/a", "1").await;
        let changes = SecretChanges::new(&bed.kernel);
        let mut mine = listen(&bed, &changes, &bed.as_agent()).await;
        let mut theirs = listen(&bed, &changes, &bed.as_agent_of(other, &stranger)).await;
        bed.vault.seal(&bed.as_role(Role::Admin)).await.unwrap();
        for listening in [&mut mine, &mut theirs] {
            let (name, data) = next(listening).await.unwrap();
            assert_eq!((name.as_str(), data), ("revoked", json!({"reason": "sealed"})));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_through_another_node_is_heard() {
    for bed in Bed::all().await {
        bed.put("payments/a", "1").await;
        bed.read("payments/a").await.unwrap();
        let mut other = bed.kernel.clone();
        other.store = bed.database.another_node().await;
        let there = SecretChanges::new(&other);
        let mut mine = listen(&bed, &there, &bed.as_agent()).await;
        bed.put("payments/a", "2").await;
        assert_eq!(changed(next(&mut mine).await).1, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_too_many_are_refused() {
    let bed = Bed::all().await.remove(0);
    let changes = SecretChanges::new(&bed.kernel);
    let person = changes.hub().listen(&bed.as_role(Role::Admin)).await;
    assert_eq!(refused(person.map(|_| ())).0, Code::Forbidden);
    let mut seats = Vec::new();
    for _ in 0..50 {
        seats.push(changes.hub().listen(&bed.as_agent()).await.unwrap());
    }
    let one_more = changes.hub().listen(&bed.as_agent()).await;
    assert_eq!(refused(one_more.map(|_| ())).0, Code::RateLimited);
    seats.pop();
    assert!(changes.hub().listen(&bed.as_agent()).await.is_ok());
}
