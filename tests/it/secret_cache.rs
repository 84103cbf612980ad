//! The client's memory of secrets against a real server: what was revoked is not handed out any more.

use std::{process::Command, time::Duration};

use aim_client::{CacheLimits, Client, NewAgent, SecretCache, SecretError};
use futures_util::FutureExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Installation, until};

/// Until what happens by itself has happened; far longer than it may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn walk(installation: Installation) {
    let node = installation.start().await;
    let identity = node.admin.create_agent(&NewAgent::named("keeper")).await.unwrap();
    let grants = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
    let _ = node.post(&grants, json!({"capability": "secret:read"})).await;
    let put = async |value: &str| {
        let body = json!({"kind": "api_key", "fields": {"value": value}});
        let target = "/api/v1/vault/secrets/a/b";
        let _: Value = node.admin.call(Method::PUT, target, Some(&body)).await.unwrap();
    };
    put("one").await;
    let client = Client::builder().agent(identity).build().unwrap();
    let cache = SecretCache::new(client, CacheLimits::default()).unwrap();
    let value = async || {
        let secret = cache.get("a/b", None).await?;
        Ok::<_, SecretError>(secret.field("value").unwrap().expose().to_owned())
    };
    assert_eq!(value().await.unwrap(), "one");
    put("two").await;
    let changed = async {
        while value().await.unwrap() != "two" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
    let denied = async {
        while value().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let restricts = async |policy: Value| {
        let target = "/api/v1/trust-score/policy";
        let _: Value = node.admin.call(Method::PUT, target, Some(&policy)).await.unwrap();
    };
    restricts(json!({"restrict_below": 100, "restrict_effect": "deny"})).await;
    tokio::time::timeout(PATIENCE, denied).await.unwrap();
    restricts(json!({})).await;
    assert_eq!(value().await.unwrap(), "two");
    let _ = node
        .post(&grants, json!({"capability": "secret:read", "effect": "deny"}))
        .await;
    let denied = async {
        while value().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, denied).await.unwrap();
    assert!(matches!(value().await, Err(SecretError::Denied { .. })));
    assert!(cache.is_empty());
}

/// Stops a process where it stands, or lets it go on.
fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([name, &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A server that is there and says nothing: its connections stay open, and it could not say that something was revoked.
async fn stops(installation: Installation) {
    let node = installation.start().await;
    let identity = node.admin.create_agent(&NewAgent::named("keeper")).await.unwrap();
    let grants = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
    let _ = node.post(&grants, json!({"capability": "secret:read"})).await;
    let body = json!({"kind": "api_key", "fields": {"value": "one"}});
    let target = "/api/v1/vault/secrets/a/b";
    let _: Value = node.admin.call(Method::PUT, target, Some(&body)).await.unwrap();
    let client = Client::builder().agent(identity).build().unwrap();
    let limits = CacheLimits {
        unheard: Duration::from_secs(1),
        ..CacheLimits::default()
    };
    let cache = SecretCache::new(client, limits).unwrap();
    // The first event of the stream drops what was read before it.
    until("the secret is kept", async || {
        cache.get("a/b", None).await.unwrap();
        let kept = cache.get("a/b", None).now_or_never();
        kept.map(|kept| kept.unwrap())
    })
    .await;
    signal(node.process_id(), "-STOP");
    // What is too old is wiped by itself, though nobody asks for it.
    until("nothing is kept", async || cache.is_empty().then_some(())).await;
    let from_memory = cache.get("a/b", None).now_or_never();
    assert!(from_memory.is_none_or(|answer| answer.is_err()));
    signal(node.process_id(), "-CONT");
    let again = tokio::time::timeout(PATIENCE, cache.get("a/b", None))
        .await
        .unwrap();
    assert_eq!(again.unwrap().field("value").unwrap().expose(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_not_heard_nothing_is_handed_out_of_memory_on_sqlite() {
    stops(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_not_heard_nothing_is_handed_out_of_memory_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        stops(installation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_or_revoked_is_not_handed_out_on_sqlite() {
    walk(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_or_revoked_is_not_handed_out_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        walk(installation).await;
    }
}
