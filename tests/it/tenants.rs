//! Two organisations on one installation, each doing everything. Neither finds a trace of the other: not in a
//! list, a count, a file, a filter or the audit log.

use aim_core::Role;
use aim_crypto::token::{IssuedToken, TokenKind};
use aim_tests::{Answer, Caller, TenantOf, TestAgent, TestApp};
use chrono::TimeDelta;
use reqwest::Method;
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
        let wrap = json!({
            "path": format!("{mark}-secrets/key"),
            "reason": format!("{mark}-reason to wrap"),
            "for_agent": busy.agent.id,
        });
        let _ = administrator.post("/api/v1/vault/wrap", &wrap).await.expect(201);
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

/// What beta has in its vault, by the handles of it.
struct Handles {
    path: String,
    decision: String,
    agent: String,
    key: String,
    key_token: String,
    namespace: String,
    reveal: String,
    wrap: String,
    wrap_id: String,
    bait: String,
    value: String,
}

impl Handles {
    /// Of things that are there.
    async fn of(busy: &Busy<'_>) -> Self {
        let administrator = &busy.administrator;
        let (path, bait) = ("payments/beta-key".to_owned(), "payments/beta-bait".to_owned());
        for value in ["an older value", "beta-value of the vault"] {
            let secret = json!({"kind": "api_key", "fields": {"value": value}});
            let target = format!("/api/v1/vault/secrets/{path}");
            let _ = administrator.put(&target, &secret).await.expect(201);
        }
        let seed = json!({"paths": [bait], "shape": "stripe"});
        let _ = administrator
            .post("/api/v1/vault/honeytokens", &seed)
            .await
            .expect(201);
        let new = json!({"name": "ci", "capabilities": ["db:read"], "expires_in_days": 3});
        let key = administrator.post(&busy.agent.path("/api-keys"), &new).await;
        let _ = key.expect(201);
        let new = json!({"agentId": busy.agent.id, "namespace": "beta-creds", "operations": ["read"]});
        let namespace = administrator.post("/api/v1/secrets/namespaces", &new).await;
        let _ = namespace.expect(201);
        let mode = json!({"mode": "second_person"});
        let settings = "/api/v1/vault/reveal-settings";
        let _ = administrator.put(settings, &mode).await.expect(200);
        let ask = json!({"path": path, "reason": "somebody has to look at it"});
        let reveal = administrator.post("/api/v1/vault/reveal", &ask).await.expect(202);
        let mode = json!({"mode": "reason"});
        let _ = administrator.put(settings, &mode).await.expect(200);
        let wrap = administrator.post("/api/v1/vault/wrap", &ask).await;
        let _ = wrap.expect(201);
        Self {
            path,
            decision: busy.pending["id"].as_str().unwrap().to_owned(),
            agent: busy.agent.id.to_string(),
            key: key.member("id"),
            key_token: key.member("api_key"),
            namespace: namespace.member("id"),
            reveal: reveal["reveal"]["id"].as_str().unwrap().to_owned(),
            wrap: wrap.member("token"),
            wrap_id: wrap.member("wrap_id"),
            bait,
            value: "beta-value of the vault".to_owned(),
        }
    }

    /// Of the same form, and of nothing.
    fn unknown(app: &TestApp) -> Self {
        let id = || aim_core::id::uuid_at(app.now()).to_string();
        let token = |kind| {
            let token = IssuedToken::generate(kind).unwrap();
            token.text().expose().to_owned()
        };
        Self {
            path: "payments/no-such1".to_owned(),
            decision: id(),
            agent: id(),
            key: id(),
            key_token: token(TokenKind::custom("aim_agent_")),
            namespace: id(),
            reveal: id(),
            wrap: token(TokenKind::Long("aim_wrap_")),
            wrap_id: id(),
            bait: "payments/no-such12".to_owned(),
            value: "a value that nobody has".to_owned(),
        }
    }

    /// The answer without what differs in any case: the request's id, and the handles where they are repeated.
    fn without(&self, answer: &Answer) -> (u16, String) {
        let mut text = answer.text_without_request_id();
        for (place, handle) in [
            &self.bait,
            &self.path,
            &self.decision,
            &self.agent,
            &self.key,
            &self.namespace,
            &self.reveal,
            &self.wrap_id,
        ]
        .into_iter()
        .enumerate()
        {
            text = text.replace(handle.as_str(), &format!("HANDLE-{place}"));
        }
        (answer.status, text)
    }

    /// All that an administrator can try with them: method, target and body.
    fn tries(&self, own_agent: &str) -> Vec<(Method, String, Option<Value>)> {
        let Self {
            path,
            agent,
            key,
            namespace,
            reveal,
            wrap,
            wrap_id,
            bait,
            ..
        } = self;
        let version = || json!({"path": path, "version": 1});
        let why = "somebody has to look at it";
        // The public key of RFC 9180 appendix A.1.1.
        let unwrap = json!({"token": wrap, "seal_to": "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0"});
        let namespaces = "secrets/namespaces";
        let credential = || json!({"encryptedBlob": "eyJhIjoxfQ=="});
        [
            ("GET", format!("vault/secrets/{path}"), None),
            ("DELETE", format!("vault/secrets/{path}"), None),
            ("DELETE", format!("vault/secrets/{path}?version=1"), None),
            ("POST", "vault/undelete".to_owned(), Some(version())),
            ("POST", "vault/destroy".to_owned(), Some(version())),
            ("POST", "vault/rollback".to_owned(), Some(version())),
            ("GET", format!("vault/diff?path={path}&from=1&to=2"), None),
            ("POST", "vault/refresh".to_owned(), Some(json!({"path": path}))),
            (
                "POST",
                "vault/reveal".to_owned(),
                Some(json!({"path": path, "reason": why})),
            ),
            (
                "POST",
                "vault/wrap".to_owned(),
                Some(json!({"path": path, "reason": why})),
            ),
            (
                "POST",
                "vault/wrap".to_owned(),
                Some(json!({"path": path, "reason": why, "version": 2})),
            ),
            (
                "POST",
                "vault/wrap/lookup".to_owned(),
                Some(json!({"token": wrap})),
            ),
            ("POST", "vault/wrap/unwrap".to_owned(), Some(unwrap)),
            ("DELETE", format!("vault/wraps/{wrap_id}"), None),
            ("GET", format!("vault/reveals/{reveal}"), None),
            ("POST", format!("vault/reveals/{reveal}/approve"), Some(json!({}))),
            ("POST", format!("vault/reveals/{reveal}/reject"), Some(json!({}))),
            ("POST", format!("vault/reveals/{reveal}/take"), Some(json!({}))),
            ("DELETE", format!("vault/honeytokens/{bait}"), None),
            ("GET", format!("agents/{agent}/api-keys"), None),
            (
                "POST",
                format!("agents/{agent}/api-keys/{key}/rotate"),
                Some(json!({})),
            ),
            ("DELETE", format!("agents/{agent}/api-keys/{key}"), None),
            (
                "POST",
                format!("agents/{own_agent}/api-keys/{key}/rotate"),
                Some(json!({})),
            ),
            ("DELETE", format!("agents/{own_agent}/api-keys/{key}"), None),
            ("GET", format!("{namespaces}/{namespace}"), None),
            (
                "POST",
                format!("{namespaces}/{namespace}/credentials"),
                Some(credential()),
            ),
            (
                "POST",
                format!("{namespaces}/{namespace}/rotate"),
                Some(credential()),
            ),
            ("DELETE", format!("{namespaces}/{namespace}"), None),
        ]
        .into_iter()
        .map(|(method, path, body)| (method.parse().unwrap(), format!("/api/v1/{path}"), body))
        .collect()
    }

    /// What answers 200, and with nothing in it.
    fn looks(&self) -> Vec<(Method, String, Option<Value>)> {
        let Self {
            path,
            agent,
            value,
            key_token,
            wrap,
            ..
        } = self;
        [
            ("GET", format!("vault/access?path={path}"), None),
            ("GET", format!("vault/access?agent_id={agent}"), None),
            ("GET", format!("vault/access/summary?path={path}"), None),
            ("GET", format!("vault/reveals?path={path}"), None),
            ("GET", format!("vault/wraps?path={path}"), None),
            ("GET", format!("vault/secrets?prefix={path}"), None),
            ("GET", format!("agent-api-keys?agent_id={agent}"), None),
            (
                "POST",
                "agent-api-keys/recognise".to_owned(),
                Some(json!({"token": key_token})),
            ),
            (
                "POST",
                "agent-api-keys/recognise".to_owned(),
                Some(json!({"token": wrap})),
            ),
            (
                "POST",
                "vault/find-value".to_owned(),
                Some(json!({"value": value})),
            ),
        ]
        .into_iter()
        .map(|(method, path, body)| (method.parse().unwrap(), format!("/api/v1/{path}"), body))
        .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_handle_of_another_organisations_vault_is_an_unknown_one() {
    for app in TestApp::on_each().await {
        if !app.is_premium() {
            return;
        }
        let [alpha, beta] = both(&app).await;
        let (theirs, none) = (Handles::of(&beta).await, Handles::unknown(&app));
        app.catch_up().await;
        // Alpha may show values: what it is refused is not for that.
        let mode = json!({"mode": "reason"});
        let settings = "/api/v1/vault/reveal-settings";
        let _ = alpha.administrator.put(settings, &mode).await.expect(200);
        let own = alpha.agent.id.to_string();
        for (there, nowhere) in theirs.tries(&own).into_iter().zip(none.tries(&own)) {
            let ask = async |(method, target, body): &(Method, String, Option<Value>)| {
                alpha
                    .administrator
                    .send(method.clone(), target, body.as_ref())
                    .await
            };
            let what = format!("{} {}", there.0, there.1);
            let (foreign, unknown) = (ask(&there).await, ask(&nowhere).await);
            assert_eq!(foreign.status, 404, "{what}: {}", foreign.text);
            assert_eq!(theirs.without(&foreign), none.without(&unknown), "{what}");
        }
        for (there, nowhere) in theirs.looks().into_iter().zip(none.looks()) {
            let what = format!("{} {}", there.0, there.1);
            let foreign = alpha
                .administrator
                .send(there.0, &there.1, there.2.as_ref())
                .await;
            let unknown = alpha
                .administrator
                .send(nowhere.0, &nowhere.1, nowhere.2.as_ref())
                .await;
            assert_eq!(foreign.status, 200, "{what}: {}", foreign.text);
            assert_eq!(theirs.without(&foreign), none.without(&unknown), "{what}");
        }
        // An agent that may read everything of its own organisation.
        let _ = alpha.agent.grant(json!({"capability": "secret:read"})).await;
        let seal_to = "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0";
        for body in [
            |of: &Handles, seal_to: &str| ("reads", json!({"path": of.path, "seal_to": seal_to})),
            |of: &Handles, seal_to: &str| {
                let body = json!({"path": of.path, "seal_to": seal_to, "decision_id": of.decision});
                ("reads", body)
            },
            |of: &Handles, seal_to: &str| ("wrap/unwrap", json!({"token": of.wrap, "seal_to": seal_to})),
            |of: &Handles, _: &str| ("wrap", json!({"path": of.path})),
        ] {
            let ask = async |of: &Handles| {
                let (route, body) = body(of, seal_to);
                let answer = alpha.agent.post(&format!("/api/v1/vault/{route}"), &body).await;
                (of.without(&answer), route)
            };
            let ((foreign, route), (unknown, _)) = (ask(&theirs).await, ask(&none).await);
            assert_eq!(foreign.0, 404, "{route}: {}", foreign.1);
            assert_eq!(foreign, unknown, "{route}");
        }
        // A write to the same path, an import into it and a restore of it are about one's own.
        let items =
            json!({"items": [{"path": theirs.path, "kind": "api_key", "fields": {"value": "alpha's"}}]});
        let imported = alpha
            .administrator
            .post("/api/v1/vault/import", &items)
            .await
            .expect(200);
        assert_eq!(imported["new"], 1, "{imported}");

        // And all of it is as it was.
        let administrator = &beta.administrator;
        let kept = administrator
            .get(&format!("/api/v1/vault/secrets/{}", theirs.path))
            .await
            .expect(200);
        let states: Vec<_> = kept["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|version| &version["state"])
            .collect();
        assert_eq!(states, ["active", "active"], "{kept}");
        let reveal = administrator
            .get(&format!("/api/v1/vault/reveals/{}", theirs.reveal))
            .await
            .expect(200);
        assert_eq!(reveal["state"], "pending");
        let lookup = json!({"token": theirs.wrap});
        let found = app
            .anonymous()
            .post("/api/v1/vault/wrap/lookup", &lookup)
            .await
            .expect(200);
        assert_eq!(found["creation_path"], theirs.path);
    }
}
