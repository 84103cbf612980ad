//! Delivery of what happens: to webhooks, to Slack-compatible ones, and to mailboxes. What is to be delivered
//! is queued by a follower of the audit log; a worker on each node takes what is due, signs it, sends it
//! through the guarded way out, and tries again with growing pauses. Everything stays on record.

mod deliver;
mod follower;
mod format;
mod mail;
pub mod model;
mod retention;
pub mod routes;
pub mod secret;
pub mod service;
pub mod store;

pub use deliver::Deliverer;
pub use service::WebhookService;

pub(crate) use follower::follower;
pub(crate) use retention::retained;
