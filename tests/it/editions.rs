//! The split of the editions, proven: what the community edition lacks is not there, and what the premium
//! edition adds does no harm to a database that both use in turn.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use aim::composition;
use aim_core::Role;
use aim_testkit::TestDatabase;
use aim_tests::{TestApp, workspace};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    catalogue,
    matrix::{Route, premium_routes},
    process::{Door, Installation},
};

/// The folder with both finished binaries, in a run that has built them.
const FINISHED: &str = "AIM_DIST";

/// The crates that only the premium edition has.
const PREMIUM_CRATES: &[&str] = &["aim-premium"];

fn is_premium() -> bool {
    composition::edition_name() == "premium"
}

#[test]
fn the_community_edition_is_built_without_a_premium_crate() {
    let community = crates_of(&[]);
    let premium = crates_of(&["--features", "premium"]);
    assert!(!premium.contains("fail"), "no edition has fail points");
    for name in PREMIUM_CRATES {
        assert!(
            !community.contains(*name),
            "the community edition is built with {name}"
        );
        assert!(
            premium.contains(*name),
            "the proof looks at the wrong place: {name} is in no edition"
        );
    }
    assert!(premium.is_superset(&community));
}

fn crates_of(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "aim",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
        ])
        .args(["--format", "{p}"])
        .args(features)
        .current_dir(workspace::root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn one_place_alone_knows_the_edition() {
    let mut places = Vec::new();
    for path in workspace::files("crates", ".rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mentions = text
            .lines()
            .filter(|line| line.contains("feature = \"premium\""))
            .count();
        if mentions > 0 {
            places.push(path);
        }
    }
    assert_eq!(places, [workspace::root().join("crates/aim/src/composition.rs")]);
}

#[test]
fn only_the_binary_names_a_premium_crate() {
    for path in workspace::files("crates", "/Cargo.toml") {
        let folder = path
            .parent()
            .and_then(Path::file_name)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let manifest = std::fs::read_to_string(&path).unwrap();
        let names = PREMIUM_CRATES.iter().any(|name| manifest.contains(name));
        let allowed = folder == "aim" || PREMIUM_CRATES.contains(&format!("aim-{folder}").as_str());
        assert!(allowed || !names, "{} names a premium crate", path.display());
    }
}

#[test]
fn premium_crates_have_a_licence_of_their_own() {
    for name in PREMIUM_CRATES {
        let folder = format!("crates/{}", name.trim_start_matches("aim-"));
        let manifest: toml::Table = toml::from_str(&workspace::text(format!("{folder}/Cargo.toml"))).unwrap();
        let package = manifest["package"].as_table().unwrap();
        assert!(
            !package.contains_key("license"),
            "{name} claims the community's licence"
        );
        let text = workspace::text(format!("{folder}/{}", package["license-file"].as_str().unwrap()));
        assert!(!text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn premium_paths_and_tables_are_there_exactly_in_the_premium_edition() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let document = app.document().await;
        let member = app.user(Role::Manager).await;
        for Route { method, path, .. } in premium_routes() {
            let described = document["paths"][path].is_object();
            assert_eq!(described, is_premium(), "{path} in the OpenAPI document");
            let target = path
                .replace("{path}", "payments/stripe/live")
                .replace("{id}", &agent.id.to_string())
                .replace("{key_id}", &agent.id.to_string());
            let nobody = app.anonymous().send(method.clone(), &target, None).await;
            // Of these two the token in the body is the credential, and there is no body.
            let by_token = path.starts_with("/api/v1/vault/wrap/") && is_premium();
            let refusal = match by_token {
                true => (400, "request.invalid"),
                false => (401, "auth.credentials_missing"),
            };
            assert_eq!(
                (nobody.status, nobody.code().as_str()),
                refusal,
                "{method} {path}"
            );
            if !is_premium() {
                let somebody = member.send(method.clone(), &target, Some(&json!({}))).await;
                assert_eq!(
                    (somebody.status, somebody.code().as_str()),
                    (404, "resource.not_found"),
                    "{method} {path}"
                );
                let unknown = member
                    .send(method.clone(), "/api/v1/no-such-path", Some(&json!({})))
                    .await;
                assert_eq!(
                    somebody.text_without_request_id(),
                    unknown.text_without_request_id()
                );
            }
        }
        if is_premium() {
            let _ = member.get(&agent.path("/api-keys")).await.expect(200);
        }
        let tables: BTreeSet<String> = catalogue::columns(&app.database.store)
            .await
            .into_iter()
            .map(|column| column.table)
            .collect();
        let premium_tables = premium_tables(app.kind());
        assert!(!premium_tables.is_empty());
        for table in premium_tables {
            assert_eq!(
                tables.contains(&table),
                is_premium(),
                "the table {table} on {}",
                app.kind()
            );
        }
        let edition = app.anonymous().get("/api/v1/edition").await.expect(200);
        assert_eq!(edition["edition"], composition::edition_name());
        assert_eq!(
            edition["features"].to_string().contains("agent_api_keys"),
            is_premium()
        );
        let mentions = document.to_string().to_lowercase().contains("premium");
        assert_eq!(mentions, is_premium(), "the OpenAPI document names the edition");
    }
}

/// The tables that the premium migrations create.
fn premium_tables(kind: &str) -> BTreeSet<String> {
    workspace::files(format!("migrations/premium/{kind}"), "/up.sql")
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
            lines
                .filter_map(|rest| rest.split([' ', '(']).next())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_of_the_editions_do_not_share_a_version() {
    let version = |path: &PathBuf| {
        let folder = path
            .parent()
            .and_then(Path::file_name)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        folder.split('_').next().unwrap().to_owned()
    };
    for kind in ["sqlite", "postgres"] {
        let community: BTreeSet<String> = workspace::files(format!("migrations/community/{kind}"), "/up.sql")
            .iter()
            .map(version)
            .collect();
        let premium: BTreeSet<String> = workspace::files(format!("migrations/premium/{kind}"), "/up.sql")
            .iter()
            .map(version)
            .collect();
        assert!(!community.is_empty() && !premium.is_empty());
        assert!(
            community.is_disjoint(&premium),
            "{kind}: {community:?} and {premium:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn community_tables_alone_serve_a_database_that_was_premium() {
    // In the premium edition: its tables go and come, and the community's migrations take no notice.
    let database = TestDatabase::sqlite(composition::migrations()).await;
    let before = catalogue::columns(&database.store).await;
    let _ = database.another_node().await;
    assert_eq!(catalogue::columns(&database.store).await, before);
}

/// The finished binaries, if this run has them.
fn finished() -> Option<(PathBuf, PathBuf)> {
    let named = std::env::var_os(FINISHED).map(PathBuf::from);
    let must = named.is_some();
    let folder = workspace::root().join(named.unwrap_or_else(|| PathBuf::from("target/dist")));
    let binaries = (folder.join("aim-community"), folder.join("aim-premium"));
    let there = binaries.0.is_file() && binaries.1.is_file();
    assert!(
        there || !must,
        "{FINISHED} is set, but {} lacks a binary",
        folder.display()
    );
    if !must {
        // Binaries that lie there by chance may be older than these tests.
        eprintln!("skipped: set {FINISHED}=target/dist after `make build` to look at the finished binaries");
        return None;
    }
    Some(binaries)
}

/// The marks that premium modules carry, as their sources have them.
fn markers() -> BTreeSet<String> {
    workspace::files("crates/premium", ".rs")
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text
                .lines()
                .filter(|line| line.contains("EDITION_MARKER") && line.contains("&str ="));
            lines
                .filter_map(|line| line.split('"').nth(1))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

#[test]
fn premium_markers_are_in_the_premium_binary_alone() {
    let markers = markers();
    assert!(!markers.is_empty(), "no premium source declares a marker");
    let Some((community, premium)) = finished() else {
        return;
    };
    let (community, premium) = (std::fs::read(community).unwrap(), std::fs::read(premium).unwrap());
    for marker in markers {
        assert!(
            contains(&premium, &marker),
            "{marker} is not in the premium binary"
        );
        assert!(
            !contains(&community, &marker),
            "{marker} is in the community binary"
        );
    }
}

#[test]
fn each_binary_says_which_edition_it_is_and_the_community_help_lacks_premium() {
    let Some((community, premium)) = finished() else {
        return;
    };
    let says = |binary: &Path, arguments: &[&str]| {
        let output = Command::new(binary).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(says(&community, &["--version"]).contains("community"));
    assert!(says(&premium, &["--version"]).contains("premium"));
    assert!(!says(&community, &["--help"]).to_lowercase().contains("premium"));
    for Route { method, path, .. } in premium_routes() {
        let described = |binary: &Path| {
            let document: Value = serde_json::from_str(&says(binary, &["openapi"])).unwrap();
            document["paths"][path][method.as_str().to_lowercase()].is_object()
        };
        assert!(!described(&community), "{method} {path}");
        assert!(described(&premium), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_binaries_serve_the_same_sqlite_file_in_turn() {
    if let Some(binaries) = finished() {
        take_turns(Installation::sqlite(), binaries).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_binaries_serve_the_same_postgresql_database_in_turn() {
    let Some(binaries) = finished() else { return };
    if let Some(installation) = Installation::postgres().await {
        take_turns(installation, binaries).await;
    }
}

/// Community, premium, community, premium: what premium wrote is there at the end, and the community edition
/// neither shows nor touches it.
async fn take_turns(installation: Installation, (community, premium): (PathBuf, PathBuf)) {
    let node = installation.launch_by(Command::new(&community)).ready().await;
    let (agent, _) = node.agent("reader", json!({})).await;
    let keys = format!("/api/v1/agents/{}/api-keys", agent.id);
    assert_eq!(status(&node, &keys).await, 404);
    drop(node);

    let node = installation.launch_by(Command::new(&premium)).ready().await;
    let new = json!({"name": "nightly", "capabilities": ["db:read"], "expires_in_days": 7});
    let issued = node.post(&keys, new).await;
    drop(node);
    let rows = premium_rows(&installation).await;
    assert!(rows > 0);

    let node = installation.launch_by(Command::new(&community)).ready().await;
    assert_eq!(status(&node, &keys).await, 404);
    let shown = node.agent("writer", json!({})).await;
    assert_ne!(shown.0.id, agent.id);
    drop(node);
    assert_eq!(
        premium_rows(&installation).await,
        rows,
        "the community edition touched premium data"
    );

    let node = installation.launch_by(Command::new(&premium)).ready().await;
    let listed = get(&node, &keys).await;
    assert!(
        listed.to_string().contains(issued["id"].as_str().unwrap()),
        "{listed}"
    );
    drop(node);
    let (intact, said) = installation.audit();
    assert!(intact, "{said}");
}

async fn premium_rows(installation: &Installation) -> i64 {
    let kind = if installation.url.starts_with("sqlite:") {
        "sqlite"
    } else {
        "postgres"
    };
    let mut rows = 0;
    for table in premium_tables(kind) {
        rows += installation.count(&format!("SELECT count(*) FROM {table}")).await;
    }
    rows
}

async fn status(node: &Door, path: &str) -> u16 {
    node.status(path).await.unwrap()
}

async fn get(node: &Door, path: &str) -> Value {
    let request = node.admin.prepare(Method::GET, path, None::<&()>).unwrap();
    let reply = node.admin.send(request).await.unwrap();
    assert_eq!(reply.status, 200);
    serde_json::from_slice(&reply.body).unwrap()
}
