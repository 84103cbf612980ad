//! The store: where services read and write.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use aim_core::OrganizationId;
use tokio::sync::oneshot;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::Instrument;

use crate::{
    Db, Error, MigrationSet, Result, migrate,
    pool::Pool,
    writer::{Piece, Turn, Writer},
};

/// How long connecting to PostgreSQL may take.
const CONNECTING: Duration = Duration::from_secs(3);

/// How long PostgreSQL's machine may leave packets unacknowledged before a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(8);

/// How often a transaction that lost a race is tried again.
const ATTEMPTS: usize = 6;

/// Whose rows a unit of work may see: PostgreSQL's row-level security holds it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One tenant's.
    Organization(OrganizationId),
    /// All of them: authentication before the tenant is known, jobs, and batches across tenants.
    Installation,
}

impl From<OrganizationId> for Scope {
    fn from(id: OrganizationId) -> Self {
        Self::Organization(id)
    }
}

/// Which database, and how many connections.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// The most connections for reading (SQLite), or in all (PostgreSQL).
    pub connections: usize,
}

pub(crate) enum Tls {
    Off,
    On(Box<MakeRustlsConnect>),
}

struct Inner {
    pool: Pool,
    writer: Option<Writer>,
}

/// A database, shared by all that use it; cloning is cheap.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Connects to the database of `config` and brings it up to date with `migrations`.
    ///
    /// # Errors
    /// A URL of an unknown scheme, a server that does not answer, or a migration that fails.
    pub async fn connect(config: &DatabaseConfig, migrations: Vec<MigrationSet>) -> Result<Self> {
        let config = config.clone();
        tokio::task::spawn_blocking(move || Self::connect_blocking(&config, &migrations))
            .await
            .map_err(|error| Error::Connection(error.to_string()))?
    }

    fn connect_blocking(config: &DatabaseConfig, migrations: &[MigrationSet]) -> Result<Self> {
        if let Some(path) = config.url.strip_prefix("sqlite:") {
            Self::connect_sqlite(path, config.connections, migrations)
        } else if config.url.starts_with("postgres://") || config.url.starts_with("postgresql://") {
            Self::connect_postgres(&config.url, config.connections, migrations)
        } else {
            Err(Error::Connection(
                "database.url must start with sqlite: or postgres://".to_owned(),
            ))
        }
    }

    fn connect_sqlite(path: &str, readers: usize, migrations: &[MigrationSet]) -> Result<Self> {
        if path.is_empty() || path == ":memory:" {
            return Err(Error::Connection(
                "database.url needs the path of a file after sqlite:".to_owned(),
            ));
        }
        let parent = Path::new(path)
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if parent.is_some_and(|parent| !parent.is_dir()) {
            return Err(Error::Connection(format!("the folder of {path} does not exist")));
        }
        // SQLite gives its log the mode of the database: both hold what is for the owner's eyes only.
        crate::backup::make_private(Path::new(path))?;
        // 4 MB of pages: 8 and 16 were no quicker, and 2 were slower (docs/BENCHMARKS.md).
        let mut writing = Db::open_sqlite(
            path,
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON; PRAGMA cache_size = -4000; PRAGMA temp_store = MEMORY; \
             PRAGMA wal_autocheckpoint = 32000; PRAGMA journal_size_limit = 134217728;",
        )?;
        migrate::migrate(&mut writing, migrations)?;
        let checkpoints = Db::open_sqlite(
            path,
            "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA cache_size = -512;",
        )?;
        let path = path.to_owned();
        let open = move || {
            Db::open_sqlite(
                &path,
                "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON; PRAGMA cache_size = -512; \
                 PRAGMA temp_store = MEMORY;",
            )
        };
        let writer = Writer::start(writing, checkpoints)?;
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(readers.max(1), Box::new(open)),
            writer: Some(writer),
        })))
    }

    fn connect_postgres(url: &str, connections: usize, migrations: &[MigrationSet]) -> Result<Self> {
        // The error of the parser may quote the URL, and the URL holds the password.
        let mut postgres = tokio_postgres::Config::from_str(url)
            .map_err(|_| Error::Connection("database.url is not a PostgreSQL connection URL".to_owned()))?;
        postgres.connect_timeout(CONNECTING).application_name("aim");
        if postgres.get_tcp_user_timeout().is_none() {
            // A server whose machine or network is gone closes nothing. Without these, a query waits for the
            // kernel's retransmissions: a quarter of an hour, in which nobody is answered.
            postgres
                .tcp_user_timeout(SILENCE)
                .keepalives(true)
                .keepalives_idle(SILENCE)
                .keepalives_interval(SILENCE / 4)
                .keepalives_retries(4);
        }
        let tls = tls_for(&mut postgres)?;
        let open = move || Db::open_postgres(&postgres, &tls);
        let mut first = open()?;
        first.set_scope(Scope::Installation)?;
        migrate::migrate(&mut first, migrations)?;
        drop(first);
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(connections.max(2), Box::new(open)),
            writer: None,
        })))
    }

    /// Whether this is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.0.writer.is_none()
    }

    /// How many pieces of work wait for SQLite's writer; on PostgreSQL, how many callers wait for a connection.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        match &self.0.writer {
            Some(writer) => writer.depth(),
            None => self.0.pool.waiting(),
        }
    }

    /// Runs queries that change nothing.
    ///
    /// # Errors
    /// What `work` answers; `server.unavailable` when the database does not answer.
    pub async fn read<T, F>(&self, scope: impl Into<Scope>, work: F) -> aim_core::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T> + Send + 'static,
    {
        let scope = scope.into();
        let permit = self.0.pool.permit().await.map_err(Error::into_core)?;
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || inner.pool.run(permit, scope, work))
            .instrument(tracing::debug_span!(target: "aim_traces", "database.read"))
            .await
            .map_err(aim_core::Error::internal)?
            .map_err(Error::into_core)
    }

    /// Runs `work` in one transaction: when this answers `Ok`, it is durable; otherwise nothing of
    /// it happened. `work` may run more than once and must have no effect but through its `Db`.
    /// An audit record is appended last, so that PostgreSQL's lock on the log's head is short.
    ///
    /// # Errors
    /// What `work` answers; `server.unavailable` when it could not be committed.
    pub async fn write<T, F>(&self, scope: impl Into<Scope>, work: F) -> aim_core::Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Db) -> Result<T> + Send + 'static,
    {
        self.write_at(Turn::Next, scope.into(), work).await
    }

    /// [`Store::write`] of what follows from what happened, and for which no request waits: on SQLite it lets requests go
    /// first, and each other.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_behind<T, F>(&self, scope: impl Into<Scope>, work: F) -> aim_core::Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Db) -> Result<T> + Send + 'static,
    {
        self.write_at(Turn::Behind, scope.into(), work).await
    }

    async fn write_at<T, F>(&self, turn: Turn, scope: Scope, work: F) -> aim_core::Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Db) -> Result<T> + Send + 'static,
    {
        match &self.0.writer {
            Some(writer) => {
                let (reply, answer) = oneshot::channel();
                writer
                    .submit(
                        turn,
                        Box::new(Piece {
                            work,
                            result: None,
                            reply,
                        }),
                    )
                    .map_err(Error::into_core)?;
                answer
                    .instrument(tracing::debug_span!(target: "aim_traces", "database.write"))
                    .await
                    .unwrap_or_else(|_| Err(Error::Connection("the writer has stopped".to_owned())))
                    .map_err(Error::into_core)
            }
            None => {
                let permit = self.0.pool.permit().await.map_err(Error::into_core)?;
                let inner = Arc::clone(&self.0);
                tokio::task::spawn_blocking(move || {
                    inner
                        .pool
                        .run(permit, scope, |db| retrying(|| db.transaction(|db| work(db))))
                })
                .instrument(tracing::debug_span!(target: "aim_traces", "database.write"))
                .await
                .map_err(aim_core::Error::internal)?
                .map_err(Error::into_core)
            }
        }
    }
}

/// Runs a transaction again when it lost against another one.
fn retrying<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.is_retryable() => {}
            result => return result,
        }
    }
    attempt()
}

/// TLS as `sslmode` asks for it: `disable`, or verified against the system's roots. A host that is
/// not this machine gets TLS unless the URL says otherwise; a certificate is never taken unverified.
fn tls_for(config: &mut tokio_postgres::Config) -> Result<Tls> {
    let local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
        Host::Unix(_) => true,
    });
    match config.get_ssl_mode() {
        SslMode::Disable => return Ok(Tls::Off),
        SslMode::Prefer if local => {
            config.ssl_mode(SslMode::Disable);
            return Ok(Tls::Off);
        }
        _ => config.ssl_mode(SslMode::Require),
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let client =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Connection(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(Tls::On(Box::new(MakeRustlsConnect::new(client))))
}
