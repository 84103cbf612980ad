//! RFC 9421's own vectors, and every way in which a signed request must fail.

mod acceptance;
mod forgery;
mod malformed;
mod properties;
mod rfc9421;

use super::*;
use crate::keys::{PublicKey, SignatureError, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const NOW: i64 = 1_800_000_000;
const NONCE: &str = "n-0001";
const BODY: &[u8] = b"{\"hello\": \"world\"}";

/// A request as a value; tests change one thing and look what happens.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    fn post() -> Self {
        Self {
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            authority: "aim.example".to_owned(),
            path: "/api/v1/verifications".to_owned(),
            query: Some("wait=1".to_owned()),
            headers: vec![("Content-Type".to_owned(), b"application/json".to_vec())],
            body: BODY.to_vec(),
        }
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: &self.scheme,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
        self.add(name, value);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
    }

    fn signed(mut self, key: &SigningKey, extra: &[&str]) -> Self {
        let headers = sign_request(&self.view(), &self.body, key, NOW, NONCE, extra).unwrap();
        self.set("Signature-Input", &headers.signature_input);
        self.set("Signature", &headers.signature);
        if let Some(digest) = headers.content_digest {
            self.set("Content-Digest", &digest);
        }
        self
    }

    /// Signs what `Signature-Input` says, as a client of any other library would: independent of
    /// [`sign_request`], and of whether the server would accept it.
    fn signed_by_hand(mut self, key: &SigningKey, input: &str, base: &str) -> Self {
        self.set("Signature-Input", &format!("s={input}"));
        self.set(
            "Signature",
            &format!("s=:{}:", STANDARD.encode(key.sign(base.as_bytes()))),
        );
        self
    }

    fn parse(&self) -> Result<Candidate, HttpSignatureError> {
        Candidate::parse(&self.view(), &self.body, &Coverage::strict())
    }

    /// The whole check of a server with this key and this time.
    fn accept(&self, key: &PublicKey, now: i64) -> Result<(), HttpSignatureError> {
        let candidate = self.parse()?;
        candidate.verify(key)?;
        candidate.check_freshness(now, 30)
    }

    fn refusal(&self, key: &PublicKey) -> &'static str {
        self.accept(key, NOW).unwrap_err().code()
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// A `Signature-Input` member that covers enough, with the given parameters.
fn input_with(parameters: &str) -> String {
    format!("(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\"){parameters}")
}

/// A request signed by hand with these components and parameters, whatever they are; its signature is no
/// valid one, so only `parse` may be asked about it.
fn unverified(input: &str) -> Request {
    let mut request = Request::post();
    request.set("Content-Digest", &content_digest(BODY));
    request.signed_by_hand(&key(), input, "")
}

fn parse_code(input: &str) -> &'static str {
    unverified(input).parse().unwrap_err().code()
}

/// Reads a request under the relaxed rule.
fn relaxed(request: &Request) -> Result<Candidate, HttpSignatureError> {
    Candidate::parse(
        &request.view(),
        &request.body,
        &Coverage::relaxed_for_conformance_vectors(),
    )
}
