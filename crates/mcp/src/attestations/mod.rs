//! Attestations: agents that say, signed, what a server offers; and how sure that makes one.

pub mod confidence;
pub mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use confidence::{Vote, confidence};
pub use model::{AttestationList, AttestationView, Attested, NewAttestation};
pub use service::AttestationService;
pub(crate) use store::Standing;
