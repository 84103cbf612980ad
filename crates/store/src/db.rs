//! A connection to either database.

use std::{
    ops::{Deref, DerefMut},
    sync::LazyLock,
};

use diesel::{
    Connection, RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};
use diesel_async::{
    AsyncPgConnection,
    async_connection_wrapper::{AsyncConnectionWrapper, BlockOn},
};

use crate::{Error, Result, fixed, nonces::Known, store::Scope};

/// A PostgreSQL connection: tokio-postgres and rustls under Diesel's synchronous interface.
pub type PgConn = AsyncConnectionWrapper<AsyncPgConnection, DatabaseRuntime>;

/// The runtime that drives all PostgreSQL sockets: one thread, alive as long as the process.
static RUNTIME: LazyLock<std::io::Result<tokio::runtime::Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("aim-postgres")
        .enable_all()
        .build()
});

/// Blocks the calling thread on [`RUNTIME`]; never used on an HTTP worker.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseRuntime;

impl BlockOn for DatabaseRuntime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &*RUNTIME {
            Ok(runtime) => runtime.block_on(future),
            // `connect` has refused before any connection could come here.
            Err(_) => std::process::abort(),
        }
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// A connection, on which one thread at a time runs queries.
pub enum Db {
    /// PostgreSQL.
    Pg(Box<PgConn>),
    /// SQLite.
    Sqlite(SqliteDb),
}

/// A connection to SQLite, and what its writer keeps in memory.
pub struct SqliteDb {
    connection: Box<SqliteConnection>,
    nonces: Known,
    data_version: Option<i64>,
}

impl SqliteDb {
    pub(crate) fn parts(&mut self) -> (&mut SqliteConnection, &mut Known) {
        (&mut self.connection, &mut self.nonces)
    }
}

impl Deref for SqliteDb {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for SqliteDb {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// Runs one Diesel expression on whichever database `$db` is, with `$c` as its connection.
#[macro_export]
macro_rules! each {
    ($db:expr, $c:ident => $query:expr) => {
        match $db {
            $crate::Db::Pg(connection) => {
                let $c: &mut $crate::PgConn = connection;
                $query
            }
            $crate::Db::Sqlite(connection) => {
                let $c: &mut $crate::diesel::SqliteConnection = connection;
                $query
            }
        }
    };
}

impl Db {
    /// Whether this is PostgreSQL, where rows are locked and statements cost a round trip.
    #[must_use]
    pub const fn is_postgres(&self) -> bool {
        matches!(self, Self::Pg(_))
    }

    /// Runs SQL that takes no parameters.
    ///
    /// # Errors
    /// The database's.
    pub fn execute(&mut self, sql: &str) -> Result<()> {
        Ok(each!(self, c => c.batch_execute(sql))?)
    }

    /// Begins a transaction that writes.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if let Self::Sqlite(db) = self {
            db.nonces.begin();
            db.data_version = None;
            db.batch_execute("BEGIN IMMEDIATE")?;
            db.data_version = Some(fixed!(sql::<BigInt>("PRAGMA data_version")).get_result(&mut **db)?);
            return Ok(());
        }
        self.execute("BEGIN")
    }

    /// A number that is another one once any other connection has changed the database, be it of another process: as SQLite had it
    /// when the present transaction that writes began. None on PostgreSQL, and on connections that only read.
    ///
    /// What a writer keeps in memory of rows that it read, and that only it writes, is right for as long as this stays the same.
    #[must_use]
    pub const fn data_version(&self) -> Option<i64> {
        match self {
            Self::Pg(_) => None,
            Self::Sqlite(db) => db.data_version,
        }
    }

    /// How far what is kept in memory has come, for [`Db::back_to`].
    pub(crate) const fn mark(&self) -> i64 {
        match self {
            Self::Pg(_) => 0,
            Self::Sqlite(db) => db.nonces.mark(),
        }
    }

    /// What was written since that mark is rolled back.
    pub(crate) fn back_to(&mut self, mark: i64) {
        if let Self::Sqlite(db) = self {
            db.nonces.back_to(mark);
        }
    }

    /// Runs `work` in a transaction of its own: all or nothing.
    ///
    /// # Errors
    /// What `work` answers, after a rollback, or the database's.
    pub(crate) fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mark = self.mark();
        self.begin()?;
        let result = work(self).and_then(|value| self.execute("COMMIT").map(|()| value));
        if result.is_err() {
            self.back_to(mark);
            // SQLite may have rolled back by itself (disk full); then there is nothing left to do.
            let _ = self.execute("ROLLBACK");
        }
        result
    }

    /// Tells PostgreSQL's row-level security which tenant's rows may be seen.
    pub(crate) fn set_scope(&mut self, scope: Scope) -> Result<()> {
        if let Self::Pg(connection) = self {
            let tenant = match scope {
                Scope::Installation => "*".to_owned(),
                Scope::Organization(id) => id.to_string(),
            };
            diesel::sql_query("SELECT set_config('aim.organization', $1, false)")
                .bind::<Text, _>(tenant)
                .execute(&mut **connection)?;
        }
        Ok(())
    }

    /// Opens the SQLite file at `path`, creating it if it is not there.
    pub(crate) fn open_sqlite(path: &str, settings: &str) -> Result<Self> {
        let mut connection =
            SqliteConnection::establish(path).map_err(|error| Error::Connection(error.to_string()))?;
        connection.batch_execute(settings)?;
        Ok(Self::Sqlite(SqliteDb {
            connection: Box::new(connection),
            nonces: Known::default(),
            data_version: None,
        }))
    }

    /// Connects to PostgreSQL.
    pub(crate) fn open_postgres(config: &tokio_postgres::Config, tls: &crate::store::Tls) -> Result<Self> {
        let runtime = RUNTIME
            .as_ref()
            .map_err(|error| Error::Connection(error.to_string()))?;
        let connection = runtime
            .block_on(async {
                match tls {
                    crate::store::Tls::Off => {
                        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                        Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await)
                    }
                    crate::store::Tls::On(tls) => {
                        let (client, connection) = config.connect((**tls).clone()).await?;
                        Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await)
                    }
                }
            })
            .map_err(|error: tokio_postgres::Error| Error::Connection(error.to_string()))?
            .map_err(|error| Error::Connection(error.to_string()))?;
        let mut db = Self::Pg(Box::new(PgConn::from(connection)));
        db.execute("SET statement_timeout = '15s'; SET lock_timeout = '10s'; SET TIME ZONE 'UTC'")?;
        Ok(db)
    }
}
