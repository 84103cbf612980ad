//! The first set-up of an installation: its organisation, its first administrator, its first API key.

pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use service::{FirstAdministrator, Initialised, SetUpService, add_organization, initialise, prepare};
