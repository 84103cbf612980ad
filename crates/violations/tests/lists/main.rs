//! Capabilities, policies, violations and the audit log through their services and routes, on SQLite and,
//! when `AIM_TEST_POSTGRES_URL` names a server, on PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that finds another state than it made shall panic"
)]

mod audit_log;
mod capabilities;
mod capability_pages;
mod house;
mod plans;
mod policies;
mod triage;
mod violations;
