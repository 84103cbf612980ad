//! How long what grows with use is kept, and what is held back for legal reasons.
//!
//! The audit log's leaves are for good. What stands beside them, and what is derived from them, goes when
//! its time is over: in small pieces, each one transaction with a record in the log that says so.

pub mod jobs;
pub mod model;
pub mod routes;
pub mod service;
pub mod store;

pub use model::{HoldList, HoldView, NewHold, RetentionSettings, RetentionView};
pub use service::RetentionService;
