//! What crosses crates, on both databases and in both editions.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests and what they share"
)]

mod canary;
mod catalogue;
mod crash;
#[cfg(feature = "premium")]
mod deliveries;
mod disk_full;
mod docs;
mod editions;
mod house;
mod malformed;
mod matrix;
mod memory;
mod process;
mod refresh_crash;
mod replay;
mod run;
#[cfg(feature = "premium")]
mod secret_cache;
mod tenants;
mod two_nodes;
mod vault_commands;
mod vault_transfer;
mod verified_action;
