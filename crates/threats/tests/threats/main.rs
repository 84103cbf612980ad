//! Threat detection on real databases: from the decision to the finding and what it leads to.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod bed;
mod finding;
mod http;
mod responding;
