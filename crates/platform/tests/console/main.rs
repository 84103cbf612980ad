//! The console's shell around pages and agent tabs of a small capability, on the real application.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod gallery;
mod shell;
