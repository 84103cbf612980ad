//! Where AIM keeps its data: SQLite or PostgreSQL behind one set of queries.
//!
//! [`Db`] is a connection to either; [`each!`] writes a Diesel query once for both. [`Store`] hands
//! out connections: reads through a fair semaphore, writes through one writer on SQLite (group
//! commit) and through short transactions on PostgreSQL. Diesel never runs on an HTTP worker.
//! This crate knows no rule of any capability.

pub mod backup;
mod cached;
pub mod db;
mod error;
pub mod followers;
pub mod jobs;
pub mod migrate;
pub mod nonces;
mod pool;
pub mod schema;
mod store;
mod writer;

pub use cached::{Cached, Fixed, padded};
pub use db::{Db, PgConn};
pub use diesel;
pub use error::{Error, Result, ResultExt};
pub use migrate::{COMMUNITY_MIGRATIONS, MigrationSet};
pub use store::{DatabaseConfig, Scope, Store};
