//! Two nodes and more on one PostgreSQL database, each a process with a folder of its own: whatever one of
//! them knows, the next request to the other is held to.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use uuid::Uuid;

use crate::{
    crash::{assert_all_there, assert_audit_intact, signers},
    process::{Door, Installation, Node, PATIENCE, Said, Signer, until},
};

/// An installation with two nodes, where there is a PostgreSQL server.
async fn pair() -> Option<(Installation, Node, Node)> {
    let installation = Installation::postgres().await?;
    let (first, second) = (installation.launch(), installation.launch());
    let nodes = (first.ready().await, second.ready().await);
    Some((installation, nodes.0, nodes.1))
}

async fn ask(door: &Door, signer: &Signer, action: &str) -> Said {
    Said::by(&door.send(&signer.wants(action)).await.expect("an answer"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_good_once_whichever_node_gets_it() {
    let Some((_installation, first, second)) = pair().await else {
        return;
    };
    let (signer, _) = first.agent("reader", json!({})).await;

    let request = signer.wants("db:read");
    assert!(Said::by(&first.send(&request).await.unwrap()).is_approval());
    assert!(Said::by(&second.send(&request).await.unwrap()).is_replay());
    assert!(Said::by(&first.send(&request).await.unwrap()).is_replay());

    // A signed request that is no action is used up too.
    let path = format!("/api/v1/agents/{}/key-vault", signer.id);
    let look = signer.signed(Method::GET, &path, None);
    assert_eq!(second.send(&look).await.unwrap().status, 200);
    assert!(Said::by(&first.send(&look).await.unwrap()).is_replay());

    // At the same instant, over many connections to both nodes: exactly one passes.
    for _ in 0..5 {
        let request = signer.wants("db:read");
        let doors = [first.door(), second.door()];
        let answers: Vec<Said> = stream::iter(0..16)
            .map(|number| {
                let (door, request) = (doors[number % 2].clone(), request.clone());
                async move { Said::by(&door.send(&request).await.expect("an answer")) }
            })
            .buffer_unordered(16)
            .collect()
            .await;
        assert_eq!(
            answers.iter().filter(|said| said.is_approval()).count(),
            1,
            "{answers:?}"
        );
        assert_eq!(
            answers.iter().filter(|said| said.is_replay()).count(),
            15,
            "{answers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_on_one_node_is_refused_on_the_others_next_request() {
    let Some((_installation, first, second)) = pair().await else {
        return;
    };
    let (signer, grant) = first.agent("reader", json!({})).await;
    let agent = format!("/api/v1/agents/{}", signer.id);
    // Whatever the second node keeps in memory, it has now.
    assert!(ask(&second, &signer, "db:read").await.is_approval());

    for round in 0..3 {
        first
            .post(&format!("{agent}/suspend"), json!({"reason": "a test"}))
            .await;
        assert!(
            !ask(&second, &signer, "db:read").await.is_approval(),
            "suspended, round {round}"
        );
        first.post(&format!("{agent}/reactivate"), json!({})).await;
        assert!(
            ask(&second, &signer, "db:read").await.is_approval(),
            "reactivated, round {round}"
        );
    }

    first.delete(&format!("{agent}/capabilities/{grant}")).await;
    assert!(
        ask(&second, &signer, "db:read").await.is_denial(),
        "the grant is withdrawn"
    );
    first
        .post(&format!("{agent}/capabilities"), json!({"capability": "db:*"}))
        .await;
    assert!(
        ask(&second, &signer, "db:read").await.is_approval(),
        "a new grant"
    );
    let forbidding = json!({"capability": "db:read", "effect": "deny"});
    first.post(&format!("{agent}/capabilities"), forbidding).await;
    assert!(
        ask(&second, &signer, "db:read").await.is_denial(),
        "a grant that forbids"
    );
    assert!(
        ask(&second, &signer, "db:list").await.is_approval(),
        "which it does not cover"
    );

    first
        .post(&format!("{agent}/key-vault/revoke"), json!({"reason": "a test"}))
        .await;
    assert!(
        !ask(&second, &signer, "db:list").await.is_approval(),
        "the key is revoked"
    );
    let look = signer.signed(Method::GET, &format!("{agent}/key-vault"), None);
    assert_eq!(
        second.send(&look).await.unwrap().status,
        401,
        "for whatever it is used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_the_uses_on_all_nodes() {
    const MOST: usize = 12;
    let Some((_installation, first, second)) = pair().await else {
        return;
    };
    let scope = json!({"rate_limit": {"max": MOST, "per_seconds": 86_400}});
    let (signer, _) = first.agent("reader", scope).await;
    let doors = [first.door(), second.door()];
    let answers: Vec<Value> = stream::iter(0..60)
        .map(|number| {
            let (door, request) = (doors[number % 2].clone(), signer.wants("db:read"));
            async move {
                let reply = door.send(&request).await.expect("an answer");
                assert!(matches!(Said::by(&reply), Said::Decided(..)));
                serde_json::from_slice(&reply.body).unwrap()
            }
        })
        .buffer_unordered(12)
        .collect()
        .await;
    // Windows are days: where midnight passes meanwhile, there are two.
    let mut approved: BTreeMap<String, usize> = BTreeMap::new();
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for answer in &answers {
        let day = answer["created_at"]
            .as_str()
            .unwrap()
            .split('T')
            .next()
            .unwrap()
            .to_owned();
        *asked.entry(day.clone()).or_default() += 1;
        *approved.entry(day).or_default() += usize::from(answer["status"] == "approved");
    }
    for (day, count) in asked {
        assert_eq!(approved[&day], count.min(MOST), "on {day}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_on_one_node_at_a_time_and_warns_once() {
    const AGENTS: i64 = 5;
    let Some(mut installation) = Installation::postgres().await else {
        return;
    };
    installation.set("AIM__KEYS__LIFETIME_DAYS", "5");
    let (first, second, third) = (
        installation.launch(),
        installation.launch(),
        installation.launch(),
    );
    let nodes = [first.ready().await, second.ready().await, third.ready().await];
    for number in 0..AGENTS {
        nodes[0].agent(&format!("agent-{number}"), json!({})).await;
    }
    let job = "FROM jobs WHERE name = 'key_vault.expiry_warnings'";
    let at_rest = async || {
        let rest = format!("SELECT count(*) {job} AND lease_until IS NULL AND due_at > now()");
        (installation.count(&rest).await == 1).then_some(())
    };
    until("the first run of the job", at_rest).await;
    for round in 0..4 {
        let before = installation.count(&format!("SELECT fencing {job}")).await;
        installation
            .sql("UPDATE jobs SET due_at = now() - interval '1 second' WHERE name = 'key_vault.expiry_warnings'")
            .await;
        until("the job runs again", at_rest).await;
        // Each claim counts the fencing token up: three nodes saw the job due, one got it.
        assert_eq!(
            installation.count(&format!("SELECT fencing {job}")).await,
            before + 1,
            "round {round}"
        );
    }
    let failed = installation
        .count("SELECT count(*) FROM jobs WHERE last_error IS NOT NULL")
        .await;
    assert_eq!(failed, 0, "a job failed");
    assert_eq!(
        installation
            .count("SELECT count(*) FROM key_expiry_warnings")
            .await,
        AGENTS
    );
    let told = "SELECT count(*) FROM audit_log WHERE action = 'agent_key.expiry_warning'";
    assert_eq!(installation.count(told).await, AGENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_that_start_at_once_on_an_empty_database_all_come_up_and_agree() {
    let Some(mut installation) = Installation::postgres_before_set_up().await else {
        return;
    };
    let starting: Vec<_> = (0..4).map(|_| installation.launch()).collect();
    let mut addresses = HashSet::new();
    let mut nodes = Vec::new();
    for node in starting {
        let node = node.ready().await;
        assert_eq!(node.status("/health/ready").await, Some(200));
        assert!(addresses.insert(node.address));
        nodes.push(node);
    }
    let twice = "SELECT count(*) - count(DISTINCT version) FROM __diesel_schema_migrations";
    assert_eq!(installation.count(twice).await, 0, "a migration is noted twice");
    assert_eq!(installation.count("SELECT count(*) FROM audit_head").await, 1);

    // Each hashes issued keys under the same secret.
    installation.set_up();
    for node in &nodes {
        let admin = node.admin.as_bearer(installation.api_key.clone());
        let agents: Value = admin
            .call(Method::GET, "/api/v1/agents", None::<&()>)
            .await
            .expect("a list");
        assert_eq!(agents["total"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_takes_nothing_with_it_and_the_other_goes_on() {
    let Some((installation, first, second)) = pair().await else {
        return;
    };
    let signers = signers(&first).await;
    let (sender, mut receiver) = unbounded_channel();
    let mut clients = JoinSet::new();
    for (number, signer) in signers.into_iter().enumerate() {
        let mut doors = [first.door(), second.door()];
        doors.rotate_left(number % 2);
        clients.spawn(ask_with_failover(doors, signer, sender.clone()));
    }
    drop(sender);
    let mut given: HashMap<Uuid, String> = HashMap::new();
    let mut by_node: HashMap<_, usize> = HashMap::new();
    let mut survivor = Some(first);
    let mut after = 0;
    while after < 150 {
        let next = tokio::time::timeout(PATIENCE, receiver.recv())
            .await
            .expect("an answer in time");
        let (address, id, verdict) = next.expect("the clients still ask");
        assert!(given.insert(id, verdict).is_none(), "an id was given twice");
        *by_node.entry(address).or_default() += 1;
        let both = by_node.len() == 2 && by_node.values().all(|count| *count >= 40);
        match survivor.take_if(|_| both) {
            Some(first) => first.kill(),
            None if survivor.is_none() => after += usize::from(address == second.address),
            None => {}
        }
    }
    clients.shutdown().await;
    while let Ok((_, id, verdict)) = receiver.try_recv() {
        given.insert(id, verdict);
    }
    assert!(given.len() > 200);
    assert_all_there(&second, &given).await;
    assert_audit_intact(&installation);
    let again = installation.start().await;
    assert_all_there(&again, &given).await;
}

type Answer = (std::net::SocketAddr, Uuid, String);

/// Asks one node, and the other one with a new request once that one does not answer any more.
async fn ask_with_failover(doors: [Door; 2], signer: Signer, answers: UnboundedSender<Answer>) {
    for door in doors {
        while let Ok(reply) = door.send(&signer.wants("db:read")).await {
            match Said::by(&reply) {
                Said::Decided(id, verdict) => {
                    assert_eq!(verdict, "approved");
                    let _ = answers.send((door.address, id, verdict));
                }
                refused => panic!("a sound request was refused: {refused:?}"),
            }
        }
    }
}
