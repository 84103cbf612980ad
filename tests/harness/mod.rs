//! The parts of the harness.

pub(crate) mod agent;
pub(crate) mod app;
pub(crate) mod caller;
pub(crate) mod request;
pub(crate) mod scene;
pub(crate) mod tenant;
pub mod workspace;
