//! The application that ships, served on a free port of this machine, on a database of its own and with a
//! clock that moves only when it is told to.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle};
use aim::{composition, server};
use aim_core::{ManualClock, Role, SystemClock, Timestamp};
use aim_platform::{Kernel, PlatformConfig};
use aim_store::Scope;
use aim_testkit::TestDatabase;
use chrono::TimeDelta;
use tokio::sync::OnceCell;

use super::{
    agent::TestAgent,
    caller::{Answer, Caller, Credential},
    request::Prepared,
    tenant::{Tenant, TenantOf},
};

/// Threads that serve requests: more than one, so that races are races.
const WORKERS: usize = 2;
/// How long an answer may take: long, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an application is made of.
#[must_use]
pub struct TestAppBuilder {
    config: PlatformConfig,
    real_time: bool,
    founded: bool,
}

impl TestAppBuilder {
    /// Changes settings. Unless changed, there is no request limit.
    pub fn config(mut self, change: impl FnOnce(&mut PlatformConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// With this machine's clock instead of one that stands still: for clients with a clock of their own.
    pub fn real_time(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// Without any organisation, as at the first start of an installation.
    pub fn without_organization(mut self) -> Self {
        self.founded = false;
        self
    }

    /// Starts on `database`, which must have this edition's tables.
    pub async fn start(mut self, database: TestDatabase) -> TestApp {
        let key_file = database.folder().join("vault.key");
        let _ = self.config.vault_key_file.get_or_insert(key_file);
        let (kernel, clock) = aim_testkit::kernel(&database.store);
        let kernel = Kernel {
            config: Arc::new(self.config),
            clock: if self.real_time {
                Arc::new(SystemClock)
            } else {
                Arc::clone(&kernel.clock)
            },
            ..kernel
        };
        TestApp::start(database, kernel, clock, self.founded).await
    }

    /// Starts on a new SQLite file.
    pub async fn start_on_sqlite(self) -> TestApp {
        self.start(TestDatabase::sqlite(composition::migrations()).await)
            .await
    }

    /// Starts on a new PostgreSQL database, where the environment names a server.
    pub async fn start_on_postgres(self) -> Option<TestApp> {
        let database = TestDatabase::postgres(composition::migrations()).await?;
        Some(self.start(database).await)
    }

    /// Starts once on each database that can be had: SQLite always, PostgreSQL where the environment names a
    /// server.
    pub async fn start_on_each(self) -> Vec<TestApp> {
        let mut apps = Vec::new();
        for database in databases().await {
            apps.push(
                Self {
                    config: self.config.clone(),
                    real_time: self.real_time,
                    founded: self.founded,
                }
                .start(database)
                .await,
            );
        }
        apps
    }
}

/// A new database of each kind with this edition's tables.
async fn databases() -> Vec<TestDatabase> {
    let mut databases = vec![TestDatabase::sqlite(composition::migrations()).await];
    databases.extend(TestDatabase::postgres(composition::migrations()).await);
    databases
}

/// A running application.
pub struct TestApp {
    /// Its database.
    pub database: TestDatabase,
    /// What it is made of.
    pub parts: server::AppParts,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    address: SocketAddr,
    http: reqwest::Client,
    server: Option<(ServerHandle, JoinHandle<()>)>,
    main: Option<Tenant>,
    other: OnceCell<Tenant>,
}

impl TestApp {
    /// A builder.
    pub fn builder() -> TestAppBuilder {
        let config = PlatformConfig {
            requests_per_second: 0,
            anonymous_requests_per_second: 0,
            ..PlatformConfig::default()
        };
        TestAppBuilder {
            config,
            real_time: false,
            founded: true,
        }
    }

    /// One application on each database, without a request limit.
    pub async fn on_each() -> Vec<Self> {
        Self::builder().start_on_each().await
    }

    async fn start(database: TestDatabase, kernel: Kernel, clock: Arc<ManualClock>, founded: bool) -> Self {
        let parts = server::AppParts::new(kernel);
        parts.job_runner().prepare().await.expect("rows of the jobs");
        parts
            .follow_runner()
            .prepare()
            .await
            .expect("places of the followers");
        let main = match founded {
            true => Some(Tenant::create(&parts.kernel, "Main organisation").await),
            false => None,
        };
        let (address, handle, thread) = serve(parts.clone());
        Self {
            database,
            parts,
            clock,
            address,
            http: connections(),
            server: Some((handle, thread)),
            main,
            other: OnceCell::new(),
        }
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The moment at which its clock stands.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.kernel.now()
    }

    /// Moves its clock.
    pub fn advance(&self, delta: TimeDelta) {
        self.clock.advance(delta);
    }

    /// Whether it is the premium edition.
    #[must_use]
    pub fn is_premium(&self) -> bool {
        self.parts.edition.edition == "premium"
    }

    /// `sqlite` or `postgres`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.database.kind
    }

    /// The OpenAPI document, as it is served.
    pub async fn document(&self) -> serde_json::Value {
        self.anonymous().get("/api/v1/openapi.json").await.expect(200)
    }

    /// Sends a request as it stands.
    pub async fn send(&self, request: &Prepared) -> Answer {
        self.send_over(&self.http, request).await
    }

    /// Sends a request over a connection that nothing else uses.
    pub async fn send_alone(&self, request: &Prepared) -> Answer {
        self.send_over(&connections(), request).await
    }

    async fn send_over(&self, http: &reqwest::Client, request: &Prepared) -> Answer {
        let url = format!("http://{}{}", self.address, request.target);
        let mut outgoing = http
            .request(request.method.clone(), url)
            .body(request.body.clone());
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name, value);
        }
        let mut response = outgoing.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let is_endless = headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream");
        let text = if is_endless {
            let first = response.chunk().await.expect("a beginning").unwrap_or_default();
            String::from_utf8_lossy(&first).into_owned()
        } else {
            response.text().await.expect("a whole answer")
        };
        Answer {
            status,
            headers,
            text,
        }
    }

    /// Nobody.
    #[must_use]
    pub fn anonymous(&self) -> Caller<'_> {
        self.caller(Credential::None)
    }

    /// Whoever has this credential.
    #[must_use]
    pub fn caller(&self, credential: Credential) -> Caller<'_> {
        Caller::new(self, credential)
    }

    /// Whoever presents this token.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Caller<'_> {
        self.caller(Credential::Bearer(token.to_owned()))
    }

    /// The first organisation.
    #[must_use]
    pub fn tenant(&self) -> TenantOf<'_> {
        TenantOf::new(self, self.main.as_ref().expect("an organisation was founded"))
    }

    /// The second organisation, founded at its first use.
    pub async fn other_tenant(&self) -> TenantOf<'_> {
        let other = self
            .other
            .get_or_init(|| {
                // The oldest organisation is the operator's, and must be that here too.
                self.advance(TimeDelta::milliseconds(1));
                Tenant::create(&self.parts.kernel, "Other organisation")
            })
            .await;
        TenantOf::new(self, other)
    }

    /// A signed-in user of the first organisation.
    pub async fn user(&self, role: Role) -> Caller<'_> {
        self.tenant().user(role).await
    }

    /// A new API key of the first organisation.
    pub async fn api_key(&self, role: Role) -> Caller<'_> {
        self.tenant().api_key(role).await
    }

    /// A new agent of the first organisation, with a grant of each capability.
    pub async fn agent(&self, name: &str, grants: &[&str]) -> TestAgent<'_> {
        self.tenant().agent(name, grants).await
    }

    /// Runs every job that is due.
    pub async fn run_jobs(&self) -> Vec<&'static str> {
        self.parts
            .job_runner()
            .run_due()
            .await
            .expect("the jobs are looked through")
    }

    /// Lets all who follow the log read to its end.
    pub async fn catch_up(&self) {
        self.parts
            .follow_runner()
            .catch_up()
            .await
            .expect("the followers follow");
    }

    /// Checks the audit log from its first record to its last.
    pub async fn audit(&self) -> aim_audit::Report {
        let store = &self.parts.kernel.store;
        store
            .read(Scope::Installation, |db| aim_audit::verify(db, None))
            .await
            .expect("the audit log")
    }

    /// Jobs whose last run failed, with the reason. Runs what is due first.
    async fn failed_jobs(&self) -> Vec<String> {
        self.run_jobs().await;
        let store = &self.parts.kernel.store;
        let rows = store
            .read(Scope::Installation, aim_store::jobs::list)
            .await
            .expect("the jobs");
        rows.into_iter()
            .filter(|row| row.dead_at.is_some() || row.last_error.is_some())
            .map(|row| format!("{}: {}", row.name, row.last_error.unwrap_or_default()))
            .collect()
    }
}

/// Ends the server, and holds every test to leaving no job that fails.
impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.server.take() {
            drop(handle.stop(false));
            let _ = thread.join();
        }
        if std::thread::panicking() {
            return;
        }
        let app = &*self;
        let failed = std::thread::scope(|scope| {
            scope
                .spawn(|| runtime().block_on(app.failed_jobs()))
                .join()
                .expect("the jobs are looked at")
        });
        assert_eq!(failed, Vec::<String>::new(), "jobs failed");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn serve(parts: server::AppParts) -> (SocketAddr, ServerHandle, JoinHandle<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || server::app(&parts))
                .workers(WORKERS)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .expect("a free port");
            let address = *server.addrs().first().expect("an address");
            let server = server.run();
            tell.send((address, server.handle()))
                .expect("the test waits for the address");
            server.await.expect("the server ends well");
        });
    });
    let (address, handle) = told.recv().expect("the server starts");
    (address, handle, thread)
}

fn connections() -> reqwest::Client {
    // A second test finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        // An answer is what the server answered, not what it led to.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .expect("an HTTP client")
}
