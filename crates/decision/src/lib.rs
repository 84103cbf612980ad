//! AIM's decision: a pure function from recorded inputs to a verdict.
//!
//! [`decide`] takes the facts of an agent ([`Snapshot`]) and one call ([`Call`]) and answers with a
//! [`Verdict`]. It does no I/O, reads no clock, draws no random numbers and cannot fail, so the recorded
//! inputs give the recorded verdict again, byte for byte ([`replay`]). This crate may not depend on
//! anything that stores or sends.
//!
//! # Order of evaluation
//! The reasons of a verdict stand in this order. A group that refuses ends the evaluation, and reports all
//! its reasons; later groups are not looked at.
//!
//! | group | step | reasons | outcome |
//! |---|---|---|---|
//! | who asks | 1. state of the agent | `agent.revoked`, `agent.suspended` | denied |
//! | | 2. state of the key | `key.unknown`, `key.revoked`, `key.grace_ended`, `key.expired` | denied |
//! | | 3. limits of the credential | `credential.capability_not_included`, `credential.secret_not_included`, `credential.address_not_allowed` | denied |
//! | | 4. form of the resource | `resource.not_canonical` | denied |
//! | what is forbidden | 5. policies that deny | `policy.denied` | denied |
//! | | 6. grants that deny | `capability.denied` | denied |
//! | what is granted | 7. grants that permit | `capability.not_granted`, or for each grant that covers the action the first part that does not fit: `grant.expired`, `scope.resource`, `scope.context`, `scope.time_window`, `scope.rate_limit` | denied |
//! | who must approve | 8. policies that require approval | `policy.approval_required` | pending |
//! | | 9. grants that require approval | `grant.approval_required` | pending |
//! | | 10. the caller's wish | `approval.requested` | pending |
//! | | none of these | `granted` | approved |
//!
//! # Rules
//! - **Default deny.** Without a grant that permits, the answer is denied.
//! - **Deny dominates**, and a required approval dominates a plain permission, however general the one and
//!   specific the other.
//! - **Permissions add up.** One grant that fits in every part is enough, whatever others say.
//! - **What cannot be told never helps.** A permission needs every part of its scope to fit: a resource that
//!   is not named, a context field that is missing or of another type do not. A restriction (a grant that
//!   denies or requires approval, a policy) yields only to a part that certainly does not fit, so leaving
//!   the resource or a field out does not escape it. A used-up rate limit ends a grant's permission, not
//!   the approval it requires.
//! - **The decider** is the first in order of precedence: the most specific capability (an exact name, then
//!   the longest prefix), then the grant given first, then the smaller id.
//! - At most [`REASONS_PER_STEP`] reasons a step are reported.
//!
//! Risk, severity and the impact on trust: see the tables of [`risk`].

pub mod address;
mod call;
pub mod capability;
pub mod constraint;
mod decide;
mod invalid;
mod reason;
pub mod record;
pub mod resource;
pub mod risk;
mod rules;
mod scope;
mod snapshot;
#[cfg(test)]
mod tests;
mod time_window;
mod verdict;

pub use address::{AddressLimit, AddressRange};
pub use call::{CONTEXT_MAX_DEPTH, Call, Credential, SECRET_ACTIONS, check_context};
pub use capability::{CapabilityName, CapabilityPattern};
pub use constraint::{Constraint, FieldPath, Operator};
pub use decide::{REASONS_PER_STEP, decide};
pub use invalid::Invalid;
pub use reason::{Reason, ReasonCode, slugs};
pub use record::{INPUTS_VERSION, Inputs, Record, ReplayError, canonical_bytes, replay};
pub use resource::{CanonicalResource, ResourcePattern};
pub use risk::{Risk, Severity};
pub use scope::{Effect, SCOPE_CONSTRAINTS_MAX, SCOPE_RESOURCES_MAX, Scope};
pub use snapshot::{AgentStatus, Grant, KeyFact, KeyState, Policy, PolicyEffect, SNAPSHOT_VERSION, Snapshot};
pub use time_window::{RateLimit, TimeOfDay, TimeWindow, Weekday};
pub use verdict::{Decider, DeciderKind, Outcome, Verdict};

/// An instant in UTC, to the microsecond wherever AIM stores it.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
