//! Detections: MCP servers that agents report that they found, whether or not the registry knows them.

pub mod model;
mod service;
pub(crate) mod store;

pub use model::{DetectedServer, Detection, DetectionReport, DetectionStatus};
pub use service::DetectionService;
