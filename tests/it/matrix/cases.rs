//! For each route, something that it can be used on: ids for the places of its path, and a body that is good.

use aim_core::Role;
use aim_crypto::possession::Purpose;
use aim_tests::{PASSWORD, TenantOf, TestAgent, fresh_key, possession_proof};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    callers::{Kind, World},
    routes::Route,
};

/// What a user changes its password to, for as long as it takes to change it back.
pub const NEXT_PASSWORD: &str = "another quiet harbour";

/// A use of a route.
pub struct Case<'a> {
    /// What stands in the places of the path.
    pub ids: Vec<String>,
    /// The body.
    pub body: Option<Value>,
    /// The agent that it is about.
    pub agent: TestAgent<'a>,
}

/// A name that nothing has.
fn fresh_name() -> String {
    format!("thing-{}", uuid::Uuid::new_v4().simple())
}

/// Prepares a use of `route` by `kind`: fresh wherever the route changes what it is used on.
pub async fn prepare<'a>(world: &World<'a>, route: &Route, kind: Kind) -> Case<'a> {
    let app = world.app;
    let tenant = match kind {
        Kind::ForeignAdmin | Kind::ForeignAgent => app.other_tenant().await,
        _ => app.tenant(),
    };
    let case = |ids: Vec<String>, body: Option<Value>| Case {
        ids,
        body,
        agent: world.subject.clone(),
    };
    let path = route.path.trim_start_matches("/api/v1/");
    if path.starts_with("auth/") || path == "setup" {
        let (ids, body) = sign_in_case(tenant, path, kind, &route.method).await;
        return case(ids, body);
    }
    if path.starts_with("users/me/") {
        let body = (route.method == Method::PUT).then(|| json!({"value": {"hidden": true}}));
        return case(vec!["some_banner".to_owned()], body);
    }
    if path.starts_with("users") || path.starts_with("api-keys") || path.starts_with("policies") {
        let (ids, body) = organization_case(tenant, path, &route.method).await;
        return case(ids, body);
    }
    if path.starts_with("violations/{") || path.starts_with("violation-groups") {
        return denied(tenant, path).await;
    }
    if path.starts_with("mcp-servers") || path.starts_with("agents/{id}/mcp-servers") {
        return mcp_case(tenant, path, &route.method).await;
    }
    if path.starts_with("alert") || path.starts_with("webhooks") {
        return monitoring_case(tenant, path, &route.method).await;
    }
    if path.starts_with("retention") {
        return case_of_retention(tenant, path, &route.method).await;
    }
    if path.starts_with("vault/reveal") {
        let (ids, body) = reveal_case(tenant, path, &route.method).await;
        return case(ids, body);
    }
    if path.starts_with("secrets/") {
        return sdk_case(tenant, path, &route.method).await;
    }
    if path.starts_with("vault/") {
        let (ids, body) = vault_case(tenant, path, &route.method).await;
        return case(ids, body);
    }
    if path.starts_with("threats/") {
        return threat_case(tenant, path, &route.method).await;
    }
    if route.method == Method::GET
        && !path.contains("verifications/{")
        && !path.starts_with("capability-requests/{")
    {
        let ids = if route.has_ids() {
            vec![world.subject.id.to_string()]
        } else {
            Vec::new()
        };
        return case(ids, None);
    }
    match path {
        "agents/challenges" => case(Vec::new(), None),
        "agents" => {
            let registrar = tenant.user(Role::Admin).await;
            case(
                Vec::new(),
                Some(TestAgent::registration(&registrar, &fresh_name(), &fresh_key()).await),
            )
        }
        "agents/bulk-suspend" => {
            let agent = tenant.agent(&fresh_name(), &["db:read"]).await;
            let body = json!({"ids": [agent.id], "reason": "their host was broken into"});
            case(Vec::new(), Some(body))
        }
        "trust-score/policy" => case(Vec::new(), Some(json!({"alert_below": 1}))),
        "public/agents/register" => case(Vec::new(), Some(json!({"name": fresh_name()}))),
        "verifications" => case(Vec::new(), Some(json!({"action": "db:read"}))),
        "agent-api-keys/recognise" => case(Vec::new(), Some(json!({"token": "aim_agent_x"}))),
        "sdk-api/verifications" => {
            let body = json!({"agentId": world.subject.id, "capability": "db:read", "context": {}});
            case(Vec::new(), Some(body))
        }
        _ => agent_case(tenant, path, route).await,
    }
}

/// Sign-in, sign-out, sessions, passwords, set-up.
async fn sign_in_case(
    tenant: TenantOf<'_>,
    path: &str,
    kind: Kind,
    method: &Method,
) -> (Vec<String>, Option<Value>) {
    match path {
        "setup" => {
            let body = json!({
                "token": "aim_setup_x", "organization": "Third", "email": "third@example.com", "password": PASSWORD,
            });
            (Vec::new(), Some(body))
        }
        "auth/login" => (
            Vec::new(),
            Some(json!({"email": tenant.email(Role::Admin), "password": PASSWORD})),
        ),
        "auth/login-link" => {
            let kernel = &tenant.app().parts.kernel;
            let token = aim_identity::sessions::sign_in_link(kernel, &tenant.email(Role::Admin)).await;
            (Vec::new(), Some(json!({"token": token.unwrap().expose()})))
        }
        "auth/change-password" => (
            Vec::new(),
            Some(json!({"current_password": PASSWORD, "new_password": NEXT_PASSWORD})),
        ),
        "auth/sessions/{id}" => {
            // A session of the caller's own, besides the one it calls with.
            let role = if let Kind::User(role) = kind {
                role
            } else {
                Role::Admin
            };
            let caller = tenant.user(role).await;
            let extra = tenant.app().bearer(&tenant.sign_in(role).await);
            let sessions = extra.get("/api/v1/auth/sessions?limit=100").await.expect(200);
            let sessions = sessions["sessions"].as_array().unwrap();
            let session = sessions
                .iter()
                .find(|session| session["current"] == true)
                .unwrap();
            drop(caller);
            (vec![session["id"].as_str().unwrap().to_owned()], None)
        }
        _ => {
            assert!(
                ["auth/me", "auth/sessions", "auth/logout"].contains(&path),
                "{method} {path} is new"
            );
            (Vec::new(), None)
        }
    }
}

/// Users, API keys, policies.
async fn organization_case(
    tenant: TenantOf<'_>,
    path: &str,
    method: &Method,
) -> (Vec<String>, Option<Value>) {
    let administrator = tenant.user(Role::Admin).await;
    let (collection, _) = path.split_once('/').unwrap_or((path, ""));
    let new = match collection {
        "users" => {
            let email = format!("{}@{}.example", fresh_name(), tenant.id());
            json!({"email": email, "name": "Somebody", "role": "viewer", "password": PASSWORD})
        }
        "api-keys" => json!({"name": fresh_name(), "role": "viewer"}),
        _ => json!({"name": fresh_name(), "effect": "deny", "capability": "unused:*"}),
    };
    if path == collection {
        return (Vec::new(), (*method == Method::POST).then_some(new));
    }
    let made = administrator.post(&format!("/api/v1/{collection}"), &new).await;
    let _ = made.expect(201);
    let body = (collection == "users" && *method == Method::PATCH).then(|| json!({"name": "Somebody else"}));
    (vec![made.member("id")], body)
}

/// What is about one agent, with an agent of its own.
async fn agent_case<'a>(tenant: TenantOf<'a>, path: &str, route: &Route) -> Case<'a> {
    let administrator = tenant.user(Role::Admin).await;
    let agent = tenant.agent(&fresh_name(), &["db:read"]).await;
    let id = agent.id.to_string();
    let wish = json!({"capability": "db:write", "reason": "to write what was read"});
    let (ids, body) = match (route.method.as_str(), path) {
        ("PUT", "agents/{id}") => (vec![id], Some(json!({"description": "changed"}))),
        ("DELETE", "agents/{id}") | ("POST", "agents/{id}/key-vault/challenges") => (vec![id], None),
        ("POST", "agents/{id}/suspend") => (vec![id], Some(json!({"reason": "unexpected calls"}))),
        ("POST", "agents/{id}/reactivate") => {
            let suspension = json!({"reason": "to be reactivated"});
            let _ = administrator
                .post(&agent.path("/suspend"), &suspension)
                .await
                .expect(200);
            (vec![id], None)
        }
        ("POST", "agents/{id}/key-vault/rotate") => {
            let body = agent.rotation(&fresh_key(), 1).await;
            (vec![id], Some(body))
        }
        ("POST", "agents/{id}/key-vault/replace") => {
            let challenge = administrator
                .send(Method::POST, &agent.path("/key-vault/challenges"), None)
                .await;
            let (challenge, key) = (challenge.member("challenge"), fresh_key());
            let body = json!({
                "public_key": key.public().spki_base64(),
                "proof": possession_proof(Purpose::Rotate, &challenge, &key),
                "challenge": challenge,
                "reason": "the old one was lost",
            });
            (vec![id], Some(body))
        }
        ("POST", "agents/{id}/key-vault/revoke") => (vec![id], Some(json!({"reason": "stolen"}))),
        ("POST", "agents/{id}/capabilities") => (vec![id], Some(json!({"capability": "db:write"}))),
        ("DELETE", "agents/{id}/capabilities/{capability_id}") => {
            let grant = agent.grant(json!({"capability": "db:write"})).await;
            (vec![id, grant], None)
        }
        ("POST", "agents/{id}/capability-requests") => (vec![id], Some(wish)),
        ("POST", "sdk-api/agents/{id}/capability-requests") => (
            vec![id],
            Some(json!({"capabilityType": "db:write", "reason": "to write what was read"})),
        ),
        ("POST", "sdk-api/agents/{id}/mcp-servers") => {
            let name = fresh_name();
            let url = format!("stdio://npx {name}");
            (vec![id], Some(json!({"name": name, "url": url})))
        }
        ("POST", path) if path.contains("detection/") => {
            let found = json!({"mcpServer": "files", "detectionMethod": "claude_config", "confidence": 90.0});
            (vec![id], Some(json!({"detections": [found]})))
        }
        ("POST", "sdk-api/agents/{id}/capabilities/register") => {
            (vec![id], Some(json!({"capabilityType": "db:write"})))
        }
        ("GET" | "POST", path) if path.starts_with("capability-requests/{id}") => {
            let asked = agent.post(&agent.path("/capability-requests"), &wish).await;
            let _ = asked.expect(201);
            let body = match path.rsplit_once('/') {
                Some((_, "approve")) => Some(json!({"digest": asked.member("digest")})),
                Some((_, "reject")) => Some(json!({"note": "not needed"})),
                _ => None,
            };
            (vec![asked.member("id")], body)
        }
        ("GET" | "POST", path) if path.contains("verifications/{id}") => decided(&agent, path).await,
        ("POST", "agents/{id}/trust-score/adjustments") => (vec![id], Some(adjustment(tenant))),
        ("DELETE", "agents/{id}/trust-score/adjustments/{adjustment_id}") => {
            let made = administrator
                .post(&agent.path("/trust-score/adjustments"), &adjustment(tenant))
                .await;
            let _ = made.expect(201);
            (vec![id, made.member("id")], None)
        }
        ("POST", "agents/{id}/api-keys") => (
            vec![id],
            Some(json!({"name": fresh_name(), "capabilities": ["db:read"]})),
        ),
        ("DELETE", "agents/{id}/api-keys/{key_id}") => {
            let new = json!({"name": fresh_name(), "capabilities": ["db:read"]});
            let made = administrator.post(&agent.path("/api-keys"), &new).await;
            let _ = made.expect(201);
            (vec![id, made.member("id")], None)
        }
        ("POST", "agents/{id}/api-keys/{key_id}/rotate") => {
            let new = json!({"name": fresh_name(), "capabilities": ["db:read"]});
            let made = administrator.post(&agent.path("/api-keys"), &new).await;
            let _ = made.expect(201);
            (vec![id, made.member("id")], Some(json!({"overlap_seconds": 60})))
        }
        _ => panic!("{route} is new: say in tests/it/matrix/cases.rs how it is used"),
    };
    Case { ids, body, agent }
}

/// An attempt that was denied, and what is to be made of it.
async fn denied<'a>(tenant: TenantOf<'a>, path: &str) -> Case<'a> {
    let agent = tenant.agent(&fresh_name(), &[]).await;
    let _ = agent.act("db:drop", None).await.expect(403);
    let administrator = tenant.user(Role::Admin).await;
    let tried = administrator.get(&agent.path("/violations")).await.expect(200);
    let tried = &tried["violations"][0];
    let verb = path.rsplit_once('/').map_or("", |(_, verb)| verb);
    let mut body = match verb {
        "resolve" => json!({"reason": "the grant was missing"}),
        "suppress" => json!({"reason": "known", "until": tenant.app().now() + chrono::TimeDelta::hours(1)}),
        _ => json!({}),
    };
    let groups = path.starts_with("violation-groups");
    if groups {
        body["agent_id"] = json!(agent.id);
        body["attempted_capability"] = tried["attempted_capability"].clone();
        body["reason_code"] = tried["reason_codes"][0].clone();
    }
    if verb == "reopen" {
        let done = path.replace("reopen", "acknowledge");
        let target = format!("/api/v1/{done}").replace("{id}", tried["id"].as_str().unwrap());
        let _ = administrator.post(&target, &body).await.expect(200);
    }
    let ids = if groups {
        Vec::new()
    } else {
        vec![tried["id"].as_str().unwrap().to_owned()]
    };
    let body = (verb != "{id}").then_some(body);
    Case { ids, body, agent }
}

/// Retention: settings that keep everything, and a hold.
async fn case_of_retention<'a>(tenant: TenantOf<'a>, path: &str, method: &Method) -> Case<'a> {
    let agent = tenant.agent(&fresh_name(), &[]).await;
    let hold = json!({"agent_id": agent.id, "reason": "a case at court"});
    let (ids, body) = match (method.as_str(), path) {
        ("PUT", _) => {
            let classes = [
                "decision_inputs",
                "violations",
                "audit_details",
                "activity",
                "deliveries",
            ];
            let kept = classes.map(|class| (format!("{class}_days"), Value::Null));
            (Vec::new(), Some(Value::Object(kept.into_iter().collect())))
        }
        ("POST", _) => (Vec::new(), Some(hold)),
        ("DELETE", _) => {
            let administrator = tenant.user(Role::Admin).await;
            let placed = administrator.post("/api/v1/retention/holds", &hold).await;
            (vec![placed.member("id")], None)
        }
        _ => (Vec::new(), None),
    };
    Case { ids, body, agent }
}

/// Secrets: one of its own for each use.
async fn vault_case(tenant: TenantOf<'_>, path: &str, method: &Method) -> (Vec<String>, Option<Value>) {
    let administrator = tenant.user(Role::Admin).await;
    let at = format!("payments/{}", fresh_name());
    let new = json!({"kind": "api_key", "fields": {"value": "not so secret"}});
    let target = format!("/api/v1/vault/secrets/{at}");
    // Somebody may have sealed it before; where it is open, there is nothing to unseal.
    let operator = tenant.app().tenant().user(Role::Admin).await;
    let unsealed = operator.post("/api/v1/vault/unseal", &json!({})).await;
    assert!(matches!(unsealed.status, 200 | 409), "{}", unsealed.text);
    let _ = administrator.put(&target, &new).await.expect(201);
    if path.starts_with("vault/wrap") {
        let mode = json!({"mode": "reason"});
        let settings = "/api/v1/vault/reveal-settings";
        let _ = administrator.put(settings, &mode).await.expect(200);
    }
    let version = json!({"path": at, "version": 1});
    let bait = format!("bait/{}", fresh_name());
    let seed = json!({"paths": [bait], "shape": "generic"});
    match (method.as_str(), path) {
        ("POST", "vault/honeytokens") => (Vec::new(), Some(seed)),
        ("DELETE", "vault/honeytokens/{path}") => {
            let _ = administrator
                .post("/api/v1/vault/honeytokens", &seed)
                .await
                .expect(201);
            (vec![bait], None)
        }
        ("PUT", "vault/access/thresholds") => (Vec::new(), Some(json!({"learning_days": 14}))),
        ("GET", "vault/honeytokens") => (Vec::new(), None),
        ("GET", path) if path.starts_with("vault/access") => (Vec::new(), None),
        ("PUT", _) => (vec![at], Some(new)),
        (_, "vault/secrets/{path}") => (vec![at], None),
        (_, "vault/secrets" | "vault/status" | "vault/keys" | "vault/seal") => (Vec::new(), None),
        (_, "vault/keys/rotate" | "vault/rekey") => (Vec::new(), Some(json!({}))),
        (_, "vault/changes") => (Vec::new(), None),
        (_, "vault/wrap") => (
            Vec::new(),
            Some(json!({"path": at, "reason": "a test of who may wrap"})),
        ),
        (_, "vault/wrap/lookup" | "vault/wrap/unwrap") => {
            let wish = json!({"path": at, "reason": "a test of who may unwrap"});
            // By a key: people make only so many an hour.
            let key = tenant.api_key(Role::Admin).await;
            let wrapped = key.post("/api/v1/vault/wrap", &wish).await;
            let mut body = json!({"token": wrapped.member("token")});
            if path.ends_with("unwrap") {
                body["seal_to"] = json!("OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0");
            }
            (Vec::new(), Some(body))
        }
        (_, "vault/wraps/{id}") => {
            let wish = json!({"path": at, "reason": "a test of who may revoke"});
            let key = tenant.api_key(Role::Admin).await;
            let wrapped = key.post("/api/v1/vault/wrap", &wish).await;
            (vec![wrapped.member("wrap_id")], None)
        }
        (_, "vault/diff" | "vault/at" | "vault/wraps") => (Vec::new(), None),
        (_, "vault/restore") => {
            let now = tenant.app().now();
            (Vec::new(), Some(json!({"prefix": at, "at": now})))
        }
        (_, "vault/import") => {
            let item = json!({"path": at, "kind": "api_key", "fields": {"value": "another"}});
            (Vec::new(), Some(json!({"items": [item]})))
        }
        (_, "vault/export") => {
            // As below: nobody opens what is sealed to it.
            let recipient = "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0";
            let body = json!({"prefix": at, "recipient": recipient, "reason": "moving to another place"});
            (Vec::new(), Some(body))
        }
        // It is no OAuth secret that could be refreshed.
        (_, "vault/refresh") => (Vec::new(), Some(json!({"path": at}))),
        (_, "vault/unseal") => (
            Vec::new(),
            Some(json!({"passphrase": "six words that nobody else has"})),
        ),
        (_, "vault/find-value") => (Vec::new(), Some(json!({"value": "not so secret"}))),
        (_, "vault/writes") => (Vec::new(), Some(json!({"path": at, "secret": new}))),
        (_, "vault/lists") => (Vec::new(), Some(json!({"prefix": "payments/"}))),
        (_, "vault/reads") => {
            // The public key of RFC 9180 appendix A.1.1: nobody opens what is sealed to it.
            let seal_to = "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0";
            (Vec::new(), Some(json!({"path": at, "seal_to": seal_to})))
        }
        _ => (Vec::new(), Some(version)),
    }
}

/// Values shown to people: one administrator asks, another answers.
async fn reveal_case(tenant: TenantOf<'_>, path: &str, method: &Method) -> (Vec<String>, Option<Value>) {
    let administrator = tenant.user(Role::Admin).await;
    let mode = json!({"mode": "second_person"});
    let _ = administrator
        .put("/api/v1/vault/reveal-settings", &mode)
        .await
        .expect(200);
    let at = format!("payments/{}", fresh_name());
    let new = json!({"kind": "api_key", "fields": {"value": "not so secret"}});
    let _ = administrator
        .put(&format!("/api/v1/vault/secrets/{at}"), &new)
        .await
        .expect(201);
    let ask = json!({"path": at, "reason": "somebody has to look at it"});
    let asked_by = async |caller: &aim_tests::Caller<'_>| {
        let asked = caller.post("/api/v1/vault/reveal", &ask).await.expect(202);
        asked["reveal"]["id"].as_str().unwrap().to_owned()
    };
    match (method.as_str(), path) {
        ("PUT", _) => (Vec::new(), Some(mode)),
        (_, "vault/reveal-settings" | "vault/reveals") => (Vec::new(), None),
        (_, "vault/reveal") => (Vec::new(), Some(ask.clone())),
        ("GET", _) => (vec![asked_by(&another_administrator(tenant).await).await], None),
        (_, "vault/reveals/{id}/take") => {
            let id = asked_by(&administrator).await;
            let approve = format!("/api/v1/vault/reveals/{id}/approve");
            let other = another_administrator(tenant).await;
            let _ = other.post(&approve, &json!({})).await.expect(200);
            (vec![id], Some(json!({})))
        }
        _ => (
            vec![asked_by(&another_administrator(tenant).await).await],
            Some(json!({})),
        ),
    }
}

/// A second administrator, just signed in.
async fn another_administrator<'a>(tenant: TenantOf<'a>) -> aim_tests::Caller<'a> {
    let email = format!("{}@second.example", fresh_name());
    let new = json!({"email": email, "name": "The second", "role": "admin", "password": PASSWORD});
    let administrator = tenant.user(Role::Admin).await;
    let _ = administrator.post("/api/v1/users", &new).await.expect(201);
    let body = json!({"email": email, "password": PASSWORD});
    let app = tenant.app();
    let session = app.anonymous().post("/api/v1/auth/login", &body).await;
    app.bearer(session.expect(200)["access_token"].as_str().unwrap())
}

/// Namespaces of the published SDK: an agent with one that holds a credential.
async fn sdk_case<'a>(tenant: TenantOf<'a>, path: &str, method: &Method) -> Case<'a> {
    let administrator = tenant.user(Role::Admin).await;
    let agent = tenant.agent(&fresh_name(), &["secret:read"]).await;
    let new = |namespace: &str| json!({"agentId": agent.id, "namespace": namespace, "operations": ["read"]});
    let made = administrator
        .post("/api/v1/secrets/namespaces", &new("creds"))
        .await;
    let id = made.member("id");
    let credential = json!({"encryptedBlob": "AAEC"});
    let at = format!("/api/v1/secrets/namespaces/{id}/credentials");
    let _ = administrator.post(&at, &credential).await.expect(201);
    let (ids, body) = match (method.as_str(), path) {
        ("POST", "secrets/namespaces") => (Vec::new(), Some(new("more"))),
        ("POST", "secrets/resolve") => {
            let nonce = format!("{}:0b8f3f0e-7c1e-4b3a-9f0e-5d4c3b2a1908", tenant.app().now());
            let signature = agent.key.sign(format!("creds|read|{nonce}").as_bytes());
            let body = json!({
                "namespace": "creds", "operation": "read", "nonce": nonce,
                "signature": STANDARD.encode(signature), "agentPublicKey": agent.key.public().raw_base64(),
            });
            (Vec::new(), Some(body))
        }
        ("POST", _) => (vec![id], Some(credential)),
        (_, "secrets/namespaces/{id}") => (vec![id], None),
        _ => (Vec::new(), None),
    };
    Case { ids, body, agent }
}

/// An adjustment of a trust score.
fn adjustment(tenant: TenantOf<'_>) -> Value {
    let expires_at = tenant.app().now() + chrono::TimeDelta::days(1);
    json!({"delta": 5, "reason": "known from an audit", "expires_at": expires_at})
}

/// MCP servers: one with a manifest, and an agent that is connected to it.
async fn mcp_case<'a>(tenant: TenantOf<'a>, path: &str, method: &Method) -> Case<'a> {
    let administrator = tenant.user(Role::Admin).await;
    let agent = tenant.agent(&fresh_name(), &[]).await;
    let new = || {
        let name = fresh_name();
        let url = format!("https://{name}.example");
        json!({"name": name, "url": url, "public_key": fresh_key().public().spki_base64()})
    };
    let (agent_id, server) = (
        agent.id.to_string(),
        administrator.post("/api/v1/mcp-servers", &new()).await,
    );
    let id = server.member("id");
    let at_server = |end: &str| format!("/api/v1/mcp-servers/{id}/{end}");
    let manifest = json!({"tools": [{"name": "read"}]});
    let recorded = administrator.post(&at_server("manifests"), &manifest).await;
    let of_agent = json!({"mcp_server_ids": [id]});
    let connected = administrator.put(&agent.path("/mcp-servers"), &of_agent).await;
    let _ = (server.expect(201), recorded.expect(201), connected.expect(200));
    let reason = json!({"reason": "looked at"});
    let (ids, body) = match (method.as_str(), path) {
        ("GET", "mcp-servers") => (Vec::new(), None),
        ("POST", "mcp-servers") => (Vec::new(), Some(new())),
        ("GET", "mcp-servers/{id}/manifests/{version}") => (vec![id, "1".to_owned()], None),
        ("PUT", "mcp-servers/{id}") => (vec![id], Some(json!({"description": "changed"}))),
        ("POST", "mcp-servers/{id}/suspend" | "mcp-servers/{id}/revoke") => (vec![id], Some(reason)),
        ("POST", "mcp-servers/{id}/reactivate") => {
            let _ = administrator
                .post(&at_server("suspend"), &reason)
                .await
                .expect(200);
            (vec![id], None)
        }
        ("POST", "mcp-servers/{id}/manifests") => (vec![id], Some(json!({"tools": [{"name": "write"}]}))),
        ("POST", "mcp-servers/{id}/attestations") => (
            vec![id],
            Some(json!({"manifest_digest": recorded.member("digest")})),
        ),
        ("PUT" | "DELETE", "agents/{id}/mcp-servers" | "agents/{id}/mcp-servers/bulk") => {
            (vec![agent_id], Some(of_agent))
        }
        ("DELETE", "agents/{id}/mcp-servers/{mcp_id}") => (vec![agent_id, id], None),
        (_, path) if path.starts_with("agents/") => (vec![agent_id], None),
        _ => (vec![id], None),
    };
    Case { ids, body, agent }
}

/// A decision, pending where it is to be reviewed, and what is to be done with it.
async fn decided(agent: &TestAgent<'_>, path: &str) -> (Vec<String>, Option<Value>) {
    let end = path.rsplit_once('/').map_or("", |(_, end)| end);
    let review = matches!(end, "approve" | "reject");
    let decision = agent
        .ask(&json!({"action": "db:read", "approval_requested": review}))
        .await;
    assert_eq!(
        decision.status,
        if review { 202 } else { 201 },
        "{}",
        decision.text
    );
    let body = match end {
        "approve" => Some(json!({"digest": decision.member("request_digest")})),
        "reject" => Some(json!({"note": "not now"})),
        "result" if path.starts_with("sdk-api") => Some(json!({"result": "success"})),
        "result" => Some(json!({"outcome": "success"})),
        "execution-status" => Some(json!({"executed": true})),
        _ => None,
    };
    (vec![decision.member("id")], body)
}

/// Alerts, what raises them, and webhooks.
async fn monitoring_case<'a>(tenant: TenantOf<'a>, path: &str, method: &Method) -> Case<'a> {
    let administrator = tenant.user(Role::Admin).await;
    let agent = tenant.agent(&fresh_name(), &[]).await;
    if path.starts_with("alerts/{id}") {
        // A suspension raises an alert, once the log is followed.
        let reason = json!({"reason": "its host was broken into"});
        let _ = administrator
            .post(&agent.path("/suspend"), &reason)
            .await
            .expect(200);
        let followers = tenant.app().parts.follow_runner();
        followers.catch_up().await.expect("followers");
        let target = format!("/api/v1/alerts?agent_id={}", agent.id);
        let alerts = administrator.get(&target).await.expect(200);
        let id = alerts["alerts"][0]["id"].as_str().expect("an alert").to_owned();
        let body = match path.rsplit_once('/').map_or("", |(_, verb)| verb) {
            "resolve" => Some(json!({"note": "it was a drill"})),
            "assign" => Some(json!({"user_id": null})),
            "acknowledge" => Some(json!({})),
            _ => None,
        };
        return Case {
            ids: vec![id],
            body,
            agent,
        };
    }
    // A name that is none: nothing leaves this machine.
    let webhook = || json!({"name": fresh_name(), "url": "https://receiver.invalid/hook"});
    let rule = json!({"kind": "denials_burst", "enabled": true, "severity": null, "cooldown_minutes": 5});
    let mut ids = Vec::new();
    if path.starts_with("webhooks/{id}") {
        let made = administrator.post("/api/v1/webhooks", &webhook()).await;
        let _ = made.expect(201);
        ids.push(made.member("id"));
        if path.ends_with("replay") {
            let target = format!("/api/v1/webhooks/{}/test", made.member("id"));
            let tested = administrator.send(Method::POST, &target, None).await;
            let _ = tested.expect(200);
            ids.push(tested.member("id"));
        }
    }
    let body = match (method.as_str(), path) {
        ("PUT", "alert-rules") => Some(rule),
        ("POST", "alert-rules/reset") => Some(json!({"kind": "denials_burst"})),
        ("POST", "webhooks") | ("PUT", "webhooks/{id}") => Some(webhook()),
        _ => None,
    };
    Case { ids, body, agent }
}

/// What findings lead to, and one that a forged signature made.
async fn threat_case<'a>(tenant: TenantOf<'a>, path: &str, method: &Method) -> Case<'a> {
    let agent = tenant.agent(&fresh_name(), &["db:read"]).await;
    let settings = path == "threats/policies" || path == "threats/honeytokens";
    if settings {
        let body = match path {
            "threats/policies" => json!({"responses": {"new_source": "alert"}}),
            _ => json!({"honeytokens": ["unused:bait"]}),
        };
        return Case {
            ids: Vec::new(),
            body: (*method == Method::PUT).then_some(body),
            agent,
        };
    }
    let kernel = &tenant.app().parts.kernel;
    let refusal = aim_platform::Refusal {
        organization: tenant.id(),
        agent: agent.id,
        fingerprint: None,
        code: "signature.wrong",
        scheme: "rfc9421",
        now: kernel.now(),
        source_ip: Some("203.0.113.7"),
        asked: "POST /api/v1/verifications".to_owned(),
    };
    kernel.refusals.note(&kernel.store, refusal).await;
    tenant.app().catch_up().await;
    let list = format!("/api/v1/threats?agent_id={}", agent.id);
    let list = tenant.user(Role::Viewer).await.get(&list).await.expect(200);
    let id = list["threats"][0]["id"].as_str().unwrap().to_owned();
    let body = path
        .ends_with("/review")
        .then(|| json!({"status": "handled", "note": "seen to"}));
    Case {
        ids: vec![id],
        body,
        agent,
    }
}
