//! Who is calling: what capabilities implement to recognise a caller.

use std::{future::Future, pin::Pin};

use actix_web::http::{Method, Uri, header::HeaderMap};
use aim_core::{Actor, OrganizationId, Result, Timestamp};

/// The parts of a request that authentication looks at, besides its body.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target as received.
    pub uri: &'a Uri,
    /// `http` or `https`, as far as we know.
    pub scheme: &'a str,
    /// Host and port as the client wrote them.
    pub authority: &'a str,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// When the request came.
    pub now: Timestamp,
    /// The caller's address as far as it is known.
    pub source_ip: Option<&'a str>,
}

impl<'a> RequestHead<'a> {
    /// A header's first value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The token of `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(&self) -> Option<&'a str> {
        let value = self.header("authorization")?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

/// A signed request may be used once. Whoever acts on it claims this in the transaction of the act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceClaim {
    /// The tenant whose agent signed.
    pub organization: OrganizationId,
    /// A digest of what must not be seen twice.
    pub digest: [u8; 16],
    /// When it need no longer be remembered.
    pub expires_at: Timestamp,
}

/// A caller that proved who it is.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who.
    pub actor: Actor,
    /// Of which tenant.
    pub organization: OrganizationId,
    /// What must be claimed before acting, for signed requests.
    pub nonce: Option<NonceClaim>,
    /// How it proved itself (`rfc9421`, `session`, `api_key`, …), for the record.
    pub scheme: &'static str,
}

/// A future of an authenticator.
pub type AuthFuture<'a> = Pin<Box<dyn Future<Output = Result<Authenticated>> + 'a>>;

/// One way of proving who one is.
pub trait Authenticator: Send + Sync + 'static {
    /// Whether the request carries this kind of credential. Cheap; looks at headers only. The first
    /// authenticator that recognises a request decides: there is no falling back to another one.
    fn recognises(&self, head: &RequestHead<'_>) -> bool;

    /// Whether the proof covers the body, which is then read first.
    fn needs_body(&self) -> bool {
        false
    }

    /// Checks the proof.
    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, body: &'a [u8]) -> AuthFuture<'a>;
}
