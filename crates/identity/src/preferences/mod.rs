//! Preferences: small things that a user asked the console to remember. They decide nothing.

mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use model::PreferenceView;
pub use service::PreferenceService;
