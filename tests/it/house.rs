//! The rules of the house that a compiler does not hold: which crate may know which, where dependencies are
//! named, and that both databases have the tables that the code believes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use aim::composition;
use aim_store::{DatabaseConfig, Store};
use aim_testkit::TestDatabase;
use aim_tests::workspace;
use serde_json::Value;

use crate::catalogue::{self, Column};

/// Which crates a crate may depend on, when it ships. Arrows point down only.
const ALLOWED: &[(&str, &[&str])] = &[
    ("aim-core", &[]),
    ("aim-crypto", &[]),
    ("aim-decision", &[]),
    ("aim-store", &["aim-core"]),
    ("aim-audit", &["aim-core", "aim-crypto", "aim-store"]),
    (
        "aim-platform",
        &["aim-audit", "aim-core", "aim-crypto", "aim-decision", "aim-store"],
    ),
    (
        "aim-key-vault",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-identity",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-key-vault",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-violations",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-key-vault",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-trust",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-monitoring",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-threats",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-monitoring",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-mcp",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-compliance",
        &[
            "aim-audit",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-platform",
            "aim-store",
        ],
    ),
    (
        "aim-compat",
        &[
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-identity",
            "aim-key-vault",
            "aim-mcp",
            "aim-platform",
            "aim-store",
            "aim-violations",
        ],
    ),
    (
        "aim-premium",
        &[
            "aim-audit",
            "aim-client",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-identity",
            "aim-key-vault",
            // The spans and series of activity, for the charts of accesses.
            "aim-monitoring",
            "aim-platform",
            "aim-store",
            // What is out of the ordinary in accesses becomes a finding there.
            "aim-threats",
            "aim-violations",
        ],
    ),
    // The SDK knows the server's address, and nothing of its inside.
    ("aim-client", &["aim-crypto"]),
    (
        "aim",
        &[
            "aim-audit",
            "aim-client",
            "aim-compat",
            "aim-compliance",
            "aim-core",
            "aim-crypto",
            "aim-decision",
            "aim-identity",
            "aim-key-vault",
            "aim-mcp",
            "aim-monitoring",
            "aim-platform",
            "aim-premium",
            "aim-store",
            "aim-threats",
            "aim-trust",
            "aim-violations",
        ],
    ),
];

/// Crates that never ship.
const FOR_TESTS: &[&str] = &["aim-testkit", "aim-tests"];

#[test]
fn crates_depend_on_each_other_only_downwards() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if FOR_TESTS.contains(&name) {
            continue;
        }
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is new: say what it may depend on"));
        seen.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let ours = other == "aim" || other.starts_with("aim-");
            // For its own tests a crate may look at anything; `null` is what ships.
            if ours && dependency["kind"].is_null() {
                assert!(may.contains(&other), "{name} may not depend on {other}");
            }
            assert!(
                dependency["kind"] != "build" || !ours,
                "{name} builds with {other}"
            );
        }
    }
    assert_eq!(
        seen,
        allowed.keys().copied().collect(),
        "the table names crates that are not there"
    );
}

#[test]
fn the_table_of_allowed_edges_has_no_circle() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    fn depth(allowed: &BTreeMap<&str, &[&str]>, name: &str, trail: &mut Vec<String>) {
        assert!(
            !trail.iter().any(|known| known == name),
            "a circle: {trail:?} and {name} again"
        );
        trail.push(name.to_owned());
        for below in allowed[name] {
            depth(allowed, below, trail);
        }
        trail.pop();
    }
    for name in allowed.keys() {
        depth(&allowed, name, &mut Vec::new());
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(workspace::root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_dependency_of_the_workspace_stands_under_a_comment() {
    let manifest = workspace::text("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let mut explained = false;
    for line in section.lines() {
        explained = match line.trim() {
            "" => false,
            comment if comment.starts_with('#') => true,
            dependency => {
                assert!(explained, "why is this here? {dependency}");
                true
            }
        };
    }
}

#[test]
fn every_crate_takes_versions_and_lints_from_the_workspace() {
    let mut manifests = workspace::files("crates", "/Cargo.toml");
    manifests.push(workspace::root().join("tests/Cargo.toml"));
    for path in manifests {
        let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{}",
            path.display()
        );
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in dependencies {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(
                    inherited,
                    "{name} in {} names a version of its own",
                    path.display()
                );
            }
        }
    }
}

/// What a type of `schema.rs` is on SQLite and on PostgreSQL.
fn declared(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "DbUuid" => ("BLOB", "uuid"),
        "DbTime" => ("INTEGER", "timestamp with time zone"),
        "DbJson" => ("TEXT", "jsonb"),
        "Text" => ("TEXT", "text"),
        "Binary" => ("BLOB", "bytea"),
        "BigInt" => ("INTEGER", "bigint"),
        "Bool" => ("INTEGER", "boolean"),
        other => panic!("{other} is no type of ours"),
    }
}

/// The columns as `schema.rs` has them, of this edition.
fn schema() -> Vec<Column> {
    let mut texts: Vec<String> = workspace::files("crates", "/src/schema.rs")
        .into_iter()
        .filter(|path| !path.ends_with("premium/src/schema.rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    if composition::edition_name() == "premium" {
        texts.push(workspace::text("crates/premium/src/schema.rs"));
    }
    let mut columns = Vec::new();
    let mut table = String::new();
    for line in texts.iter().flat_map(|text| text.lines()).map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            name.clone_into(&mut table);
        } else if let Some((name, kind)) = line.strip_suffix(',').and_then(|line| line.split_once(" -> ")) {
            let inner = kind
                .strip_prefix("Nullable<")
                .and_then(|kind| kind.strip_suffix('>'));
            columns.push(Column {
                table: table.clone(),
                name: name.to_owned(),
                kind: inner.unwrap_or(kind).to_owned(),
                nullable: inner.is_some(),
            });
        }
    }
    columns.sort();
    columns
}

/// SQLite's, in whose place PostgreSQL has indexes.
const FILLED_BEHIND: [&str; 2] = ["vault_access_index", "vault_access_indexed"];

/// The columns of one of the two databases: SQLite's table of nonces is a log, whose rows are numbered.
fn schema_of(kind: &str) -> Vec<Column> {
    let mut columns = schema();
    if kind == "postgres" {
        columns.retain(|column| !FILLED_BEHIND.contains(&column.table.as_str()));
    }
    if kind == "sqlite" {
        columns.push(Column {
            table: "nonces".to_owned(),
            name: "id".to_owned(),
            kind: "BigInt".to_owned(),
            nullable: false,
        });
    }
    columns
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_tables_that_the_code_believes_in() {
    for database in databases().await {
        let schema = schema_of(database.kind);
        assert!(schema.len() > 100, "the schema was not understood: {schema:?}");
        let postgres = database.kind == "postgres";
        let expected: Vec<Column> = schema
            .iter()
            .cloned()
            .map(|column| {
                let (sqlite, on_postgres) = declared(&column.kind);
                let kind = if postgres { on_postgres } else { sqlite };
                Column {
                    kind: kind.to_owned(),
                    ..column
                }
            })
            .collect();
        let found = catalogue::columns(&database.store).await;
        let missing: Vec<&Column> = expected.iter().filter(|column| !found.contains(column)).collect();
        let unknown: Vec<&Column> = found.iter().filter(|column| !expected.contains(column)).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{}: missing {missing:#?}, unknown {unknown:#?}",
            database.kind
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_indexes() {
    let mut indexes = Vec::new();
    for database in databases().await {
        indexes.push(catalogue::indexes(&database.store).await);
    }
    assert!(!indexes[0].is_empty());
    if let [sqlite, postgres] = &mut indexes[..] {
        // SQLite's table of nonces is a log, that is read from its beginning; and what its accesses are found by is a table.
        let others = [
            "nonces_by_expires_at",
            "vault_accesses_by_path_id",
            "vault_accesses_by_agent_id_id",
        ];
        postgres.retain(|index| !others.contains(&index.as_str()));
        assert_eq!(sqlite, postgres);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_down_to_nothing_and_up_again() {
    for database in databases().await {
        let before = catalogue::columns(&database.store).await;
        let kind = database.kind;
        let mut downs = workspace::files(format!("migrations/community/{kind}"), "/down.sql");
        if composition::edition_name() == "premium" {
            downs.extend(workspace::files(
                format!("migrations/premium/{kind}"),
                "/down.sql",
            ));
        }
        downs.sort_by_key(|path| {
            path.parent()
                .and_then(|folder| folder.file_name())
                .map(ToOwned::to_owned)
        });
        for down in downs.iter().rev() {
            database.sql(&std::fs::read_to_string(down).unwrap()).await;
        }
        assert_eq!(
            catalogue::columns(&database.store).await,
            Vec::new(),
            "{kind}: something is left"
        );
        database.sql("DELETE FROM __diesel_schema_migrations").await;
        let again = DatabaseConfig {
            url: database.url.clone(),
            connections: 2,
        };
        let again = Store::connect(&again, composition::migrations()).await.unwrap();
        assert_eq!(catalogue::columns(&again).await, before, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_on_an_empty_database_all_come_up() {
    let mut empty = vec![TestDatabase::sqlite(Vec::new()).await];
    empty.extend(TestDatabase::postgres(Vec::new()).await);
    for database in empty {
        let config = DatabaseConfig {
            url: database.url.clone(),
            connections: 2,
        };
        let nodes = (0..6).map(|_| {
            let config = config.clone();
            tokio::spawn(async move { Store::connect(&config, composition::migrations()).await })
        });
        for node in futures_util::future::join_all(nodes).await {
            assert_eq!(
                catalogue::columns(&node.unwrap().unwrap()).await.len(),
                schema_of(database.kind).len(),
                "{}",
                database.kind
            );
        }
    }
}

/// A database of each kind with this edition's tables.
async fn databases() -> Vec<TestDatabase> {
    let mut databases = vec![TestDatabase::sqlite(composition::migrations()).await];
    databases.extend(TestDatabase::postgres(composition::migrations()).await);
    databases
}
