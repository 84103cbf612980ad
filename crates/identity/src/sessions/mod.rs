//! Sign-in and sessions: who may come in, and how they are thrown out again at once.

mod attempts;
mod model;
pub(crate) mod routes;
mod service;
mod sign_in;
pub(crate) mod store;

pub(crate) use attempts::forget as forget_attempts;
pub use model::{SessionList, SessionView, SignedIn, SignedInUser};
pub use service::SessionService;
pub(crate) use service::{signed_in, start};
