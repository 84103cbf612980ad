//! The basic compliance status: checks computed from what is recorded, each with the objects behind it.

pub mod checks;
pub mod model;
pub mod routes;
pub mod service;
pub mod store;

pub use model::{Check, CheckResult, ComplianceStatus};
pub use service::StatusService;
