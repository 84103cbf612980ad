//! A request as it goes over the wire, open to be signed, altered and sent more than once.

use aim_core::Timestamp;
use aim_crypto::{
    http_signature::{RequestView, SignedHeaders, sign_request},
    keys::SigningKey,
};
use reqwest::Method;
use serde_json::Value;

/// A request that is ready to be sent, as often as a test likes.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Prepared {
    /// A request without header fields and body.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    /// With any body.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.header("content-type", media_type)
    }

    /// With a header field; one of that name is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signed by `key` for `authority` at `created`, with a nonce of its own (RFC 9421).
    #[must_use]
    pub fn signed(self, key: &SigningKey, authority: &str, created: Timestamp) -> Self {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        self.signed_with_nonce(key, authority, created, &nonce)
    }

    /// Signed with a nonce of the test's choice.
    #[must_use]
    pub fn signed_with_nonce(
        self,
        key: &SigningKey,
        authority: &str,
        created: Timestamp,
        nonce: &str,
    ) -> Self {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let method = self.method.as_str();
        let view = RequestView {
            method,
            scheme: "http",
            authority,
            path,
            query,
            headers: &self.headers,
        };
        let signed =
            sign_request(&view, &self.body, key, created.timestamp(), nonce, &[]).expect("a signature");
        let SignedHeaders {
            signature_input,
            signature,
            content_digest,
        } = signed;
        let request = self
            .header("signature-input", &signature_input)
            .header("signature", &signature);
        match content_digest {
            Some(digest) => request.header("content-digest", &digest),
            None => request,
        }
    }
}
