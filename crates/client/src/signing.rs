//! Requests, signed as RFC 9421 says, before they are sent.

use std::{fmt, sync::Arc};

use aim_crypto::{
    digest::random_bytes,
    http_signature::{RequestView, sign_request},
    keys::SigningKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, Url};

use crate::error::Result;

/// Where a client takes the time of its signatures from: seconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock of one's own, for a machine whose clock is known to be off, and for tests.
    #[must_use]
    pub fn new(seconds: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(seconds))
    }

    /// The operating system's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the client reads the system's clock"
        )]
        Self::new(|| chrono::Utc::now().timestamp())
    }

    /// The present second.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A request with its credentials, ready to be sent. Its parts are open, so that a test can alter
/// them and see the server refuse.
#[derive(Clone)]
pub struct PreparedRequest {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Header fields besides those that the HTTP stack adds.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl fmt::Debug for PreparedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header fields may hold a credential, and the body a password.
        f.debug_struct("PreparedRequest")
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

impl PreparedRequest {
    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Sets a header field.
    pub fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
    }

    /// Signs the request as it stands, with a fresh nonce.
    ///
    /// # Errors
    /// When there is no randomness, or the address cannot be signed.
    pub fn sign(&mut self, key: &SigningKey, created: i64) -> Result<()> {
        let nonce = URL_SAFE_NO_PAD.encode(random_bytes::<16>()?);
        let view = RequestView {
            method: self.method.as_str(),
            scheme: self.url.scheme(),
            authority: &authority(&self.url),
            path: self.url.path(),
            query: self.url.query(),
            headers: &self.headers,
        };
        let signed = sign_request(&view, &self.body, key, created, &nonce, &[])?;
        if let Some(digest) = signed.content_digest {
            self.set_header("content-digest", digest);
        }
        self.set_header("signature-input", signed.signature_input);
        self.set_header("signature", signed.signature);
        Ok(())
    }
}

/// Host and port as the `Host` field carries them.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aim_crypto::http_signature::{Candidate, Coverage};

    use super::*;

    fn request(url: &str, body: &str) -> PreparedRequest {
        PreparedRequest {
            method: Method::POST,
            url: Url::parse(url).unwrap(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.as_bytes().to_vec(),
        }
    }

    fn accepted(request: &PreparedRequest, key: &SigningKey, authority: &str) -> bool {
        let view = RequestView {
            method: request.method.as_str(),
            scheme: request.url.scheme(),
            authority,
            path: request.url.path(),
            query: request.url.query(),
            headers: &request.headers,
        };
        Candidate::parse(&view, &request.body, &Coverage::strict())
            .is_ok_and(|candidate| candidate.verify(&key.public()).is_ok())
    }

    #[test]
    fn a_signed_request_is_accepted_by_the_strict_rule_and_every_change_is_noticed() {
        let key = SigningKey::from_seed(&[3; 32]);
        let mut signed = request(
            "http://127.0.0.1:8700/api/v1/verifications?a=b%20c",
            "{\"action\":\"db:read\"}",
        );
        signed.sign(&key, 1_800_000_000).unwrap();
        assert!(accepted(&signed, &key, "127.0.0.1:8700"));

        assert!(!accepted(&signed, &key, "127.0.0.1:8701"), "another authority");
        assert!(
            !accepted(&signed, &SigningKey::from_seed(&[4; 32]), "127.0.0.1:8700"),
            "another key"
        );
        let mut altered = signed.clone();
        altered.body = b"{\"action\":\"db:drop\"}".to_vec();
        assert!(!accepted(&altered, &key, "127.0.0.1:8700"), "another body");
        let mut altered = signed.clone();
        altered.url.set_query(Some("a=d"));
        assert!(!accepted(&altered, &key, "127.0.0.1:8700"), "another query");
    }

    #[test]
    fn a_default_port_and_a_missing_body_are_signed_as_they_are_sent() {
        let key = SigningKey::from_seed(&[3; 32]);
        let mut signed = request("https://aim.example/api/v1/agents", "");
        signed.sign(&key, 1_800_000_000).unwrap();
        assert!(accepted(&signed, &key, "aim.example"));
        assert_eq!(signed.header("content-digest"), None);
    }

    #[test]
    fn each_signature_has_a_nonce_of_its_own() {
        let key = SigningKey::from_seed(&[3; 32]);
        let mut signed = request("http://127.0.0.1/", "x");
        signed.sign(&key, 1_800_000_000).unwrap();
        let first = signed.header("signature").unwrap().to_owned();
        signed.sign(&key, 1_800_000_000).unwrap();
        assert_ne!(signed.header("signature"), Some(first.as_str()));
        assert_eq!(
            signed
                .headers
                .iter()
                .filter(|(name, _)| name == "signature")
                .count(),
            1
        );
    }
}
