//! What an agent may do, and what it tried: capabilities and requests for them, policies, the
//! verified action, violations, and reading the audit log.

pub mod audit_log;
pub mod capabilities;
pub mod policies;
pub mod verification;
pub mod violations;

pub use verification::VerificationService;
