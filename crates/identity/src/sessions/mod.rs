//! Sign-in and sessions: who may come in, and how they are thrown out again at once.

mod attempts;
mod links;
mod model;
pub(crate) mod routes;
mod service;
mod sign_in;
pub(crate) mod store;

pub(crate) use attempts::forget as forget_attempts;
pub(crate) use links::forget as forget_links;
pub use links::sign_in_link;
pub use model::{SessionList, SessionView, SignedIn, SignedInUser};
pub use service::SessionService;
pub(crate) use service::{own_session, signed_in, start};
