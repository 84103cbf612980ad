//! The console's shell around pages and agent tabs of a small capability, on the real application.

mod gallery;
mod shell;
