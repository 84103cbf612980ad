//! A value shown to a person: switched off unless an administrator switched it on, always with a reason, where the
//! organisation wants it with a second person's approval, and each step a record of the log. The value stands in one
//! answer and nowhere else.

pub mod model;
pub(super) mod pages;
pub(super) mod routes;
pub mod service;
mod store;
