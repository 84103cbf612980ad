//! The key vault: the agents' own public keys, and nothing else.
//!
//! It knows every key an agent ever had: who brought it, when and why it ended. It never holds a
//! private key. What a key is worth at an instant is decided by [`aim_decision::KeyFact::state`].

pub mod challenge;
pub mod store;
