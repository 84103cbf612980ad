//! What secrets were: the difference of two versions, a prefix of paths as it stood at a moment, and taking it back there.
//!
//! Each change of a secret notes which version was the newest and how that stood: versions themselves know only how they
//! stand now. No value leaves here.

pub mod model;
pub(super) mod pages;
pub(super) mod routes;
mod service;
mod store;

pub(super) use store::{note, secrets, written};
