//! What people make of violations: acknowledged, resolved or suppressed, with who, when and why.
//!
//! They do so with one violation, or with all repeats of one (same agent, same capability, same primary
//! reason). Acknowledging and resolving repeats covers those seen so far: the next one is open again.
//! Suppressing covers those to come too, until a moment. What is said of one violation goes before what is
//! said of its repeats. Nothing of this is written when a violation is recorded, so decisions pay nothing
//! for it.

pub mod model;
pub mod routes;
pub mod service;
pub mod store;

pub use model::{TriageFilter, TriageState, TriageView};
pub use service::TriageService;
