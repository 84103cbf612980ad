//! Agents: HTTP Message Signatures (RFC 9421) by a registered key.
//!
//! The authenticator proves who signed and when. It does not ask whether the key or the agent is still
//! good: the act itself does, in its own transaction.

use actix_web::http::header::HeaderMap;
use aim_core::{Actor, AgentCredential, Code, Error, Result, Timestamp};
use aim_crypto::{
    digest::sha256_parts,
    http_signature::{Candidate, Coverage, HeaderLookup, HttpSignatureError, RequestView},
};
use aim_platform::{
    Authenticated, Authenticator, Kernel, NonceClaim, Refusal, RequestHead, auth::AuthFuture,
};
use chrono::{DateTime, TimeDelta};

use crate::{AgentDirectory, Identity, KnownKey};

/// How much longer than its signature can be fresh a nonce is remembered, for clocks that differ.
const SLACK_SECONDS: i64 = 5;
/// The name of this signature in records.
const SCHEME: &str = "rfc9421";

/// Recognises `Signature-Input` and proves which agent signed.
pub struct SignatureAuthenticator {
    kernel: Kernel,
    directory: AgentDirectory,
}

/// The headers of a request, as the signature's verification asks for them.
struct Headers<'a>(&'a HeaderMap);

impl HeaderLookup for Headers<'_> {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.0.get_all(name).map(|value| value.as_bytes()).collect()
    }
}

impl SignatureAuthenticator {
    /// An authenticator with the directory of `identity`.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self {
            kernel: identity.kernel.clone(),
            directory: identity.directory(),
        }
    }

    async fn check(&self, head: &RequestHead<'_>, body: &[u8]) -> Result<Authenticated> {
        let headers = Headers(head.headers);
        let view = RequestView {
            method: head.method.as_str(),
            scheme: head.scheme,
            authority: head.authority,
            path: head.uri.path(),
            query: head.uri.query(),
            headers: &headers,
        };
        let candidate =
            Candidate::parse(&view, body, &Coverage::strict()).map_err(|error| refused(&error))?;
        let Some(key) = self.directory.by_fingerprint(candidate.keyid()).await? else {
            count("key.unknown");
            return Err(not_accepted());
        };
        if let Err(error) = candidate.verify(&key.public_key) {
            count(error.code());
            self.note_forgery(&key, head, error.code()).await;
            return Err(not_accepted());
        }
        let window = self.kernel.config.signature_window_seconds;
        candidate
            .check_freshness(head.now.timestamp(), window)
            .map_err(|error| refused(&error))?;
        Ok(authenticated(&key, &candidate, window))
    }

    /// A signature that is not the named key's leaves evidence.
    async fn note_forgery(&self, key: &KnownKey, head: &RequestHead<'_>, code: &'static str) {
        let refusal = Refusal {
            organization: key.organization,
            agent: key.agent,
            fingerprint: Some(key.fingerprint.as_str()),
            code,
            scheme: SCHEME,
            now: head.now,
            source_ip: head.source_ip,
            asked: format!("{} {}", head.method, head.uri.path()),
        };
        self.kernel.refusals.note(&self.kernel.store, refusal).await;
    }
}

impl Authenticator for SignatureAuthenticator {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.headers.contains_key("signature-input")
    }

    fn needs_body(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, body: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(self.check(head, body))
    }
}

fn authenticated(key: &KnownKey, candidate: &Candidate, window: i64) -> Authenticated {
    let fingerprint = key.fingerprint.as_str();
    let whole = sha256_parts(&[
        b"rfc9421\n",
        fingerprint.as_bytes(),
        b"\n",
        candidate.nonce().as_bytes(),
    ]);
    let mut digest = [0; 16];
    for (target, source) in digest.iter_mut().zip(whole) {
        *target = source;
    }
    // A fresh signature's `created` is within the window of a sane clock, so it is a time.
    let created = Timestamp::new(DateTime::from_timestamp(candidate.created(), 0).unwrap_or_default());
    Authenticated {
        actor: Actor::Agent {
            id: key.agent,
            credential: AgentCredential::Key {
                fingerprint: fingerprint.to_owned(),
            },
        },
        organization: key.organization,
        nonce: Some(NonceClaim {
            organization: key.organization,
            digest,
            expires_at: created + TimeDelta::seconds(2 * window + SLACK_SECONDS),
        }),
        scheme: SCHEME,
    }
}

/// One refusal for a key that nobody has and a signature that is not the key's.
fn not_accepted() -> Error {
    Error::new(
        Code::SignatureInvalid,
        "the signature does not fit the request and the key that it names",
    )
}

/// The refusal of a signature that cannot be read, covers too little, or is not fresh.
fn refused(error: &HttpSignatureError) -> Error {
    count(error.code());
    let code = match error {
        HttpSignatureError::Stale { .. }
        | HttpSignatureError::Future { .. }
        | HttpSignatureError::Expired { .. } => Code::SignatureStale,
        _ => Code::SignatureInvalid,
    };
    Error::new(code, error.to_string())
}

fn count(code: &'static str) {
    metrics::counter!("aim_authentication_failures_total", "code" => code).increment(1);
}
