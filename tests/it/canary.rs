//! Secrets that must be found nowhere but where they were handed over: after everything that a secret can go through, none of them
//! stands in the database, a backup, the log at its most talkative, a trace, `/metrics`, the audit log, the body of a refusal, a
//! process's command line, or the server's memory.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use aim::composition;
use aim_client::{AgentIdentity, Client, Clock, KeyFolder, NewAgent};
use aim_core::Timestamp;
use aim_crypto::digest::{hex, random_bytes};
use aim_store::{
    DatabaseConfig, Scope, Store,
    diesel::{self, RunQueryDsl},
    each,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use chrono::DateTime;
use memchr::memmem;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    memory,
    process::{Door, Installation, Node, PASSWORD, Signer, binary, until},
};

/// Stands in plain sight beside each canary, so that a search that finds nothing is known to be able to find.
const CONTROL: &str = "stands-in-plain-sight";

/// A secret that this run alone has.
struct Canary {
    text: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new() -> Self {
        let text = format!("canary-{}", hex(&random_bytes::<24>().unwrap()));
        let mut forms = vec![text.clone().into_bytes(), hex(text.as_bytes()).into_bytes()];
        // In Base64, wherever in a longer text it stands: the middle of it, at each of the three alignments.
        for start in 0..3 {
            let whole = (text.len() - start) / 3 * 3;
            forms.push(
                STANDARD_NO_PAD
                    .encode(&text.as_bytes()[start..start + whole])
                    .into_bytes(),
            );
        }
        Self { text, forms }
    }

    #[track_caller]
    fn is_not_in(&self, place: &str, bytes: &[u8]) {
        for form in &self.forms {
            if let Some(at) = memmem::find(bytes, form) {
                let around = &bytes[at.saturating_sub(200)..(at + 200).min(bytes.len())];
                panic!(
                    "the secret stands in {place}: {}",
                    String::from_utf8_lossy(around)
                );
            }
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memmem::find(bytes, text.as_bytes()).is_some()
}

/// Takes the traces, as an OpenTelemetry collector does.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let taken = web::Data::new(self.clone());
        let server = HttpServer::new(move || {
            let route = web::post().to(async |body: web::Bytes, taken: web::Data<Collector>| {
                taken
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&body);
                HttpResponse::Ok().finish()
            });
            App::new().app_data(taken.clone()).route("/v1/traces", route)
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        tokio::spawn(server);
        address
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All rows of all tables as text; of SQLite all bytes of its files.
async fn everything(installation: &Installation) -> Vec<u8> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        text: String,
    }
    if let Some(file) = installation.url.strip_prefix("sqlite:") {
        let mut bytes = Vec::new();
        for entry in fs::read_dir(Path::new(file).parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                bytes.extend(fs::read(path).unwrap());
            }
        }
        return bytes;
    }
    let config = DatabaseConfig {
        url: installation.url.clone(),
        connections: 2,
    };
    let store = Store::connect(&config, Vec::new()).await.unwrap();
    let rows = store.read(Scope::Installation, |db| {
        let names = "SELECT tablename::text AS text FROM pg_tables WHERE schemaname = 'public'";
        let names: Vec<Row> = each!(db, c => diesel::sql_query(names).load(c))?;
        let mut all = Vec::new();
        for name in names {
            let rows = format!("SELECT t::text AS text FROM {} t", name.text);
            let rows: Vec<Row> = each!(db, c => diesel::sql_query(&rows).load(c))?;
            all.extend(rows.into_iter().flat_map(|row| row.text.into_bytes()));
        }
        Ok(all)
    });
    rows.await.unwrap()
}

/// The command lines of all processes that this user sees.
fn command_lines() -> BTreeMap<u32, Vec<u8>> {
    let entries = fs::read_dir("/proc").unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|id: u32| Some((id, fs::read(format!("/proc/{id}/cmdline")).ok()?)))
        .collect()
}

/// A client with connections of its own, which end with it: one that goes on holds what went over it last.
fn client(node: &Node, token: &str) -> Client {
    let builder = Client::builder().server(node.admin.server());
    builder.bearer(token.to_owned()).build().unwrap()
}

/// Sends bytes with this token; what the server answers.
async fn said_by(node: &Node, token: &str, method: &str, target: &str, body: &str) -> (u16, Vec<u8>) {
    let client = client(node, token);
    let mut request = client
        .prepare(method.parse::<Method>().unwrap(), target, None::<&Value>)
        .unwrap();
    request.set_header("content-type", "application/json");
    request.body = body.as_bytes().to_vec();
    let reply = client.send(request).await.unwrap();
    (reply.status, reply.body)
}

/// What the agent signed, sent to the node.
async fn signed(node: &Node, signer: &Signer, target: &str, body: &Value) -> (u16, Vec<u8>) {
    let door = Door {
        admin: client(node, "nobody's"),
        ..node.door()
    };
    let request = signer.signed(Method::POST, target, Some(body));
    let reply = door.send(&request).await.unwrap();
    (reply.status, reply.body)
}

/// A resolve, as the published SDK asks for it.
fn resolve(identity: &AgentIdentity, namespace: &str) -> Value {
    let moment = Timestamp::new(DateTime::from_timestamp(Clock::system().seconds(), 0).unwrap());
    let nonce = format!("{moment}:0b8f3f0e-7c1e-4b3a-9f0e-5d4c3b2a1908");
    let signature = identity
        .key()
        .sign(format!("{namespace}|read|{nonce}").as_bytes());
    json!({
        "namespace": namespace, "operation": "read", "nonce": nonce,
        "signature": STANDARD.encode(signature), "agentPublicKey": identity.public_key().raw_base64(),
    })
}

/// Bodies that are wrong in every way that a parser could quote them for. The name of a field is no value, and is told.
fn malformed(canary: &str) -> Vec<(&'static str, &'static str, String)> {
    let secret = "/api/v1/vault/secrets/payments/key";
    let fields = |fields: &str| format!(r#"{{"kind":"api_key","fields":{fields}}}"#);
    let quoted = format!("{canary:?}");
    let mut all = vec![
        ("PUT", secret, canary.to_owned()),
        ("PUT", secret, quoted.clone()),
        ("PUT", secret, format!("[{quoted}]")),
        ("PUT", secret, fields(&quoted)),
        ("PUT", secret, fields(&format!("[{quoted}]"))),
        ("PUT", secret, fields(&format!(r#"{{"value":{quoted}"#))),
        ("PUT", secret, fields(&format!(r#"{{"value":{quoted},}}"#))),
        ("PUT", secret, fields(&format!(r#"{{"value":[{quoted}]}}"#))),
        (
            "PUT",
            secret,
            fields(&format!(r#"{{"value":{{"value":{quoted}}}}}"#)),
        ),
        (
            "PUT",
            secret,
            fields(&format!(r#"{{"value":{quoted},"other":{quoted}}}"#)),
        ),
        (
            "PUT",
            secret,
            fields(&format!(r#"{{"value":{quoted},"value":{quoted}}}"#)),
        ),
        ("PUT", secret, fields(&format!(r#"{{"value":"\u0000{canary}"}}"#))),
        ("PUT", secret, fields(&format!(r#"{{"value":"\ud800{canary}"}}"#))),
        ("PUT", secret, format!(r#"{{"kind":{quoted},"fields":{{}}}}"#)),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"api_key","fields":{{"value":"x"}},"cas":{quoted}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"api_key","fields":{{"value":"x"}},"expires_at":{quoted}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"api_key","fields":{{"value":"x"}},"max_versions":{quoted}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"api_key","fields":{{"value":"x"}},"tags":{quoted}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"certificate","fields":{{"certificate":{quoted},"private_key":{quoted}}}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"database","fields":{{"password":{quoted},"port":{quoted}}}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"oauth","fields":{{"client_id":"c","token_url":{quoted}}}}}"#),
        ),
        (
            "PUT",
            secret,
            format!(r#"{{"kind":"file","fields":{{"content":"!{canary}"}}}}"#),
        ),
        (
            "PUT",
            secret,
            fields(&format!(r#"{{"value":"{canary}{}"}}"#, "x".repeat(1 << 20))),
        ),
    ];
    for target in [
        "/api/v1/vault/find-value",
        "/api/v1/vault/unseal",
        "/api/v1/vault/rekey",
        "/api/v1/vault/wrap/lookup",
        "/api/v1/vault/wrap/unwrap",
        "/api/v1/agent-api-keys/recognise",
        "/api/v1/auth/login",
        "/api/v1/vault/import",
    ] {
        for body in [
            quoted.clone(),
            format!(
                r#"{{"value":[{quoted}],"token":[{quoted}],"passphrase":[{quoted}],"password":[{quoted}]}}"#
            ),
            format!(r#"{{"token":{quoted}}}"#),
            format!(r#"{{"passphrase":{quoted}"#),
            format!(r#"{{"email":"nobody@example.com","password":{quoted}}}"#),
            format!(r#"{{"items":[{{"path":"a/b","kind":"api_key","fields":{quoted}}}]}}"#),
            format!(
                r#"{{"items":[{{"path":"a/b","kind":"api_key","fields":{{"value":{quoted},"x":{quoted}}}}}]}}"#
            ),
            format!(r#"{{"format":"env","text":"A B={canary}\nC='{canary}"}}"#),
            format!(r#"{{"format":"json","text":"{{\"a\": {canary}}}"}}"#),
        ] {
            all.push(("POST", target, body));
        }
    }
    all
}

async fn a_secret_is_found_nowhere(mut installation: Installation) {
    if composition::edition_name() != "premium" {
        return;
    }
    let collector = Collector::default();
    installation.set("AIM__LOG__TRACES_URL", collector.start());
    installation.set("AIM__LOG__LEVEL", "trace");
    let node = installation.start().await;
    let said = async |method: &str, target: &str, body: &str| {
        said_by(&node, &installation.api_key, method, target, body).await
    };
    let machine = tempfile::tempdir().unwrap();
    let identity = node.admin.create_agent(&NewAgent::named("bot")).await.unwrap();
    KeyFolder::at(machine.path().join("aim/agents"))
        .save(&identity)
        .unwrap();
    let grants = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
    let scope = json!({"resources": ["payments/*"]});
    for capability in ["secret:read", "secret:write"] {
        let grant = json!({"capability": capability, "scope": scope});
        let _ = node.post(&grants, grant).await;
    }
    let _ = node
        .post(
            &grants,
            json!({"capability": "secret:read", "scope": {"resources": ["sdk/**"]}}),
        )
        .await;
    let (canary, twin) = (Canary::new(), Canary::new());
    let canaries = [&canary, &twin];

    // A life: written, written over, taken back, destroyed, looked up, imported, deleted, undeleted, put back to a moment, exported
    // sealed, wrapped, while the keys are rotated and replaced.
    let mut answers = Vec::new();
    for value in [&canary.text, &twin.text, &canary.text] {
        let body = json!({"kind": "api_key", "fields": {"value": value}, "description": CONTROL});
        let (status, text) = said("PUT", "/api/v1/vault/secrets/payments/key", &body.to_string()).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&text));
        answers.extend(text);
    }
    let seal_to = "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0";
    let written = said("GET", "/api/v1/vault/secrets/payments/key", "").await.1;
    let written: Value = serde_json::from_slice(&written).unwrap();
    let before = &written["updated_at"];
    let deleted = said("DELETE", "/api/v1/vault/secrets/payments/key?version=2", "").await;
    assert_eq!(deleted.0, 200, "{}", String::from_utf8_lossy(&deleted.1));
    answers.extend(deleted.1);
    for (target, body) in [
        ("rollback", json!({"path": "payments/key", "version": 1})),
        ("destroy", json!({"path": "payments/key", "version": 1})),
        ("find-value", json!({"value": canary.text})),
        (
            "import",
            json!({"format": "env", "text": format!("NEW={}\n", twin.text), "mapping": {"prefix": "payments/", "lowercase": true}}),
        ),
        (
            "import",
            json!({"items": [{"path": "payments/map", "kind": "map", "fields": {"a": canary.text, "b": twin.text}}]}),
        ),
        ("keys/rotate", json!({"purpose": "index"})),
        ("keys/rotate", json!({"purpose": "wrap"})),
        ("rekey", json!({})),
        ("undelete", json!({"path": "payments/key", "version": 2})),
        ("restore", json!({"prefix": "payments/key", "at": before})),
        (
            "restore",
            json!({"prefix": "payments/", "at": before, "newer": "delete", "dry_run": true}),
        ),
        (
            "export",
            json!({"prefix": "payments/", "recipient": seal_to, "reason": "moving to another place"}),
        ),
    ] {
        let (status, text) = said("POST", &format!("/api/v1/vault/{target}"), &body.to_string()).await;
        assert!(
            matches!(status, 200..=202),
            "{target}: {}",
            String::from_utf8_lossy(&text)
        );
        answers.extend(text);
    }
    answers.extend(
        said("GET", "/api/v1/vault/diff?path=payments/key&from=2&to=3", "")
            .await
            .1,
    );

    // What an agent gets is sealed; what is refused quotes nothing.
    let signer = Signer::new(identity.clone());
    for body in [
        json!({"path": "payments/key", "seal_to": seal_to}),
        json!({"path": "payments/key", "seal_to": canary.text}),
        json!({"path": "payments/key", "seal_to": seal_to, "decision_id": canary.text}),
        json!({"path": canary.text.to_uppercase(), "seal_to": seal_to}),
    ] {
        // A path is no secret, and in capitals it is no canary either.
        answers.extend(signed(&node, &signer, "/api/v1/vault/reads", &body).await.1);
    }
    let wish = json!({"path": "payments/key", "reason": "the first start", "for_agent": identity.agent_id});
    let wrapped = node.post("/api/v1/vault/wrap", wish).await;
    let write =
        json!({"path": "payments/written", "secret": {"kind": "api_key", "fields": {"value": twin.text}}});
    for (target, body, status) in [
        (
            "wrap/unwrap",
            json!({"token": wrapped["token"], "seal_to": seal_to}),
            200,
        ),
        ("writes", write, 201),
    ] {
        let (answered, text) = signed(&node, &signer, &format!("/api/v1/vault/{target}"), &body).await;
        assert_eq!(answered, status, "{target}: {}", String::from_utf8_lossy(&text));
        answers.extend(text);
    }
    // By the published SDK's calls: stored, resolved, rotated.
    let namespace = json!({"agentId": identity.agent_id, "namespace": "creds", "operations": ["read"]});
    let namespace = node.post("/api/v1/secrets/namespaces", namespace).await;
    let at = format!("/api/v1/secrets/namespaces/{}", namespace["id"].as_str().unwrap());
    for (end, canary) in [("credentials", &canary), ("rotate", &twin)] {
        let body = json!({"encryptedBlob": STANDARD.encode(&canary.text)}).to_string();
        let (status, text) = said("POST", &format!("{at}/{end}"), &body).await;
        assert_eq!(status, 201, "{end}: {}", String::from_utf8_lossy(&text));
        answers.extend(text);
    }
    let (status, text) = signed(
        &node,
        &signer,
        "/api/v1/secrets/resolve",
        &resolve(&identity, "creds"),
    )
    .await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&text));
    answers.extend(text);

    let mut refused = 0;
    for (method, target, body) in malformed(&canary.text) {
        let (status, text) = said(method, target, &body).await;
        assert!(
            (400..500).contains(&status) || status == 200,
            "{method} {target}: {status}"
        );
        refused += usize::from(status >= 400);
        let shown: String = body.chars().take(120).collect();
        canary.is_not_in(&format!("the answer to {method} {target} {shown}"), &text);
    }
    assert!(refused > 80, "{refused}");
    canaries
        .iter()
        .for_each(|canary| canary.is_not_in("an answer", &answers));

    a_command_that_runs_shows_none(&node, machine.path(), &canary);
    a_person_is_shown(&node, &canary).await;

    // What is measured, what is audited, and what is kept.
    let (status, metrics) = said("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    let (_, audit) = said("GET", "/api/v1/audit-logs?format=ndjson", "").await;
    assert!(
        holds(&audit, "secret.written") || holds(&audit, "secret.rolled_back"),
        "the log of what was done"
    );
    let kept = everything(&installation).await;
    assert!(holds(&kept, CONTROL), "the search finds what is there");
    let mut backup = Vec::new();
    if installation.url.starts_with("sqlite:") {
        let file = machine.path().join("copy.db");
        let output = installation.run(&["backup", "--to", &file.display().to_string()], "");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        backup = fs::read(file).unwrap();
        assert!(holds(&backup, CONTROL));
    }

    // Each connection that a canary went over has ended.
    let process = node.process_id();
    until("the server's memory holds no secret", async || {
        let left = canaries.map(|canary| memory::places(process, &canary.text).unwrap_or_default());
        left.iter().all(Vec::is_empty).then_some(())
    })
    .await;

    // Ended in order, so that the last spans are sent.
    let ended = Command::new("kill")
        .arg(node.process_id().to_string())
        .status()
        .unwrap();
    assert!(ended.success());
    let traces = until("the spans of the requests", async || {
        let bytes = collector.bytes();
        (holds(&bytes, "/api/v1/vault/reads") && holds(&bytes, "/api/v1/vault/find-value")).then_some(bytes)
    })
    .await;
    let log = node.log().into_bytes();
    assert!(
        holds(&log, "TRACE") || holds(&log, "DEBUG"),
        "the log is talkative"
    );
    for canary in canaries {
        canary.is_not_in("/metrics", &metrics);
        canary.is_not_in("the audit log", &audit);
        canary.is_not_in("the database", &kept);
        canary.is_not_in("the backup", &backup);
        canary.is_not_in("a trace", &traces);
        canary.is_not_in("the log", &log);
    }
}

/// A value that is shown is in its answer, and nowhere once that has gone, though the caller keeps its connection.
async fn a_person_is_shown(node: &Node, canary: &Canary) {
    let login = json!({"email": "admin@example.com", "password": PASSWORD});
    let session = node.post("/api/v1/auth/login", login).await;
    let token = session["access_token"].as_str().unwrap();
    let mode = json!({"mode": "reason"}).to_string();
    let set = said_by(node, token, "PUT", "/api/v1/vault/reveal-settings", &mode).await;
    assert_eq!(set.0, 200, "{}", String::from_utf8_lossy(&set.1));
    let ask = json!({"path": "payments/map", "reason": "somebody has to look at it"}).to_string();
    let shown = said_by(node, token, "POST", "/api/v1/vault/reveal", &ask).await;
    let shown: Value = serde_json::from_slice(&shown.1).unwrap();
    assert_eq!(shown["fields"]["a"], canary.text, "shown to whoever may see it");
}

/// While a command runs with a secret, no command line on the machine shows it, nor does the environment of `aim` itself.
fn a_command_that_runs_shows_none(node: &Node, machine: &Path, canary: &Canary) {
    let script = "printf '%s\\n' \"$KEY\"; read -r _";
    let mut child = Command::new(binary())
        .args(["run", "--agent", "bot", "--server", node.admin.server()])
        .args([
            "--env",
            "KEY=payments/key",
            "--redact",
            "--",
            "/bin/sh",
            "-c",
            script,
        ])
        .env("XDG_CONFIG_HOME", machine)
        .current_dir(machine)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "[redacted]\n", "it runs, and has the secret");
    let all = command_lines();
    let ours = format!("run\0--agent\0bot\0--server\0{}", node.admin.server());
    let found = all.values().filter(|line| holds(line, &ours)).count();
    assert!(found >= 1, "the search sees the command that runs");
    let script = all.values().filter(|line| holds(line, "read -r _")).count();
    assert!(script >= 2, "and its child");
    for (id, line) in &all {
        canary.is_not_in(&format!("the command line of process {id}"), line);
    }
    let environment = fs::read(format!("/proc/{}/environ", child.id())).unwrap_or_default();
    canary.is_not_in("the environment of aim", &environment);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    canary.is_not_in("standard error", &ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_nowhere_on_sqlite() {
    a_secret_is_found_nowhere(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_nowhere_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        a_secret_is_found_nowhere(installation).await;
    }
}
