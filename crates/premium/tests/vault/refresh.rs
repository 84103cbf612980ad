//! OAuth 2 refresh against an endpoint of our own, over real connections.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use aim_core::{Code, Ctx, Error, Role, Timestamp};
use aim_decision::Severity;
use aim_premium::vault::{
    VaultService,
    refresh::{RefreshOutcome, RefreshReply, RefreshState, RefreshView},
};
use aim_violations::VerificationService;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    access::{Audit, pair},
    bed::{Bed, at, refused, wish_of},
};

/// What the endpoint answers, and what it was asked.
#[derive(Default)]
struct Endpoint {
    answers: Mutex<Vec<(u16, String)>>,
    asked: Mutex<Vec<String>>,
    /// If there is one, an answer waits for it.
    gate: Mutex<Option<Arc<Gate>>>,
}

#[derive(Default)]
struct Gate {
    arrived: tokio::sync::Notify,
    open: tokio::sync::Notify,
}

async fn token(endpoint: web::Data<Endpoint>, body: String) -> HttpResponse {
    endpoint.asked.lock().unwrap().push(body);
    let gate = endpoint.gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        gate.arrived.notify_one();
        gate.open.notified().await;
    }
    let (status, text) = endpoint.answers.lock().unwrap().remove(0);
    if status == 0 {
        // The connection ends in the middle of the answer: its length promises more.
        let half = futures_util::stream::iter([
            Ok(web::Bytes::from_static(b"{\"access")),
            Err(std::io::Error::other("gone")),
        ]);
        return HttpResponse::Ok()
            .content_type("application/json")
            .streaming(half);
    }
    let status = actix_web::http::StatusCode::from_u16(status).unwrap();
    HttpResponse::build(status)
        .content_type("application/json")
        .body(text)
}

struct Stub {
    endpoint: Arc<Endpoint>,
    url: String,
    handle: actix_web::dev::ServerHandle,
}

impl Stub {
    fn start() -> Self {
        let endpoint = web::Data::new(Endpoint::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let data = endpoint.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/token", web::post().to(token))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            endpoint: endpoint.into_inner(),
            url,
            handle,
        }
    }

    fn answer(&self, status: u16, body: &Value) {
        self.endpoint
            .answers
            .lock()
            .unwrap()
            .push((status, body.to_string()));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.endpoint.asked.lock().unwrap())
    }
}

impl Bed {
    /// A vault that may ask the stub.
    fn going_out(&self) -> VaultService {
        let mut kernel = self.kernel.clone();
        Arc::make_mut(&mut kernel.config).outbound_allow = vec!["127.0.0.0/8".parse().unwrap()];
        VaultService::new(&kernel, VerificationService::new(&kernel))
    }

    async fn oauth(&self, path: &str, url: &str, more: Value) {
        let mut fields =
            json!({"client_id": "aim", "client_secret": "cs", "refresh_token": "r-1", "token_url": url});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let wish = wish_of(json!({"kind": "oauth", "fields": fields}));
        self.try_put(path, wish).await.unwrap();
    }

    async fn refreshed(&self, vault: &VaultService, path: &str) -> Result<RefreshReply, Error> {
        let request = serde_json::from_value(json!({"path": path})).unwrap();
        vault.refresh(&self.manager(), request).await
    }

    async fn refresh_of(&self, path: &str) -> RefreshView {
        let view = self.vault.get(&self.manager(), at(path)).await.unwrap();
        view.refresh.unwrap()
    }

    async fn token_of(&self, path: &str) -> (String, String) {
        let read = self.read(path).await.unwrap().opened.unwrap();
        let text = |name: &str| read["fields"][name].as_str().unwrap_or_default().to_owned();
        (text("access_token"), text("refresh_token"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refreshed_before_its_end_by_the_job_alone() {
    for bed in Bed::all().await {
        let (stub, vault) = (Stub::start(), bed.going_out());
        bed.oauth("payments/oauth", &stub.url, json!({"scopes": "a b"}))
            .await;
        bed.put("payments/key", "no oauth").await;
        stub.answer(
            200,
            &json!({"access_token": "a-1", "refresh_token": "r-2", "expires_in": 3600}),
        );
        let start = bed.kernel.now();
        assert_eq!(vault.refresh_due(start).await.unwrap(), 1);
        assert_eq!(
            bed.token_of("payments/oauth").await,
            ("a-1".to_owned(), "r-2".to_owned())
        );
        let asked = stub.asked();
        assert!(
            asked[0].contains("grant_type=refresh_token&refresh_token=r-1&scope=a+b"),
            "{asked:?}"
        );
        assert!(!asked[0].contains("client_secret"), "that goes in the header");
        let view = bed.vault.get(&bed.manager(), at("payments/oauth")).await.unwrap();
        assert_eq!(view.secret.expires_at, Some(start + TimeDelta::hours(1)));
        assert_eq!(view.versions[0].created_by, "system:vault.refresh");
        let refresh = view.refresh.unwrap();
        assert_eq!(
            (refresh.state, refresh.next_at),
            (RefreshState::Scheduled, Some(start + TimeDelta::minutes(55)))
        );

        // Not a moment earlier; then with the rotated token, and one that is not rotated stays.
        let due = start + TimeDelta::minutes(55);
        assert_eq!(vault.refresh_due(due - TimeDelta::seconds(1)).await.unwrap(), 0);
        stub.answer(200, &json!({"access_token": "a-2"}));
        bed.clock.set(due);
        assert_eq!(vault.refresh_due(due).await.unwrap(), 1);
        assert!(stub.asked()[0].contains("refresh_token=r-2"));
        assert_eq!(
            bed.token_of("payments/oauth").await,
            ("a-2".to_owned(), "r-2".to_owned())
        );
        // An end that the endpoint does not tell is none, and it is asked again in an hour.
        assert_eq!(
            bed.refresh_of("payments/oauth").await.next_at,
            Some(due + TimeDelta::hours(1))
        );
        let records = bed.audited().await;
        assert_eq!(
            records
                .iter()
                .filter(|action| *action == "secret.refreshed")
                .count(),
            2
        );
        stub.handle.stop(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_for_good_and_a_failure_is_tried_again() {
    for bed in Bed::all().await {
        let (stub, vault) = (Stub::start(), bed.going_out());
        bed.oauth("payments/oauth", &stub.url, json!({"access_token": "a-0"}))
            .await;
        let audit = Audit::of(&bed).await;
        let start = bed.kernel.now();
        for (failures, minutes) in [(1, 1), (2, 2), (3, 4)] {
            assert_eq!(audit.found().await, [], "a hiccup or two is no matter");
            stub.answer(503, &json!({"error": "canary r-1"}));
            let now = bed.kernel.now();
            let reply = bed.refreshed(&vault, "payments/oauth").await.unwrap();
            assert_eq!(
                (reply.outcome, reply.refresh.state),
                (RefreshOutcome::Failed, RefreshState::Failing)
            );
            assert_eq!(reply.refresh.failures, failures);
            assert_eq!(reply.refresh.next_at, Some(now + TimeDelta::minutes(minutes)));
            bed.clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(
            vault.refresh_due(start + TimeDelta::minutes(2)).await.unwrap(),
            0,
            "it backs off"
        );
        assert_eq!(
            audit.found().await,
            [pair("secret_refresh_failed", "payments/oauth")]
        );
        assert_eq!(audit.findings().await[0].severity, Severity::Medium);
        stub.answer(
            400,
            &json!({"error": "invalid_grant", "error_description": "canary r-1"}),
        );
        let reply = bed.refreshed(&vault, "payments/oauth").await.unwrap();
        assert_eq!(
            (reply.refresh.state, reply.refresh.next_at),
            (RefreshState::NeedsAttention, None)
        );
        let said = reply.refresh.last_error.unwrap();
        assert_eq!(said, "the token endpoint answered invalid_grant");
        assert_eq!(vault.refresh_due(start + TimeDelta::days(9)).await.unwrap(), 0);
        let findings = audit.findings().await;
        assert_eq!(findings.len(), 1, "the same secret is one finding");
        assert_eq!((findings[0].severity, findings[0].count), (Severity::High, 2));
        let summary = &findings[0].summary;
        assert!(
            summary.contains("answered invalid_grant") && !summary.contains("canary"),
            "{summary}"
        );
        let alerts = "SELECT count(*) FROM alerts WHERE kind = 'threat_finding' AND severity = 'high'";
        assert_eq!(bed.database.count(alerts).await, 1);
        let records = bed.audited().await;
        assert_eq!(
            records
                .iter()
                .filter(|action| *action == "secret.refresh_failed")
                .count(),
            4
        );
        assert_eq!(
            bed.token_of("payments/oauth").await.0,
            "a-0",
            "what is there stays"
        );

        // Written anew, it is due again.
        bed.oauth("payments/oauth", &stub.url, json!({"refresh_token": "r-9"}))
            .await;
        stub.answer(200, &json!({"access_token": "a-9", "expires_in": "60"}));
        assert_eq!(vault.refresh_due(bed.kernel.now()).await.unwrap(), 1);
        assert_eq!(bed.token_of("payments/oauth").await.0, "a-9");
        let log = format!("{:?}", bed.audited().await);
        assert!(!log.contains("canary"));
        stub.handle.stop(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_named() {
    for bed in Bed::all().await {
        let (stub, vault) = (Stub::start(), bed.going_out());
        bed.oauth("payments/oauth", &stub.url, json!({})).await;
        let audit = Audit::of(&bed).await;
        stub.answer(0, &json!({}));
        let lost = bed.kernel.now();
        let reply = bed.refreshed(&vault, "payments/oauth").await.unwrap();
        assert_eq!(
            (reply.refresh.state, reply.refresh.lost_at),
            (RefreshState::Failing, Some(lost))
        );
        assert!(
            reply
                .refresh
                .last_error
                .unwrap()
                .contains("may have exchanged the refresh token")
        );
        let found = audit.findings().await;
        assert_eq!(
            found[0].severity,
            Severity::Medium,
            "the first one that is lost is told"
        );
        bed.clock.advance(TimeDelta::minutes(1));
        stub.answer(400, &json!({"error": "invalid_grant"}));
        let reply = bed.refreshed(&vault, "payments/oauth").await.unwrap();
        let said = reply.refresh.last_error.unwrap();
        assert!(
            said.contains(&lost.to_string()) && said.contains("authorise anew"),
            "{said}"
        );
        stub.handle.stop(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_between_call_and_store_leaves_its_intent_behind() {
    for bed in Bed::all().await {
        let (stub, vault) = (Stub::start(), bed.going_out());
        bed.oauth("payments/oauth", &stub.url, json!({})).await;
        // As the dead node left it: the call went out, and nothing came of it.
        let died: Timestamp = bed.kernel.now();
        let micros = died.timestamp_micros();
        let sql = if bed.database.kind == "sqlite" {
            format!("UPDATE vault_refreshes SET attempt_at = {micros}, attempt_id = randomblob(16)")
        } else {
            format!("UPDATE vault_refreshes SET attempt_at = '{died}', attempt_id = gen_random_uuid()")
        };
        bed.database.sql(&sql).await;
        assert_eq!(
            refused(bed.refreshed(&vault, "payments/oauth").await),
            (Code::StateConflict, "path".to_owned())
        );
        assert!(
            stub.asked().is_empty(),
            "while it may still be at work, nobody else is"
        );
        bed.clock.advance(TimeDelta::minutes(2));
        stub.answer(400, &json!({"error": "invalid_grant"}));
        let reply = bed.refreshed(&vault, "payments/oauth").await.unwrap();
        assert_eq!(reply.refresh.lost_at, Some(died));
        assert!(reply.refresh.last_error.unwrap().contains("was lost"));
        stub.handle.stop(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_holds_for_token_endpoints_too() {
    for bed in Bed::all().await {
        let stub = Stub::start();
        bed.oauth("payments/oauth", &stub.url, json!({})).await;
        let reply = bed.refreshed(&bed.vault, "payments/oauth").await.unwrap();
        assert!(
            reply
                .refresh
                .last_error
                .unwrap()
                .contains("not of the public internet")
        );
        assert!(stub.asked().is_empty());
        let plain =
            json!({"kind": "oauth", "fields": {"client_id": "c", "token_url": "http://id.example/token"}});
        assert_eq!(
            refused(bed.try_put("payments/x", wish_of(plain)).await).1,
            "fields.token_url"
        );
        stub.handle.stop(false).await;
    }
}

/// Neither the answer of the endpoint nor the values that the call went out with come back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_destroyed_while_a_call_is_out_stays_so() {
    for destroys in [false, true] {
        for answer in [200, 503] {
            for bed in Bed::all().await {
                let (stub, vault) = (Stub::start(), bed.going_out());
                bed.oauth("payments/oauth", &stub.url, json!({})).await;
                stub.answer(answer, &json!({"access_token": "late", "refresh_token": "late"}));
                let gate = Arc::new(Gate::default());
                *stub.endpoint.gate.lock().unwrap() = Some(gate.clone());
                let (out, manager) = (vault.clone(), bed.manager());
                let request = serde_json::from_value(json!({"path": "payments/oauth"})).unwrap();
                let call = tokio::spawn(async move { out.refresh(&manager, request).await });
                gate.arrived.notified().await;
                if destroys {
                    bed.destroy("payments/oauth", 1).await.unwrap();
                } else {
                    let manager = bed.manager();
                    let deleted = bed.vault.delete(&manager, at("payments/oauth"), None);
                    deleted.await.unwrap();
                }
                gate.open.notify_one();
                let reply = call.await.unwrap().unwrap();
                assert_eq!(
                    (reply.outcome, reply.current_version),
                    (RefreshOutcome::Failed, 1)
                );
                assert_eq!(bed.audited().await.last().unwrap(), "secret.refresh_failed");
                assert_eq!(bed.read("payments/oauth").await.unwrap_err().code, Code::NotFound);
                assert_eq!(vault.refresh_due(bed.kernel.now()).await.unwrap(), 0);
                stub.handle.stop(false).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_a_call_is_out_counts() {
    for bed in Bed::all().await {
        let (stub, vault) = (Stub::start(), bed.going_out());
        bed.oauth("payments/oauth", &stub.url, json!({})).await;
        stub.answer(200, &json!({"access_token": "late", "refresh_token": "late"}));
        let gate = Arc::new(Gate::default());
        *stub.endpoint.gate.lock().unwrap() = Some(gate.clone());
        let (out, manager) = (vault.clone(), bed.manager());
        let request = serde_json::from_value(json!({"path": "payments/oauth"})).unwrap();
        let call = tokio::spawn(async move { out.refresh(&manager, request).await });
        gate.arrived.notified().await;
        // While it is out, nobody else asks, and somebody writes.
        assert_eq!(
            refused(bed.refreshed(&vault, "payments/oauth").await).0,
            Code::StateConflict
        );
        bed.oauth("payments/oauth", &stub.url, json!({"access_token": "mine"}))
            .await;
        gate.open.notify_one();
        let reply = call.await.unwrap().unwrap();
        assert_eq!(
            (reply.outcome, reply.current_version),
            (RefreshOutcome::Failed, 2)
        );
        assert_eq!(
            bed.token_of("payments/oauth").await,
            ("mine".to_owned(), "r-1".to_owned())
        );
        assert_eq!(bed.audited().await.last().unwrap(), "secret.refresh_failed");
        *stub.endpoint.gate.lock().unwrap() = None;
        // A secret that is none of those, that is gone, or somebody else's.
        bed.put("payments/key", "v").await;
        assert_eq!(
            refused(bed.refreshed(&vault, "payments/key").await).0,
            Code::StateConflict
        );
        assert_eq!(
            refused(bed.refreshed(&vault, "payments/none").await).0,
            Code::NotFound
        );
        bed.vault
            .delete(&bed.manager(), at("payments/oauth"), None)
            .await
            .unwrap();
        assert_eq!(
            refused(bed.refreshed(&vault, "payments/oauth").await).0,
            Code::StateConflict
        );
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let theirs: Ctx = bed.as_role_of(other, Role::Admin);
        let request = serde_json::from_value(json!({"path": "payments/oauth"})).unwrap();
        assert_eq!(refused(vault.refresh(&theirs, request).await).0, Code::NotFound);
        stub.handle.stop(false).await;
    }
}
