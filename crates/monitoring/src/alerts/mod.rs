//! Alerts: what a person should look at. Whoever notices something calls [`raise`] in the transaction of
//! what it noticed; repeats of the same thing count up on the alert that is there. What raises alerts from
//! the audit log follows it ([`watch`]); which of it an organisation wants is set by its [`rules`].

mod jobs;
pub mod model;
mod raising;
pub mod routes;
pub mod rules;
pub mod service;
pub mod store;
pub mod watch;

pub use model::{AlertId, AlertKind, NewAlert, Raised};
pub use raising::{raise, resolve_by_itself};
pub use service::AlertService;

pub(crate) use jobs::all as jobs;
