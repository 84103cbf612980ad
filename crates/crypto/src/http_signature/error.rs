//! Why a signed request was refused.

use crate::keys::SignatureError;

/// Every reason for which a signed request is refused. `code()` is stable; the text names the remedy and
/// never quotes a header value, so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpSignatureError {
    /// The request carries no signature.
    #[error("the header {header} is missing; sign the request with HTTP Message Signatures (RFC 9421)")]
    Missing {
        /// Which field.
        header: &'static str,
    },
    /// A field does not parse.
    #[error(
        "the header {header} cannot be read: {reason}; it must be a structured-field dictionary as RFC 9421 §4 shows"
    )]
    Malformed {
        /// Which field.
        header: &'static str,
        /// What was wrong, without the value.
        reason: String,
    },
    /// `Signature-Input` and `Signature` have no label in common.
    #[error("no label stands in both Signature-Input and Signature; use the same label in both")]
    Label,
    /// A required signature parameter is absent.
    #[error(
        "the signature parameter {name} is missing; add it to Signature-Input (created, keyid and nonce are required)"
    )]
    ParameterMissing {
        /// Which parameter.
        name: &'static str,
    },
    /// A signature parameter has the wrong type or range, or is not supported.
    #[error("the signature parameter {name} is not acceptable: {reason}")]
    ParameterInvalid {
        /// Which parameter.
        name: String,
        /// What is expected.
        reason: &'static str,
    },
    /// The signature covers too little.
    #[error(
        "the signature does not cover {missing}; it must cover @method, and @target-uri or @authority with @path and (if there is one) @query, and content-digest when there is a body"
    )]
    Coverage {
        /// What is left out.
        missing: &'static str,
    },
    /// A covered component that is not supported.
    #[error(
        "the covered component {component} is not supported; cover header fields and derived components of requests without the parameters sf, key, bs, tr and req"
    )]
    ComponentUnsupported {
        /// Its identifier as serialised.
        component: String,
    },
    /// A component stands twice in the list.
    #[error("the component {component} is covered twice; name it once")]
    ComponentDuplicate {
        /// Its identifier as serialised.
        component: String,
    },
    /// A covered component that the request does not have (or has more than once, for a query parameter).
    #[error(
        "the signature covers {component}, which the request does not have exactly once; a proxy may have removed it, or it was never sent"
    )]
    ComponentMissing {
        /// Its identifier as serialised.
        component: String,
    },
    /// A header value that must be read has characters that make it ambiguous.
    #[error(
        "the header {name} has characters outside printable ASCII and cannot be signed; encode it or leave it out of the signature"
    )]
    HeaderValue {
        /// Which field.
        name: String,
    },
    /// A part of the request's target has characters that it may not have.
    #[error("the {part} of the request has characters that are not allowed there; percent-encode it")]
    Target {
        /// Which part.
        part: &'static str,
    },
    /// `Content-Digest` does not parse.
    #[error(
        "the header Content-Digest cannot be read; it must look like sha-256=:<base64 of the digest>: (RFC 9530)"
    )]
    DigestMalformed,
    /// `Content-Digest` has no algorithm that is supported.
    #[error("the header Content-Digest has neither sha-256 nor sha-512; add one of them")]
    DigestUnsupported,
    /// The body is not the one that was digested.
    #[error(
        "the body does not match its Content-Digest; compute the digest over exactly the bytes that are sent"
    )]
    DigestMismatch,
    /// An algorithm other than Ed25519.
    #[error("the signature algorithm is not supported; sign with ed25519 and say alg=\"ed25519\" or nothing")]
    Algorithm,
    /// Signed too long ago.
    #[error(
        "the signature was made {age} s ago, at most {window} s are accepted; sign each request when it is sent, and check the clock"
    )]
    Stale {
        /// Seconds since `created`.
        age: i64,
        /// Seconds accepted.
        window: i64,
    },
    /// Signed in the future.
    #[error(
        "the signature was made {ahead} s in the future, at most {window} s are accepted; check the clock"
    )]
    Future {
        /// Seconds until `created`.
        ahead: i64,
        /// Seconds accepted.
        window: i64,
    },
    /// Past its own `expires`.
    #[error("the signature expired {ago} s ago by its own parameter expires; sign the request again")]
    Expired {
        /// Seconds since `expires`.
        ago: i64,
    },
    /// The signature does not fit.
    #[error(transparent)]
    Invalid(#[from] SignatureError),
}

impl HttpSignatureError {
    /// Stable slug of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "signature.missing",
            Self::Malformed { .. } | Self::Label => "signature.malformed",
            Self::ParameterMissing { .. } => "signature.parameter_missing",
            Self::ParameterInvalid { .. } => "signature.parameter_invalid",
            Self::Coverage { .. } => "signature.coverage",
            Self::ComponentUnsupported { .. } => "signature.component_unsupported",
            Self::ComponentDuplicate { .. } => "signature.component_duplicate",
            Self::ComponentMissing { .. } => "signature.component_missing",
            Self::HeaderValue { .. } => "signature.header_value",
            Self::Target { .. } => "signature.target",
            Self::DigestMalformed => "signature.digest_malformed",
            Self::DigestUnsupported => "signature.digest_unsupported",
            Self::DigestMismatch => "signature.digest_mismatch",
            Self::Algorithm => "signature.algorithm",
            Self::Stale { .. } => "signature.stale",
            Self::Future { .. } => "signature.future",
            Self::Expired { .. } => "signature.expired",
            Self::Invalid(error) => error.code(),
        }
    }
}
