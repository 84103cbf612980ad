//! The real program as a child process: set up, started, killed, started again.
//!
//! Tests that use it talk to it as any client would, over HTTP. Signed requests are made for one name,
//! [`AUTHORITY`], under which every node answers, as nodes behind a load balancer do: so the very same
//! bytes can be sent to another node, or to the same one after it was killed.

mod agent;
mod node;

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use aim_store::{DatabaseConfig, Scope, Store, diesel, each};
use diesel::RunQueryDsl;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

pub use agent::{Said, Signer};
pub use node::{Door, Node, Starting};

/// The name that signed requests are for.
pub const AUTHORITY: &str = "aim.test";

/// How long anything may take that has to happen, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The variable that names a PostgreSQL server on which databases may be made.
pub const POSTGRES_VARIABLE: &str = "AIM_TEST_POSTGRES_URL";

/// The password of the administrator, `admin@example.com`.
pub const PASSWORD: &str = "correct horse battery staple 47";

/// The program: the one that `AIM_BINARY` names, else the one that stands beside this test, brought up to
/// date first.
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(path) = env::var_os("AIM_BINARY") {
            return PathBuf::from(path);
        }
        let this = env::current_exe().expect("the path of this test");
        let folder = this.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "aim",
                "--bin",
                "aim",
                "--profile",
                profile,
            ])
            .args(if cfg!(feature = "premium") {
                ["--features", "premium"].as_slice()
            } else {
                &[]
            })
            .arg("--target-dir")
            .arg(folder.parent().expect("the target folder"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the program could not be built");
        folder.join("aim")
    });
    &BINARY
}

/// Asks `probe` again and again until it answers something.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
    }
}

/// A folder and a database that are set up, and the key of their administrator.
pub struct Installation {
    /// The URL of the database.
    pub url: String,
    /// An organisation API key with every permission.
    pub api_key: String,
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    _temporary: Option<TempDir>,
}

impl Installation {
    /// On a new SQLite file in a temporary folder.
    pub fn sqlite() -> Self {
        let temporary = TempDir::new().expect("a temporary folder");
        let mut installation = Self::sqlite_in(temporary.path());
        installation._temporary = Some(temporary);
        installation
    }

    /// On a new SQLite file in `folder`, which somebody else cleans up.
    pub fn sqlite_in(folder: &Path) -> Self {
        let mut installation = Self::bare(format!("sqlite:{}", folder.join("aim.db").display()));
        installation.folder = folder.to_owned();
        installation._temporary = None;
        installation.set_up();
        installation
    }

    /// On a new PostgreSQL database, where the environment names a server.
    pub async fn postgres() -> Option<Self> {
        let mut installation = Self::postgres_before_set_up().await?;
        installation.set_up();
        Some(installation)
    }

    /// On a new PostgreSQL database without any table.
    pub async fn postgres_before_set_up() -> Option<Self> {
        Some(Self::bare(new_postgres_database().await?))
    }

    /// On the new PostgreSQL database of this URL.
    pub fn postgres_at(url: String) -> Self {
        let mut installation = Self::bare(url);
        installation.set_up();
        installation
    }

    fn bare(url: String) -> Self {
        let temporary = TempDir::new().expect("a temporary folder");
        Self {
            url,
            api_key: String::new(),
            folder: temporary.path().to_owned(),
            // Load is what these tests are made of.
            settings: vec![
                ("AIM__LIMITS__REQUESTS_PER_SECOND", "0".to_owned()),
                ("AIM__LIMITS__ANONYMOUS_REQUESTS_PER_SECOND", "0".to_owned()),
                ("AIM__SERVER__WORKERS", "2".to_owned()),
            ],
            _temporary: Some(temporary),
        }
    }

    /// Changes a setting (`AIM__SECTION__KEY`) for nodes that are started from now on.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.settings.push((variable, value.into()));
    }

    /// Writes the configuration file of nodes that are started from now on, for what no variable can say: lists.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.folder.join("aim.toml"), text).expect("the configuration file");
    }

    /// `aim init`.
    pub fn set_up(&mut self) {
        let output = self.run(
            &[
                "init",
                "--org",
                "Test organisation",
                "--admin-email",
                "admin@example.com",
                "--admin-password-stdin",
                "--json",
            ],
            PASSWORD,
        );
        assert!(
            output.status.success(),
            "aim init: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let made: Value = serde_json::from_slice(&output.stdout).expect("the answer of aim init");
        made["api_key"]
            .as_str()
            .expect("an API key")
            .clone_into(&mut self.api_key);
    }

    /// Runs a command of the program on this installation to its end.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(Command::new(binary()), arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child
            .stdin
            .take()
            .expect("its input")
            .write_all(input.as_bytes())
            .expect("its input is read");
        child.wait_with_output().expect("the program ends")
    }

    /// Whether `aim audit verify` finds the log intact, and what it says.
    pub fn audit(&self) -> (bool, String) {
        let output = self.run(&["audit", "verify"], "");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code() == Some(0),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn command(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .arg("--data")
            .arg(&self.folder)
            .arg("--database-url")
            .arg(&self.url);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a node and waits until it is ready.
    pub async fn start(&self) -> Node {
        self.launch().ready().await
    }

    /// Starts a node.
    pub fn launch(&self) -> Starting {
        self.launch_by(Command::new(binary()))
    }

    /// Starts a node by a command that runs the program with the arguments that are added to it.
    pub fn launch_by(&self, command: Command) -> Starting {
        let log = tempfile::NamedTempFile::new().expect("a file for the log");
        let mut child = self
            .command(command, &["serve", "--bind", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log.path()).expect("the log"))
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (sender, address) = oneshot::channel();
        std::thread::spawn(move || {
            let mut sender = Some(sender);
            for line in lines.map_while(Result::ok) {
                let found = line
                    .split_once("ready on http://")
                    .and_then(|(_, text)| text.trim().parse().ok());
                if let Some((sender, address)) = found.and_then(|address| Some((sender.take()?, address))) {
                    let _ = sender.send(address);
                }
            }
        });
        Starting {
            child: Some(child),
            address,
            log: Some(log),
            api_key: self.api_key.clone(),
        }
    }

    /// Runs SQL behind the program's back.
    pub async fn sql(&self, statement: &str) {
        let statement = statement.to_owned();
        self.store()
            .await
            .write(Scope::Installation, move |db| db.execute(&statement))
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
        self.store()
            .await
            .read(Scope::Installation, move |db| {
                let row: Row = each!(db, c => diesel::sql_query(&query).get_result(c))?;
                Ok(row.n)
            })
            .await
            .expect("the query")
    }

    /// A connection for one look. It is not kept: SQLite recovers from a crash when the first connection
    /// opens the file, and a connection of the test would spare it that.
    async fn store(&self) -> Store {
        let config = DatabaseConfig {
            url: self.url.clone(),
            connections: 2,
        };
        Store::connect(&config, Vec::new()).await.expect("the database")
    }
}

/// The URL of a new PostgreSQL database, where the environment names a server.
pub async fn new_postgres_database() -> Option<String> {
    let Ok(server) = env::var(POSTGRES_VARIABLE) else {
        eprintln!("skipped on PostgreSQL: {POSTGRES_VARIABLE} is not set");
        return None;
    };
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    let name = format!("aim_{}", Uuid::new_v4().simple());
    let config = DatabaseConfig {
        url: server.clone(),
        connections: 2,
    };
    let store = Store::connect(&config, Vec::new())
        .await
        .expect("the PostgreSQL server");
    let statement = format!("CREATE DATABASE {name}");
    store
        .read(Scope::Installation, move |db| db.execute(&statement))
        .await
        .expect("a new database");
    Some(format!("{base}/{name}"))
}
