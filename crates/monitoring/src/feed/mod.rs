//! The live feed: what the log tells, as it is written. A node reads the log once for all of its clients
//! ([`Hub`]); each client sees its own organisation only, and no personal detail of any record.

mod frames;
mod hub;
pub mod model;
pub mod routes;
pub mod service;
pub mod store;
pub mod words;

pub use hub::{Hub, Subscription};
pub use service::FeedService;
