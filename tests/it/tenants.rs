//! Two organisations on one installation, each doing everything. Neither finds a trace of the other: not in a
//! list, a count, a file, a filter or the audit log.

use aim_core::Role;
use aim_tests::{Caller, TenantOf, TestAgent, TestApp};
use chrono::TimeDelta;
use serde_json::{Value, json};

/// An organisation after a day of work.
struct Busy<'a> {
    tenant: TenantOf<'a>,
    administrator: Caller<'a>,
    agent: TestAgent<'a>,
    /// Texts that stand in this organisation's things alone.
    marks: Vec<String>,
    /// A pending decision.
    pending: Value,
    /// How many actions were denied.
    denied: usize,
}

impl<'a> Busy<'a> {
    async fn new(tenant: TenantOf<'a>, mark: &str, denied: usize) -> Self {
        let administrator = tenant.user(Role::Admin).await;
        // The same name in both: a name is unique in its organisation.
        let agent = tenant.agent("reader", &["db:read"]).await;
        let described =
            json!({"description": format!("{mark}-description"), "tags": [format!("{mark}-tag")]});
        let _ = administrator.put(&agent.path(""), &described).await.expect(200);
        for role in [Role::Viewer, Role::Member, Role::Manager] {
            let _ = tenant.user(role).await;
        }
        for (path, body) in [
            (
                "/api/v1/api-keys".to_owned(),
                json!({"name": format!("{mark}-key"), "role": "viewer"}),
            ),
            (
                "/api/v1/policies".to_owned(),
                json!({"name": format!("{mark}-policy"), "effect": "deny", "capability": format!("{mark}:*")}),
            ),
            (
                agent.path("/capability-requests"),
                json!({"capability": format!("{mark}:write"), "reason": format!("{mark}-reason of the request")}),
            ),
        ] {
            let _ = administrator.post(&path, &body).await.expect(201);
        }
        for attempt in 0..denied {
            tenant.app().advance(TimeDelta::milliseconds(3));
            let resource = format!("{mark}-resource-{attempt}");
            let _ = agent.act("db:drop", Some(&resource)).await.expect(403);
        }
        let approved = agent
            .act("db:read", Some(&format!("{mark}-resource")))
            .await
            .expect(201);
        let report = json!({"outcome": "success", "summary": format!("{mark}-summary")});
        let path = format!(
            "/api/v1/verifications/{}/result",
            approved["id"].as_str().unwrap()
        );
        let _ = agent.post(&path, &report).await.expect(201);
        let pending = agent
            .ask(&json!({"action": "db:read", "approval_requested": true}))
            .await
            .expect(202);
        let agent = agent.rotate(24).await;
        let marks = vec![
            format!("{mark}-"),
            format!("{mark}:"),
            format!("@{}.example", if mark == "alpha" { "main" } else { "other" }),
            tenant.id().to_string(),
            agent.id.to_string(),
            agent.key.public().fingerprint().to_string(),
            agent.key.public().spki_base64(),
        ];
        Self {
            tenant,
            administrator,
            agent,
            marks,
            pending,
            denied,
        }
    }

    fn marked(&self, text: &str) -> Option<&str> {
        self.marks
            .iter()
            .map(String::as_str)
            .find(|mark| text.contains(mark))
    }
}

async fn both(app: &TestApp) -> [Busy<'_>; 2] {
    [
        Busy::new(app.tenant(), "alpha", 3).await,
        Busy::new(app.other_tenant().await, "beta", 5).await,
    ]
}

/// Lists whose entries bear no mark of their organisation, and why.
const BARE: &[(&str, &str)] = &[
    ("/api/v1/activity", "counts alone"),
    ("/api/v1/alert-rules", "the rules as they come"),
    ("/api/v1/alerts/count", "counts alone"),
    ("/api/v1/auth/sessions", "sessions bear no name"),
    ("/api/v1/key-warnings", "no key is near its end"),
    ("/api/v1/retention", "periods alone"),
    ("/api/v1/threats/policies", "the responses as they come"),
    ("/api/v1/trust-score/policy", "thresholds alone"),
    ("/api/v1/vault/keys", "ids and counts alone"),
    ("/api/v1/vault/reveal-settings", "a mode alone"),
    ("/api/v1/vault/access/broad-grants", "no grant covers a secret"),
    ("/api/v1/vault/access/summary", "counts alone"),
    ("/api/v1/vault/access/thresholds", "thresholds alone"),
    ("/api/v1/vault/access/unused", "no secret is old enough"),
    ("/api/v1/vault/status", "its state and a count"),
];

/// What stands in the lists of alerts, findings, servers, webhooks, honeytokens and holds.
async fn fill_the_other_lists(busy: &Busy<'_>, mark: &str) {
    let administrator = &busy.administrator;
    if busy.tenant.app().is_premium() {
        let secret = json!({"kind": "api_key", "fields": {"value": "a value"}});
        let path = format!("/api/v1/vault/secrets/{mark}-secrets/key");
        let _ = administrator.put(&path, &secret).await.expect(201);
        let mode = json!({"mode": "second_person"});
        let settings = "/api/v1/vault/reveal-settings";
        let _ = administrator.put(settings, &mode).await.expect(200);
        let ask = json!({"path": format!("{mark}-secrets/key"), "reason": format!("{mark}-reason to look")});
        let _ = administrator.post("/api/v1/vault/reveal", &ask).await.expect(202);
        let key = json!({"name": format!("{mark}-agent-key"), "capabilities": ["db:read"]});
        let _ = administrator
            .post(&busy.agent.path("/api-keys"), &key)
            .await
            .expect(201);
        let bait = json!({"paths": [format!("{mark}-secrets/bait")], "shape": "stripe"});
        let _ = administrator
            .post("/api/v1/vault/honeytokens", &bait)
            .await
            .expect(201);
        let read = json!({"action": "secret:read", "resource": format!("{mark}-secrets/key")});
        let _ = busy.agent.ask(&read).await.expect(403);
        let namespace =
            json!({"agentId": busy.agent.id, "namespace": format!("{mark}-creds"), "operations": ["read"]});
        let _ = administrator
            .post("/api/v1/secrets/namespaces", &namespace)
            .await
            .expect(201);
    }
    for (path, body) in [
        (
            "/api/v1/mcp-servers",
            json!({"name": format!("{mark}-server"), "url": format!("https://{mark}-server.invalid/mcp")}),
        ),
        (
            "/api/v1/webhooks",
            json!({"name": format!("{mark}-webhook"), "url": "https://receiver.invalid/hook"}),
        ),
        (
            "/api/v1/retention/holds",
            json!({"agent_id": busy.agent.id, "reason": format!("{mark}-reason of the hold")}),
        ),
    ] {
        let _ = administrator.post(path, &body).await.expect(201);
    }
    // Compliance names what has no owner.
    let _ = administrator
        .put(&busy.agent.path(""), &json!({"owner_id": null}))
        .await
        .expect(200);
    let bait = format!("{mark}:bait");
    let _ = administrator
        .put("/api/v1/threats/honeytokens", &json!({"honeytokens": [bait]}))
        .await
        .expect(200);
    let _ = busy.agent.act(&bait, None).await.expect(403);
}

/// Every list of the document: a path that is read and names no thing. The streams are none: they do not end.
async fn lists(app: &TestApp) -> Vec<String> {
    let document = app.document().await;
    let paths = document["paths"].as_object().unwrap();
    let lists: Vec<String> = paths
        .iter()
        .filter(|(path, item)| {
            // Streams, and what is about one secret that the query names.
            let no_list = [
                "/api/v1/events/stream",
                "/api/v1/vault/changes",
                "/api/v1/vault/diff",
            ];
            item["get"]["security"].is_array() && !path.contains('{') && !no_list.contains(&path.as_str())
        })
        .map(|(path, _)| path.clone())
        .collect();
    assert!(lists.len() >= 10, "{lists:?}");
    lists
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_of_the_document_and_no_file_shows_another_organisations_things() {
    for app in TestApp::on_each().await {
        let [alpha, beta] = both(&app).await;
        fill_the_other_lists(&alpha, "alpha").await;
        fill_the_other_lists(&beta, "beta").await;
        app.catch_up().await;
        let _ = app.run_jobs().await;
        let mut targets = lists(&app).await;
        for file in [
            "/api/v1/violations?format=csv",
            "/api/v1/audit-logs?format=csv",
            "/api/v1/audit-logs?format=ndjson",
        ] {
            targets.push(file.to_owned());
        }
        if app.is_premium() {
            targets.push("/api/v1/vault/access?format=csv".to_owned());
        }
        for target in &targets {
            let joint = if target.contains('?') { '&' } else { '?' };
            let (mut texts, mut own_text) = (Vec::new(), String::new());
            for (own, other) in [(&alpha, &beta), (&beta, &alpha)] {
                let mut answer = own.administrator.get(&format!("{target}{joint}limit=100")).await;
                if answer.status != 200 {
                    answer = own.administrator.get(target).await;
                }
                let _ = if target.contains("format") {
                    answer.status.into()
                } else {
                    answer.expect(200)
                };
                assert_eq!(answer.status, 200, "{target}");
                assert_eq!(
                    other.marked(&answer.text),
                    None,
                    "{target} of another organisation: {}",
                    answer.text
                );
                own_text.clone_from(&answer.text);
                texts.push(own.marked(&answer.text).is_some());
            }
            // A list without marks would prove nothing.
            let bare = BARE.iter().any(|(path, _)| path == target);
            assert_eq!(
                texts,
                [!bare, !bare],
                "{target}: whether it shows its own: {}",
                own_text
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_count_ones_own() {
    for app in TestApp::on_each().await {
        for busy in both(&app).await {
            let total =
                async |target: &str| busy.administrator.get(target).await.expect(200)["total"].clone();
            assert_eq!(total("/api/v1/agents").await, 1);
            assert_eq!(total("/api/v1/users").await, 4);
            // The one of the set-up, and another.
            assert_eq!(total("/api/v1/api-keys").await, 2);
            assert_eq!(total("/api/v1/policies").await, 1);
            assert_eq!(total("/api/v1/capability-requests").await, 1);
            assert_eq!(total("/api/v1/violations").await, busy.denied);
            assert_eq!(total("/api/v1/violations?capability=db:drop").await, busy.denied);
            let groups = busy
                .administrator
                .get("/api/v1/violations/groups")
                .await
                .expect(200);
            assert_eq!(
                (&groups["total"], &groups["groups"][0]["count"]),
                (&json!(1), &json!(busy.denied))
            );
            let decisions = busy
                .administrator
                .get("/api/v1/verifications?limit=100")
                .await
                .expect(200);
            assert_eq!(
                decisions["verifications"].as_array().unwrap().len(),
                busy.denied + 2
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_by_another_organisations_agent_finds_what_an_unknown_one_finds() {
    for app in TestApp::on_each().await {
        let [alpha, beta] = both(&app).await;
        let unknown = aim_core::id::uuid_at(app.now()).to_string();
        for list in ["verifications", "capability-requests", "audit-logs"] {
            let ask = async |agent: &str| {
                alpha
                    .administrator
                    .get(&format!("/api/v1/{list}?agent_id={agent}"))
                    .await
            };
            let (foreign, unknown) = (ask(&beta.agent.id.to_string()).await, ask(&unknown).await);
            assert_eq!(
                (foreign.status, foreign.text_without_request_id()),
                (unknown.status, unknown.text_without_request_id()),
                "{list}"
            );
            assert_eq!(beta.marked(&foreign.text), None);
        }
        let found = alpha
            .administrator
            .get("/api/v1/agents?q=beta-description")
            .await
            .expect(200);
        assert_eq!(found["total"], 0);
        let found = alpha
            .administrator
            .get("/api/v1/agents?tag=beta-tag")
            .await
            .expect(200);
        assert_eq!(found["total"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_organisations_list_opens_nothing() {
    for app in TestApp::on_each().await {
        let [alpha, beta] = both(&app).await;
        for list in ["violations", "users", "verifications", "audit-logs"] {
            let page = beta
                .administrator
                .get(&format!("/api/v1/{list}?limit=1"))
                .await
                .expect(200);
            let cursor = page["next_cursor"].as_str().unwrap();
            let answer = alpha
                .administrator
                .get(&format!("/api/v1/{list}?cursor={cursor}"))
                .await;
            assert!([200, 422].contains(&answer.status), "{list}: {}", answer.text);
            assert_eq!(beta.marked(&answer.text), None, "{list}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_organisation_in_bodies_are_unknown_ids() {
    for app in TestApp::on_each().await {
        let [alpha, beta] = both(&app).await;
        let foreign_user = beta.administrator.get("/api/v1/auth/me").await.expect(200)["id"].clone();
        let unknown = aim_core::id::uuid_at(app.now()).to_string();
        let set_owner = async |owner: &Value| {
            alpha
                .administrator
                .put(&alpha.agent.path(""), &json!({"owner_id": owner}))
                .await
        };
        let (foreign, unknown_owner) = (set_owner(&foreign_user).await, set_owner(&json!(unknown)).await);
        assert!(foreign.status >= 400, "{}", foreign.text);
        assert_eq!(
            foreign.text_without_request_id(),
            unknown_owner.text_without_request_id()
        );

        // Both ids of a path must be the same organisation's and fit each other.
        let grant = beta.agent.grant(json!({"capability": "mail:send"})).await;
        let crossed = alpha
            .administrator
            .delete(&alpha.agent.path(&format!("/capabilities/{grant}")))
            .await;
        let nowhere = alpha
            .administrator
            .delete(&alpha.agent.path(&format!("/capabilities/{unknown}")))
            .await;
        assert_eq!(crossed.status, 404);
        assert_eq!(
            crossed.text_without_request_id(),
            nowhere.text_without_request_id()
        );
        let granted = beta
            .administrator
            .get(&beta.agent.path("/capabilities"))
            .await
            .expect(200);
        assert!(granted.to_string().contains(&grant), "{granted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_another_organisation_cannot_approve() {
    for app in TestApp::on_each().await {
        let [alpha, beta] = both(&app).await;
        let path = format!("/api/v1/verifications/{}", beta.pending["id"].as_str().unwrap());
        let approval = json!({"digest": beta.pending["request_digest"]});
        let answer = alpha
            .administrator
            .post(&format!("{path}/approve"), &approval)
            .await;
        assert_eq!(answer.status, 404);
        assert_eq!(beta.agent.get(&path).await.expect(200)["status"], "pending");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_suspensions_and_limits_of_one_organisation_leave_the_other_alone() {
    for app in TestApp::on_each().await {
        let [alpha, beta] = both(&app).await;
        let policy = json!({"name": "nothing more", "effect": "deny", "capability": "db:*"});
        let _ = alpha
            .administrator
            .post("/api/v1/policies", &policy)
            .await
            .expect(201);
        let _ = alpha.agent.act("db:read", None).await.expect(403);
        let _ = beta.agent.act("db:read", None).await.expect(201);
        assert_ne!(alpha.tenant.id(), beta.tenant.id());
        let report = app.audit().await;
        assert!(report.intact, "{report:?}");
    }
}
