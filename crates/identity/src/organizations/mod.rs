//! Organisations: the tenants. They are made by set-up and by the operator, never over HTTP.

pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use service::{OrganizationService, OrganizationView};
