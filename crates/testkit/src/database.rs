//! Databases that live as long as a test.

use aim_core::Timestamp;
use aim_store::{COMMUNITY_MIGRATIONS, DatabaseConfig, MigrationSet, Store};
use diesel::{Connection as _, RunQueryDsl, SqliteConnection, connection::SimpleConnection as _};
use tempfile::TempDir;

/// The variable that names a PostgreSQL server on which tests may create databases.
pub(crate) const POSTGRES_VARIABLE: &str = "AIM_TEST_POSTGRES_URL";

/// A migrated database of its own.
pub struct TestDatabase {
    /// `sqlite` or `postgres`.
    pub kind: &'static str,
    /// The URL, for a second node or a second process.
    pub url: String,
    /// The store of the first node.
    pub store: Store,
    directory: TempDir,
}

impl TestDatabase {
    /// A new SQLite file.
    pub async fn sqlite(migrations: Vec<MigrationSet>) -> Self {
        let directory = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite:{}", directory.path().join("aim.db").display());
        let store = connect(&url, migrations).await;
        Self {
            kind: "sqlite",
            url,
            store,
            directory,
        }
    }

    /// A new database on the server that the environment names, if it names one.
    pub async fn postgres(migrations: Vec<MigrationSet>) -> Option<Self> {
        let server = std::env::var(POSTGRES_VARIABLE).ok()?;
        let directory = TempDir::new().expect("a temporary folder");
        let name = format!("aim_{}", uuid::Uuid::new_v4().simple());
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        let admin = Store::connect(
            &DatabaseConfig {
                url: server.clone(),
                connections: 2,
            },
            Vec::new(),
        )
        .await
        .expect("the test server");
        let create = format!("CREATE DATABASE {name}");
        admin
            .read(aim_store::Scope::Installation, move |db| db.execute(&create))
            .await
            .expect("a new database");
        let url = format!("{base}/{name}");
        let store = connect(&url, migrations).await;
        Some(Self {
            kind: "postgres",
            url,
            store,
            directory,
        })
    }

    /// The database of another process, as it is.
    pub async fn existing(url: &str) -> Self {
        let kind = if url.starts_with("sqlite:") {
            "sqlite"
        } else {
            "postgres"
        };
        Self {
            kind,
            url: url.to_owned(),
            store: connect(url, Vec::new()).await,
            directory: TempDir::new().expect("a temporary folder"),
        }
    }

    /// A second node's store on the same database.
    pub async fn another_node(&self) -> Store {
        connect(&self.url, vec![COMMUNITY_MIGRATIONS]).await
    }

    /// The folder that goes away with the test.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Runs SQL behind the services' back: to tamper, and to look. On SQLite by a connection of its own, as another process would.
    pub async fn sql(&self, statement: &str) {
        let statement = statement.to_owned();
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            let path = path.to_owned();
            let run = move || {
                let mut connection = SqliteConnection::establish(&path).expect("another connection");
                connection
                    .batch_execute("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE")
                    .expect("a transaction");
                connection.batch_execute(&statement).expect("the statement");
                connection.batch_execute("COMMIT").expect("the commit");
            };
            return tokio::task::spawn_blocking(run).await.expect("the thread");
        }
        self.store
            .write(aim_store::Scope::Installation, move |db| db.execute(&statement))
            .await
            .expect("the statement");
    }

    /// One number by SQL.
    pub async fn count(&self, query: &str) -> i64 {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let query = format!("SELECT ({query}) AS n");
        self.store
            .read(aim_store::Scope::Installation, move |db| {
                let row: Row = aim_store::each!(db, c => diesel::sql_query(&query).get_result(c))?;
                Ok(row.n)
            })
            .await
            .expect("the query")
    }
}

async fn connect(url: &str, migrations: Vec<MigrationSet>) -> Store {
    Store::connect(
        &DatabaseConfig {
            url: url.to_owned(),
            connections: 8,
        },
        migrations,
    )
    .await
    .expect("the test database")
}

/// A community database of each kind that can be had: SQLite always, PostgreSQL where the
/// environment names a server.
pub async fn databases() -> Vec<TestDatabase> {
    let mut all = vec![TestDatabase::sqlite(vec![COMMUNITY_MIGRATIONS]).await];
    match TestDatabase::postgres(vec![COMMUNITY_MIGRATIONS]).await {
        Some(database) => all.push(database),
        None => note_skipped(),
    }
    all
}

#[expect(clippy::print_stderr, reason = "a skipped half of a test must be seen")]
fn note_skipped() {
    eprintln!("PostgreSQL half skipped: {POSTGRES_VARIABLE} is not set");
}

/// A moment that tests start from.
#[must_use]
pub(crate) fn first_moment() -> Timestamp {
    Timestamp::parse("2026-11-23T10:00:00Z").expect("a moment")
}
