//! Policies: the guard rails of a whole organisation.

pub mod store;
