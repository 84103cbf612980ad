//! SIGKILL under load, again and again, on the same data: what was acknowledged is there with the verdict
//! that was given, the audit log is intact, and no signed request can be used again.

use std::collections::HashMap;

use aim_client::PreparedRequest;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use uuid::Uuid;

use crate::process::{Door, Installation, Node, PATIENCE, Said, Signer};

const CLIENTS: usize = 16;
/// How many acknowledgements each round waits for before it kills: early, late, in between.
const ROUNDS: [usize; 5] = [30, 160, 70, 220, 110];

/// A decision whose answer arrived.
struct Acknowledged {
    id: Uuid,
    verdict: String,
    request: PreparedRequest,
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_decisions_survive_being_killed_on_sqlite() {
    kill_again_and_again(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_decisions_survive_being_killed_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        kill_again_and_again(installation).await;
    }
}

async fn kill_again_and_again(installation: Installation) {
    let mut node = installation.start().await;
    let signers = signers(&node).await;
    let mut given: HashMap<Uuid, String> = HashMap::new();
    for (round, target) in ROUNDS.into_iter().enumerate() {
        let (acknowledged, unanswered) = load_until_killed(node, &signers, target).await;
        assert!(acknowledged.len() >= target);
        // Sometimes the check is the first to open the data after the crash, sometimes the server is.
        if round % 2 == 0 {
            assert_audit_intact(&installation);
        }
        node = installation.start().await;

        assert_replays_are_refused(&node, &acknowledged).await;
        let late = settle(&node, unanswered).await;
        for decision in acknowledged.into_iter().chain(late) {
            assert!(
                given.insert(decision.id, decision.verdict).is_none(),
                "an id was given twice"
            );
        }
    }
    assert_all_there(&node, &given).await;
    node.kill();
    assert_audit_intact(&installation);
    let decisions = installation.count("SELECT count(*) FROM decisions").await;
    assert!(decisions >= i64::try_from(given.len()).unwrap());

    // The check that was believed above can fail.
    installation.sql("UPDATE audit_head SET size = size + 1").await;
    assert!(
        !installation.audit().0,
        "a log that was cut short must not verify"
    );
}

/// Agents that may read, and nothing else.
pub(crate) async fn signers(door: &Door) -> Vec<Signer> {
    let mut signers = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        signers.push(door.agent(&format!("agent-{number}"), json!({})).await.0);
    }
    signers
}

/// Lets every signer ask as quickly as it can, kills the node in the midst of it, and tells what was
/// answered and what was not.
async fn load_until_killed(
    node: Node,
    signers: &[Signer],
    target: usize,
) -> (Vec<Acknowledged>, Vec<PreparedRequest>) {
    let (sender, mut receiver) = unbounded_channel();
    let mut clients = JoinSet::new();
    for signer in signers {
        clients.spawn(ask_until_it_breaks(node.door(), signer.clone(), sender.clone()));
    }
    drop(sender);
    let mut acknowledged = Vec::with_capacity(target);
    while acknowledged.len() < target {
        let next = tokio::time::timeout(PATIENCE, receiver.recv())
            .await
            .expect("the node answers");
        acknowledged.push(next.expect("the clients still ask"));
    }
    node.kill();
    while let Some(next) = receiver.recv().await {
        acknowledged.push(next);
    }
    (acknowledged, clients.join_all().await)
}

/// Asks for one action after the other, allowed and not allowed ones in turn, until there is no answer.
/// Gives back the request that got none.
async fn ask_until_it_breaks(
    door: Door,
    signer: Signer,
    answers: UnboundedSender<Acknowledged>,
) -> PreparedRequest {
    for action in ["db:read", "db:drop"].iter().cycle() {
        let request = signer.wants(action);
        let Ok(reply) = door.send(&request).await else {
            return request;
        };
        let Said::Decided(id, verdict) = Said::by(&reply) else {
            panic!(
                "a sound request was refused: {}",
                String::from_utf8_lossy(&reply.body)
            )
        };
        assert_eq!(
            verdict,
            if *action == "db:read" {
                "approved"
            } else {
                "denied"
            }
        );
        let _ = answers.send(Acknowledged { id, verdict, request });
    }
    unreachable!("a cycle does not end")
}

/// Sends every acknowledged request of the last round once more: they are still fresh.
async fn assert_replays_are_refused(door: &Door, acknowledged: &[Acknowledged]) {
    stream::iter(acknowledged)
        .for_each_concurrent(CLIENTS, async |decision| {
            let said = Said::by(&door.send(&decision.request).await.expect("an answer"));
            assert!(
                said.is_replay(),
                "{} was decided before, and again: {said:?}",
                decision.id
            );
        })
        .await;
}

/// Requests without an answer: each was decided or was not. Sent again, it is refused in the one case and
/// decided in the other; sent a third time, it is refused in both.
async fn settle(door: &Door, unanswered: Vec<PreparedRequest>) -> Vec<Acknowledged> {
    let mut late = Vec::new();
    for request in unanswered {
        let second = Said::by(&door.send(&request).await.expect("an answer"));
        assert!(
            second.is_replay() || matches!(second, Said::Decided(..)),
            "{second:?}"
        );
        let third = Said::by(&door.send(&request).await.expect("an answer"));
        assert!(third.is_replay(), "{third:?}");
        if let Said::Decided(id, verdict) = second {
            late.push(Acknowledged { id, verdict, request });
        }
    }
    late
}

/// Every decision is there as it was answered.
pub(crate) async fn assert_all_there(door: &Door, given: &HashMap<Uuid, String>) {
    stream::iter(given)
        .for_each_concurrent(CLIENTS, async |(id, verdict)| {
            let path = format!("/api/v1/verifications/{id}");
            let found: Value = door
                .admin
                .call(Method::GET, &path, None::<&()>)
                .await
                .expect("an acknowledged decision");
            assert_eq!(found["status"], verdict.as_str(), "decision {id}");
        })
        .await;
}

pub(crate) fn assert_audit_intact(installation: &Installation) {
    let (intact, said) = installation.audit();
    assert!(intact, "{said}");
}
