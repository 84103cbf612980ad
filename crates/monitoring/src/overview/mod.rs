//! The overview: how the organisation stands, in one look. It reads what other capabilities have written
//! down, and adds nothing to it.

pub mod model;
pub mod service;
mod store;

pub use service::OverviewService;
