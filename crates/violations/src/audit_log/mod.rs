//! Reading the audit log: an organisation sees its own records, by page or as a file.

pub mod model;
pub(crate) mod pages;
pub mod routes;
pub mod service;
pub mod store;

pub use model::{AuditEntry, AuditList};
pub use service::AuditLogService;
