//! The console in a real browser: headless Chromium over WebDriver, each test on a server of its own.
//!
//! Without Chromium and its driver these tests say so and pass, unless `AIM_TEST_BROWSER=required` is set, as
//! tests/run.sh does after installing them. axe-core is a file that `AIM_TEST_AXE` names; tests/run.sh fetches it.
//! Screenshots go to target/screenshots.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "tests and what they share"
)]

mod browser;
mod judge;
mod keys;
mod roles;
mod secrets;
mod sign_in;
mod violations;
mod walker;
mod world;
