//! An OAuth refresh in the middle of which the server is killed: what became of the refresh token is found out afterwards, and never
//! passed over.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use aim::composition;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::process::{Installation, Node, until};

const PATH: &str = "payments/oauth";

/// A token endpoint that exchanges the refresh token at each use, and holds its first answer back.
#[derive(Default)]
struct Endpoint {
    /// The one refresh token that it takes.
    good: Mutex<String>,
    /// Whether the first call exchanges the token, or comes to nothing.
    exchanges_first: bool,
    calls: Mutex<usize>,
    arrived: Notify,
    released: Notify,
}

impl Endpoint {
    fn good(&self) -> String {
        self.good.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self) -> usize {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls += 1;
        *calls
    }

    fn exchange(&self, form: &str) -> HttpResponse {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if !form.contains(&format!("refresh_token={good}")) {
            return HttpResponse::BadRequest().json(json!({"error": "invalid_grant"}));
        }
        good.push('1');
        HttpResponse::Ok().json(json!({
            "access_token": format!("access-by-{good}"),
            "refresh_token": *good,
            "token_type": "Bearer",
            "expires_in": 3600,
        }))
    }
}

async fn token(endpoint: web::Data<Endpoint>, form: String) -> HttpResponse {
    if endpoint.count() > 1 {
        return endpoint.exchange(&form);
    }
    let answer = if endpoint.exchanges_first {
        endpoint.exchange(&form)
    } else {
        HttpResponse::ServiceUnavailable().finish()
    };
    endpoint.arrived.notify_one();
    endpoint.released.notified().await;
    answer
}

fn start(exchanges_first: bool) -> (Arc<Endpoint>, String) {
    let endpoint = web::Data::new(Endpoint {
        good: Mutex::new("r-1".to_owned()),
        exchanges_first,
        ..Endpoint::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let data = endpoint.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/token", web::post().to(token))
    })
    .workers(2)
    .disable_signals()
    .listen(listener)
    .unwrap()
    .run();
    tokio::spawn(server);
    (endpoint.into_inner(), url)
}

async fn view(node: &Node) -> Value {
    let path = format!("/api/v1/vault/secrets/{PATH}");
    node.admin.call(Method::GET, &path, None::<&Value>).await.unwrap()
}

async fn is_kept(node: &Node, value: &str) -> bool {
    let found = node
        .post("/api/v1/vault/find-value", json!({ "value": value }))
        .await;
    found["found"] == true
}

/// Kills the server while the endpoint holds its answer, starts it again, and lets the time pass after which the call counts
/// as lost. Answers the secret once it was tried again.
async fn killed_in_the_middle(installation: &Installation, endpoint: &Endpoint, url: &str) -> (Node, Value) {
    let node = installation.start().await;
    let path = format!("/api/v1/vault/secrets/{PATH}");
    let fields = json!({
        "client_id": "aim", "client_secret": "cs", "token_url": url, "refresh_token": "r-1", "access_token": "access-0",
    });
    // It ends long after this test: what is tried again is tried because of what happened, and not because it is time.
    let secret = json!({"kind": "oauth", "fields": fields, "expires_at": "2099-01-01T00:00:00Z"});
    let _: Value = node.admin.call(Method::PUT, &path, Some(&secret)).await.unwrap();
    let door = node.door();
    let call = tokio::spawn(async move {
        let body = json!({ "path": PATH });
        let answer: aim_client::Result<Value> = door
            .admin
            .call(Method::POST, "/api/v1/vault/refresh", Some(&body))
            .await;
        answer
    });
    endpoint.arrived.notified().await;
    node.kill();
    assert!(call.await.unwrap().is_err(), "nobody was told that it worked");
    endpoint.released.notify_one();

    let node = installation.start().await;
    let seen = view(&node).await;
    assert_eq!(seen["current_version"], 1, "what was there is there: {seen}");
    assert!(is_kept(&node, "access-0").await && is_kept(&node, "r-1").await);
    // Two minutes pass, in the database alone.
    let two_minutes = if installation.url.starts_with("sqlite:") {
        "120000000"
    } else {
        "interval '2 minutes'"
    };
    let passed = format!("attempt_at = attempt_at - {two_minutes}, next_at = next_at - {two_minutes}");
    installation
        .sql(&format!("UPDATE vault_refreshes SET {passed}"))
        .await;
    // For the job as well: the server may have been killed while it had it, and holds it until the lease ends.
    let ended = format!("due_at = due_at - {two_minutes}, lease_until = lease_until - {two_minutes}");
    installation
        .sql(&format!("UPDATE jobs SET {ended} WHERE name = 'vault.refresh'"))
        .await;
    let seen = until("the next try", async || {
        let seen = view(&node).await;
        (seen["current_version"] == 2 || seen["refresh"]["state"] != "scheduled").then_some(seen)
    })
    .await;
    (node, seen)
}

async fn a_token_that_was_not_exchanged_is_used_again(installation: Installation) {
    if composition::edition_name() != "premium" {
        return;
    }
    installation.configure("[outbound]\nallow = [\"127.0.0.0/8\"]\n");
    let (endpoint, url) = start(false);
    let (node, seen) = killed_in_the_middle(&installation, &endpoint, &url).await;
    assert_eq!(seen["current_version"], 2, "{seen}");
    assert_eq!(
        (&seen["refresh"]["state"], &seen["refresh"]["lost_at"]),
        (&json!("scheduled"), &Value::Null)
    );
    let good = endpoint.good();
    assert_eq!(good, "r-11", "exchanged once");
    assert!(is_kept(&node, &good).await && is_kept(&node, "access-by-r-11").await);
    assert!(installation.audit().0);
}

async fn a_token_that_was_exchanged_is_named_as_lost(installation: Installation) {
    if composition::edition_name() != "premium" {
        return;
    }
    installation.configure("[outbound]\nallow = [\"127.0.0.0/8\"]\n");
    let (endpoint, url) = start(true);
    let (node, seen) = killed_in_the_middle(&installation, &endpoint, &url).await;
    let refresh = &seen["refresh"];
    assert_eq!(
        (&seen["current_version"], &refresh["state"]),
        (&json!(1), &json!("needs_attention")),
        "{seen}"
    );
    assert!(refresh["lost_at"].is_string(), "{seen}");
    let said = refresh["last_error"].as_str().unwrap();
    assert!(
        said.contains("was lost") && said.contains("authorise anew"),
        "{said}"
    );
    // People are told, too.
    let alerts = until("an alert", async || {
        let path = "/api/v1/alerts?limit=100";
        let alerts: Value = node.admin.call(Method::GET, path, None::<&Value>).await.unwrap();
        alerts
            .to_string()
            .contains("OAuth refresh failed")
            .then_some(alerts)
    })
    .await;
    assert!(!alerts.to_string().contains("r-1\""), "{alerts}");

    // Authorised anew it goes on.
    let path = format!("/api/v1/vault/secrets/{PATH}");
    let good = endpoint.good();
    let fields = json!({"client_id": "aim", "token_url": url, "refresh_token": good});
    let secret = json!({"kind": "oauth", "fields": fields, "expires_at": "2099-01-01T00:00:00Z"});
    let _: Value = node.admin.call(Method::PUT, &path, Some(&secret)).await.unwrap();
    let seen = until("a new version", async || {
        let seen = view(&node).await;
        (seen["current_version"] == 3).then_some(seen)
    })
    .await;
    assert_eq!(
        (&seen["refresh"]["state"], &seen["refresh"]["lost_at"]),
        (&json!("scheduled"), &Value::Null)
    );
    assert!(is_kept(&node, &endpoint.good()).await);
    assert!(installation.audit().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_not_exchanged_is_used_again_on_sqlite() {
    a_token_that_was_not_exchanged_is_used_again(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_not_exchanged_is_used_again_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        a_token_that_was_not_exchanged_is_used_again(installation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_exchanged_is_named_as_lost_on_sqlite() {
    a_token_that_was_exchanged_is_named_as_lost(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_exchanged_is_named_as_lost_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        a_token_that_was_exchanged_is_named_as_lost(installation).await;
    }
}
