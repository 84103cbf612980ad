//! Compliance on real databases: retention with holds, checks of the log, and the status.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod bed;
mod retention;
mod status;
mod verification;
