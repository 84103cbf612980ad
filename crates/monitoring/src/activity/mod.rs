//! Activity: how many decisions there were, by hour, of each agent and of the organisation.

mod follower;
pub mod model;
mod retention;
pub mod routes;
pub mod service;
pub mod store;

pub use service::ActivityService;

pub(crate) use follower::follower;
pub(crate) use retention::retained;
