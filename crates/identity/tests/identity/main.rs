//! Identity against real databases: SQLite in a folder of its own, and PostgreSQL where the environment
//! names a server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up shall panic, in helpers too"
)]

mod agent_pages;
mod agents;
mod api_keys;
mod authenticators;
mod common;
mod console;
mod registration;
mod routes;
mod sessions;
mod users;
