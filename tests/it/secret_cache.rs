//! The client's memory of secrets against a real server: what was revoked is not handed out any more.

use std::time::Duration;

use aim_client::{CacheLimits, Client, NewAgent, SecretCache, SecretError};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Installation;

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
