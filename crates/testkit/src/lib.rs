//! For tests only: databases of either kind that go away with the test, a clock that stands still,
//! and organisations and agents put straight into the tables.

#![expect(clippy::expect_used, reason = "a test that cannot be set up shall panic")]

mod database;
mod seed;

pub use database::{TestDatabase, databases};
pub use seed::{Seeded, SeededAgent, kernel, seed_agent, seed_organization, start};
