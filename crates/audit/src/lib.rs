//! The audit log: one append-only, hash-linked sequence of leaves an installation.
//!
//! A leaf is written in the same transaction as what it tells of. Its bytes are hashed as RFC 6962
//! §2.1 hashes leaves, so that a Merkle tree grows on them without rewriting one; each record also
//! links to the one before. What may have to be erased (personal details) stands beside the leaf,
//! which holds only a salted commitment to it. Nothing here decides or serves HTTP.

pub mod erasure;
mod leaf;
mod log;
mod verify;

pub use leaf::{Details, Entry, Kind, LeafRef, commitment, leaf_hash};
pub use log::{Filter, Record, Sealed, append, append_sealed, head, page, seal};
pub use verify::{Finding, Report, Verifier, verify};
