//! How much a signature must cover to be accepted.

use super::HttpSignatureError;

/// What a signature must cover, and whether it must carry a nonce.
///
/// [`Coverage::strict`] is the rule of the product. The other exists for conformance vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    requires_components: bool,
    requires_nonce: bool,
}

impl Coverage {
    /// `@method`; `@target-uri`, or `@authority` with `@path` and, if there is a query, `@query`;
    /// `content-digest` when the body is not empty; the parameter `nonce`.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            requires_components: true,
            requires_nonce: true,
        }
    }

    /// Whatever the signer chose, without a nonce. Only for vectors such as RFC 9421 appendix B.2.6: a
    /// signature accepted so can be moved to another request.
    #[must_use]
    pub const fn relaxed_for_conformance_vectors() -> Self {
        Self {
            requires_components: false,
            requires_nonce: false,
        }
    }

    pub(super) fn requires_nonce(self) -> bool {
        self.requires_nonce
    }

    /// Refuses a signature that leaves out what this rule demands.
    pub(super) fn check(
        self,
        covered: Covered,
        has_query: bool,
        has_body: bool,
    ) -> Result<(), HttpSignatureError> {
        if !self.requires_components {
            return Ok(());
        }
        let missing = if !covered.method {
            "@method"
        } else if !covered.target_uri && !covered.authority {
            "@authority"
        } else if !covered.target_uri && !covered.path {
            "@path"
        } else if !covered.target_uri && has_query && !covered.query {
            "@query"
        } else if has_body && !covered.content_digest {
            "content-digest"
        } else {
            return Ok(());
        };
        Err(HttpSignatureError::Coverage { missing })
    }
}

/// Which of the components that coverage asks for a signature covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) method: bool,
    pub(super) target_uri: bool,
    pub(super) authority: bool,
    pub(super) path: bool,
    pub(super) query: bool,
    pub(super) content_digest: bool,
}
