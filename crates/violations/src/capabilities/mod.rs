//! Capabilities: what an agent was granted, and what it asks for.
//!
//! A grant permits, requires approval for, or denies the actions that its pattern covers, within its
//! scope. What follows from all grants together is decided in `aim_decision`, not here.

pub mod model;
pub(crate) mod pages;
pub mod request_store;
mod requests;
pub mod routes;
pub mod service;
pub mod store;
pub mod words;

pub use model::{
    Approval, CapabilityRequestList, CapabilityRequestView, GrantList, GrantView, NewCapabilityRequest,
    NewGrant, Rejection,
};
pub use service::CapabilityService;
