//! Organisation API keys: credentials of programs that act for the organisation.

mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use model::{ApiKeyDisabled, ApiKeyList, ApiKeyView, IssuedApiKey, NewApiKey};
pub use service::ApiKeyService;
pub(crate) use service::{created, new_row};
