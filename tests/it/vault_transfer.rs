//! `aim vault import`, `export`, `open-export` and `keygen` with the real program against a real server, and a KV v2
//! engine of our own that answers as the documented one does.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aim::composition;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Installation, Node, binary};

const CANARY: &str = "sk_live_canary_4711_transfer";
const TOKEN: &str = "hvs.the-token-of-the-test";

struct Scene {
    installation: Installation,
    node: Node,
    machine: TempDir,
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Scene {
    async fn new(installation: Installation) -> Self {
        let node = installation.start().await;
        Self {
            installation,
            node,
            machine: TempDir::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// `aim vault …` with the administrator's key.
    fn aim(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(binary());
        let output: Output = command
            .arg("vault")
            .args(arguments)
            .args(["--server", self.node.admin.server()])
            .env("AIM_API_KEY", &self.installation.api_key)
            .env("VAULT_TOKEN", TOKEN)
            .env_remove("VAULT_ADDR")
            .current_dir(self.machine.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    async fn versions(&self, path: &str) -> Vec<i64> {
        let target = format!("/api/v1/vault/secrets/{path}");
        let none = None::<&Value>;
        let view: Value = self
            .node
            .admin
            .call(reqwest::Method::GET, &target, none)
            .await
            .unwrap();
        let versions = view["versions"].as_array().unwrap().iter();
        versions
            .map(|version| version["version"].as_i64().unwrap())
            .collect()
    }

    async fn is_ours(&self, value: &str) -> bool {
        let body = json!({ "value": value });
        let found: Value = self
            .node
            .admin
            .call(reqwest::Method::POST, "/api/v1/vault/find-value", Some(&body))
            .await
            .unwrap();
        found["found"] == true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_in_and_exports_go_out_and_back_on_sqlite() {
    if composition::edition_name() == "premium" {
        files_come_in_and_exports_go_out_and_back(Scene::new(Installation::sqlite()).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_in_and_exports_go_out_and_back_on_postgres() {
    if composition::edition_name() != "premium" {
        return;
    }
    if let Some(installation) = Installation::postgres().await {
        files_come_in_and_exports_go_out_and_back(Scene::new(installation).await).await;
    }
}

async fn files_come_in_and_exports_go_out_and_back(scene: Scene) {
    let env = scene.write(
        ".env",
        &format!("# ours\nSTRIPE_KEY='{CANARY}'\nDB_URL=\"x y\"\n"),
    );
    let said = scene.aim(&["import", &env, "--under", "web/"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.err.contains("2 of 2 are refused") && said.err.contains("web/STRIPE_KEY"),
        "{}",
        said.err
    );
    let import = ["import", &env, "--under", "web/", "--lowercase"];
    let said = scene.aim(&[import.as_slice(), &["--dry-run"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("new       web/stripe_key (value)") && said.out.contains("nothing was written")
    );
    assert!(!scene.is_ours(CANARY).await);
    let said = scene.aim(&import);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(scene.is_ours(CANARY).await);
    let said = scene.aim(&[import.as_slice(), &["--json"]].concat());
    let again: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(again["import"]["unchanged"], 2);

    // More than fits into one request.
    let many: serde_json::Map<String, Value> = (0..450)
        .map(|number| (format!("bulk/{number:03}"), json!("v".repeat(2_000))))
        .collect();
    let json = scene.write("bulk.json", &Value::Object(many).to_string());
    let said = scene.aim(&["import", &json]);
    assert!(
        said.out.contains("450 new, 0 changed"),
        "{}{}",
        said.out,
        said.err
    );

    // A key pair, an export to it, and the way back into another organisation's place.
    let key = scene.path("key").display().to_string();
    let said = scene.aim(&["keygen", &key]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scene.path("key")), 0o600);
    assert_eq!(scene.aim(&["keygen", &key]).code, Some(1), "nothing is replaced");
    let public = format!("{key}.pub");
    let file = scene.path("all.aimx").display().to_string();
    let said = scene.aim(&[
        "export",
        "--to",
        &public,
        "--reason",
        "moving to another place",
        "--out",
        &file,
    ]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("\"exported\":452"), "{}", said.err);
    let sealed = fs::read_to_string(&file).unwrap();
    assert!(sealed.lines().count() > 1 && !sealed.contains(CANARY));
    let said = scene.aim(&["open-export", &file, "--key", &key]);
    let list: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(list.len(), 452);
    assert!(said.out.contains(CANARY));
    let said = scene.aim(&["import", &file, "--key", &key, "--under", "copy/"]);
    assert!(said.out.contains("452 new"), "{}{}", said.out, said.err);
    assert_eq!(scene.versions("copy/web/stripe_key").await, [1]);

    // What is cut off, exchanged or sealed to somebody else does not open.
    let cut: Vec<&str> = sealed.lines().take(1).collect();
    let cut = scene.write("cut.aimx", &cut.join("\n"));
    let said = scene.aim(&["open-export", &cut, "--key", &key]);
    assert!(
        said.code == Some(1) && said.err.contains("cut off"),
        "{}",
        said.err
    );
    let other = scene.path("other").display().to_string();
    assert_eq!(scene.aim(&["keygen", &other]).code, Some(0));
    let said = scene.aim(&["open-export", &file, "--key", &other]);
    assert!(said.code == Some(1) && said.out.is_empty(), "{}", said.out);

    let log = scene.node.log();
    assert!(!log.contains(CANARY) && !log.contains("vvvvvvvv"), "{log}");
    let (intact, said) = scene.installation.audit();
    assert!(intact, "{said}");
}

/// The engine at `kv/`, with the documented shapes of list, read and metadata.
async fn engine(request: HttpRequest) -> HttpResponse {
    let token = request
        .headers()
        .get("x-vault-token")
        .map(|value| value.to_str().unwrap());
    if token != Some(TOKEN) {
        return HttpResponse::Forbidden().json(json!({"errors": ["permission denied"]}));
    }
    let versions = |all: Value| json!({"data": {"current_version": 3, "max_versions": 0, "versions": all}});
    let value = |data: Value, version: i64| {
        let metadata = json!({"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false, "version": version});
        json!({"request_id": "x", "lease_id": "", "data": {"data": data, "metadata": metadata}})
    };
    let alive = json!({"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false});
    let gone = json!({"created_time": "2026-01-01T00:00:00Z", "deletion_time": "2026-01-02T00:00:00Z", "destroyed": false});
    let answer = match (request.path(), request.query_string()) {
        ("/v1/kv/metadata/apps", "list=true") => json!({"data": {"keys": ["web/", "Api", "gone"]}}),
        ("/v1/kv/metadata/apps/web", "list=true") => json!({"data": {"keys": ["stripe", "db"]}}),
        ("/v1/kv/metadata/apps/web/stripe", "") => {
            versions(json!({"1": alive, "2": gone, "10": alive, "3": alive}))
        }
        ("/v1/kv/metadata/apps/web/db" | "/v1/kv/metadata/apps/Api", "") => {
            // The engine deletes it one day, and hands it over until then.
            let later = json!({"created_time": "2026-01-01T00:00:00Z", "deletion_time": "2999-01-01T00:00:00Z", "destroyed": false});
            versions(json!({"1": later}))
        }
        ("/v1/kv/metadata/apps/gone", "") => versions(json!({"1": gone})),
        ("/v1/kv/data/apps/web/stripe", "version=1") => value(json!({"value": "first"}), 1),
        ("/v1/kv/data/apps/web/stripe", "version=3") => value(json!({"value": "third"}), 3),
        ("/v1/kv/data/apps/web/stripe", "version=10" | "") => value(json!({"value": CANARY}), 10),
        ("/v1/kv/data/apps/web/db", _) => value(json!({"user": "u", "pin": 5432}), 1),
        ("/v1/kv/data/apps/Api", _) => value(json!({"token": "api token"}), 1),
        ("/v1/kv/data/apps/gone", _) => {
            // A deleted version is a 404 that holds metadata.
            let deleted =
                json!({"data": {"data": null, "metadata": {"deletion_time": "2026-01-02T00:00:00Z"}}});
            return HttpResponse::NotFound().json(deleted);
        }
        _ => return HttpResponse::NotFound().json(json!({"errors": []})),
    };
    HttpResponse::Ok().json(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_vault_is_taken_over_with_its_versions_on_sqlite() {
    if composition::edition_name() == "premium" {
        another_vault_is_taken_over_with_its_versions(Scene::new(Installation::sqlite()).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_vault_is_taken_over_with_its_versions_on_postgres() {
    if composition::edition_name() != "premium" {
        return;
    }
    if let Some(installation) = Installation::postgres().await {
        another_vault_is_taken_over_with_its_versions(Scene::new(installation).await).await;
    }
}

async fn another_vault_is_taken_over_with_its_versions(scene: Scene) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = HttpServer::new(|| App::new().default_service(web::to(engine)))
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
    let handle = server.handle();
    tokio::spawn(server);

    let from = [
        "import",
        "--from",
        "vault",
        "--address",
        &address,
        "--mount",
        "kv",
        "--prefix",
        "apps/",
    ];
    let said = scene.aim(&from);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("apps/web/db: the field pin is no text"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("apps/Api") && !said.err.contains("5432"),
        "{}",
        said.err
    );
    let map = scene.write("map.json", r#"{"apps/Api": "apps/api"}"#);
    let all = [
        from.as_slice(),
        &["--scalars-as-text", "--path-map", &map, "--all-versions"],
    ]
    .concat();
    let said = scene.aim(&all);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("left out  apps/gone") && said.out.contains("3 new, 2 changed"),
        "{}",
        said.out
    );
    assert_eq!(scene.versions("apps/web/stripe").await, [3, 2, 1]);
    assert!(scene.is_ours(CANARY).await && scene.is_ours("first").await && scene.is_ours("5432").await);

    let wrong = [
        "import",
        "--from",
        "vault",
        "--address",
        &address,
        "--mount",
        "none",
    ];
    let said = scene.aim(&wrong);
    assert!(
        said.code == Some(1) && said.err.contains("nothing to import"),
        "{}",
        said.err
    );
    handle.stop(false).await;
}
