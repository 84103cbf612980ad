//! The real program as a child process: set up, started, killed, started again.
//!
//! Tests that use it talk to it as any client would, over HTTP. Signed requests are made for one name,
//! [`AUTHORITY`], under which every node answers, as nodes behind a load balancer do: so the very same
//! bytes can be sent to another node, or to the same one after it was killed.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use aim_client::{AgentIdentity, Client, Clock, NewAgent, PreparedRequest, Reply};
use aim_store::{DatabaseConfig, Scope, Store, diesel, each};
use diesel::RunQueryDsl;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

/// The name that signed requests are for.
pub const AUTHORITY: &str = "aim.test";

/// How long anything may take that has to happen, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The variable that names a PostgreSQL server on which databases may be made.
pub const POSTGRES_VARIABLE: &str = "AIM_TEST_POSTGRES_URL";

const PASSWORD: &str = "correct horse battery staple 47";

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

/// A node that was started and has not yet said that it is ready.
pub struct Starting {
    child: Option<Child>,
    address: oneshot::Receiver<SocketAddr>,
    log: Option<tempfile::NamedTempFile>,
    api_key: String,
}

impl Starting {
    /// Waits for the line that says so.
    ///
    /// # Panics
    /// With the node's log, when it ends instead or takes too long.
    pub async fn ready(mut self) -> Node {
        let log = self.log.take().expect("a log");
        let Ok(Ok(address)) = tokio::time::timeout(PATIENCE, &mut self.address).await else {
            let said = fs::read_to_string(log.path()).unwrap_or_default();
            panic!("a node did not become ready:\n{said}");
        };
        let client = Client::builder()
            .server(format!("http://{address}"))
            .api_key(self.api_key.clone())
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Node {
            child: self.child.take().expect("a child"),
            door: Door {
                address,
                admin: client,
            },
            log,
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A node that serves. It ends with this value.
pub struct Node {
    child: Child,
    door: Door,
    log: tempfile::NamedTempFile,
}

impl Node {
    /// SIGKILL; nothing can be tidied up.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// The process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// How to reach it, for tasks that may outlive it.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl std::ops::Deref for Node {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            eprintln!("the log of the node at {}:\n{}", self.door.address, self.log());
        }
    }
}

/// The way to a node.
#[derive(Clone)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// A client with the administrator's API key.
    pub admin: Client,
}

impl Door {
    /// Sends a request that was signed for [`AUTHORITY`] to this node, byte for byte.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn send(&self, request: &PreparedRequest) -> aim_client::Result<Reply> {
        let mut request = request.clone();
        request.url.set_ip_host(self.address.ip()).expect("an address");
        request.url.set_port(Some(self.address.port())).expect("a port");
        request.set_header("host", AUTHORITY);
        self.admin.send(request).await
    }

    /// The status of a path that needs no credentials.
    pub async fn status(&self, path: &str) -> Option<u16> {
        let request = self.admin.prepare(Method::GET, path, None::<&()>).ok()?;
        self.admin.send(request).await.ok().map(|reply| reply.status)
    }

    /// Sends JSON as the administrator and expects success.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let request = self
            .admin
            .prepare(Method::POST, path, Some(&body))
            .expect("a request");
        let reply = self.admin.send(request).await.expect("an answer");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            (200..300).contains(&reply.status),
            "POST {path}: {} {text}",
            reply.status
        );
        serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
    }

    /// Removes something as the administrator and expects success.
    pub async fn delete(&self, path: &str) {
        let request = self
            .admin
            .prepare(Method::DELETE, path, None::<&()>)
            .expect("a request");
        let reply = self.admin.send(request).await.expect("an answer");
        assert!(
            (200..300).contains(&reply.status),
            "DELETE {path}: {}",
            reply.status
        );
    }

    /// Registers an agent that may do `db:read`, narrowed by `scope`. Answers it with its grant.
    pub async fn agent(&self, name: &str, scope: Value) -> (Signer, String) {
        let identity = self
            .admin
            .create_agent(&NewAgent::named(name))
            .await
            .expect("an agent");
        let path = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
        let grant = self
            .post(&path, json!({"capability": "db:read", "scope": scope}))
            .await;
        (
            Signer::new(identity),
            grant["id"].as_str().expect("a grant").to_owned(),
        )
    }
}

/// An agent as its own process would be: it signs requests, for whichever node will get them.
#[derive(Clone)]
pub struct Signer {
    /// Who it is.
    pub id: Uuid,
    client: Client,
}

impl Signer {
    fn new(identity: AgentIdentity) -> Self {
        let id = identity.agent_id;
        let client = Client::builder()
            .server(format!("http://{AUTHORITY}"))
            .agent(identity)
            .build()
            .expect("a client");
        Self { id, client }
    }

    /// A signed request for a decision.
    pub fn wants(&self, action: &str) -> PreparedRequest {
        self.wants_with(action, json!({}))
    }

    /// A signed request for a decision with a context.
    pub fn wants_with(&self, action: &str, context: Value) -> PreparedRequest {
        let body = json!({"action": action, "resource": "customers/42", "context": context});
        self.signed(Method::POST, "/api/v1/verifications", Some(&body))
    }

    /// A signed request with a body that may be anything.
    pub fn signed_bytes(&self, method: Method, target: &str, body: Vec<u8>) -> PreparedRequest {
        let mut request = self.signed(Method::GET, "/", None);
        request.method = method;
        request.url = format!("http://{AUTHORITY}{target}").parse().expect("a target");
        request.set_header("content-type", "application/json");
        request.body = body;
        let key = self.client.identity().expect("an agent").key();
        request
            .sign(key, Clock::system().seconds())
            .expect("a signed request");
        request
    }

    /// Its public key, as the published SDKs send it.
    pub fn public_key(&self) -> String {
        self.client
            .identity()
            .expect("an agent")
            .public_key()
            .spki_base64()
    }

    /// The present second, as text.
    pub fn seconds(&self) -> String {
        Clock::system().seconds().to_string()
    }

    /// Any signed request.
    pub fn signed(&self, method: Method, path: &str, body: Option<&Value>) -> PreparedRequest {
        self.client.prepare(method, path, body).expect("a signed request")
    }
}

/// What a node said to a request for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A decision and its verdict.
    Decided(Uuid, String),
    /// A refusal: HTTP status and code.
    Refused(u16, String),
}

impl Said {
    /// Reads an answer. A decision counts only if the HTTP status says the same.
    pub fn by(reply: &Reply) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        if let Some(code) = body["code"].as_str() {
            return Self::Refused(reply.status, code.to_owned());
        }
        let (id, status) = (
            body["id"].as_str().and_then(|id| id.parse().ok()),
            body["status"].as_str(),
        );
        let expected = match reply.status {
            201 => "approved",
            202 => "pending",
            403 => "denied",
            _ => "",
        };
        match (id, status) {
            (Some(id), Some(status)) if status == expected => Self::Decided(id, status.to_owned()),
            _ => panic!("neither a decision nor a problem: {} {body}", reply.status),
        }
    }

    /// Whether it is the refusal of a request that was used before.
    pub fn is_replay(&self) -> bool {
        *self == Self::Refused(401, "auth.signature_replayed".to_owned())
    }

    /// Whether nothing could be written, and so nothing was allowed.
    pub fn is_unavailable(&self) -> bool {
        *self == Self::Refused(503, "server.unavailable".to_owned())
    }

    /// Whether the action was approved.
    pub fn is_approval(&self) -> bool {
        matches!(self, Self::Decided(_, status) if status == "approved")
    }

    /// Whether it was denied, with evidence.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Decided(_, status) if status == "denied")
    }
}
