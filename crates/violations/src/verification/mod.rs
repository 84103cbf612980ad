//! The verified action: one signed request, one decision, one transaction.
//!
//! [`snapshot`] holds what decide() needs to know of an agent, cached under the epoch that the
//! transaction itself reads; [`batch`] decides and commits whatever has queued up as one
//! transaction; [`service`] is what callers use.

pub mod batch;
mod foresight;
pub mod model;
pub(crate) mod pages;
pub mod routes;
pub mod service;
mod snapshot;
mod store;

pub use batch::{Decided, LookUp, Within};
pub use foresight::Foresight;
pub use model::{ActionRequest, AuditPlace, DecisionView, ResultReport, ReviewRequest};
pub use service::{VerificationService, still_approved};
pub(crate) use snapshot::SNAPSHOT_NOTE;
