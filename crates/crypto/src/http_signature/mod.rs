//! HTTP Message Signatures (RFC 9421) over requests, with Ed25519 only.
//!
//! The order of use: [`Candidate::parse`] reads the two header fields, builds the signature base and checks
//! coverage and body digest; the caller looks the key up by [`Candidate::keyid`]; [`Candidate::verify`]
//! checks the signature; [`Candidate::check_freshness`] the time; the caller then spends the nonce. Nothing
//! of a candidate is proven before `verify` succeeded.
//!
//! # The one acceptance rule
//! - **Which signature.** Labels are tried in the order of `Signature-Input`; the first that `Signature`
//!   carries too and whose `alg` is `ed25519` or absent is *the* signature. If it fails, the request fails;
//!   no other is tried.
//! - **Parameters.** `created`, `keyid` and (by [`Coverage::strict`]) `nonce` are required; `alg`,
//!   `expires` and `tag` are optional; any other is refused, since a restriction that is not understood
//!   cannot be honoured.
//! - **Components.** Header fields without parameters (§2.1) and the derived components of requests (§2.2).
//!   `sf`, `key`, `bs`, `tr` and `req` are refused, so are duplicates and components that the request lacks.
//! - **Spelling.** Paths and queries are taken as they were received, without any re-encoding; an empty
//!   path is `/`. Authority and scheme are lower-cased and a default port is left out (§2.2.3), in
//!   `@target-uri` too. `@request-target` is that of the origin form (§2.2.5).
//! - **Body.** A non-empty body must be covered through `content-digest` (RFC 9530); the field is checked
//!   against the body whenever it is present.

mod base;
mod candidate;
mod content_digest;
mod coverage;
mod error;
mod fields;
mod request;
mod sign;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, check_freshness};
pub use content_digest::{check_content_digest, content_digest};
pub use coverage::Coverage;
pub use error::HttpSignatureError;
pub use request::{HeaderLookup, RequestView};
pub use sign::{SignedHeaders, sign_request};
