//! Policies: the guard rails of a whole organisation.
//!
//! A policy denies, or has a person approve, the actions that it covers, whatever an agent was granted. It
//! never permits anything. What follows from all of them is decided in `aim_decision`, not here.

pub mod model;
pub(crate) mod pages;
pub mod routes;
pub mod service;
pub mod store;

pub use model::{NewPolicy, PolicyList, PolicyView};
pub use service::PolicyService;
