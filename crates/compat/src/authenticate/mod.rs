//! How agents that run a published SDK prove who they are: a signature in headers, one in the body of a
//! verification, one for the poll. Each becomes the same [`Authenticated`] as any other proof.
//!
//! Nothing here decides what an agent may do. Whether agent and key are still good is part of the decision on
//! an action, so that a refusal leaves its evidence; every other request is refused here, from fresh rows.

mod body;
mod header;
mod poll;

use std::sync::Arc;

use aim_core::{Actor, AgentCredential, AgentId, Code, Error, OrganizationId, Result, Timestamp};
use aim_crypto::keys::PublicKey;
use aim_identity::{AgentDirectory, KnownKey};
use aim_key_vault::store as key_store;
use aim_platform::{Authenticated, Authenticator, Kernel, NonceClaim, Refusal, Refusals, RequestHead};
use aim_store::Store;
use chrono::TimeDelta;

use crate::signatures::{SignatureProblem, once_digest};

pub use body::BodySignature;
pub use header::HeaderSignature;
pub use poll::PollSignature;

/// Where the SDKs ask for their actions.
pub const VERIFICATIONS: &str = "/api/v1/sdk-api/verifications";
/// Where the native API is asked for one; a header signature is accepted there too.
const NATIVE_VERIFICATIONS: &str = "/api/v1/verifications";

/// The code of a signature that is not the named key's, in records.
const WRONG: &str = "signature.wrong";

/// The name of the header signature in records.
pub const HEADER_SCHEME: &str = "sdk_header";
/// The name of the body signature in records.
pub const BODY_SCHEME: &str = "sdk_body";
/// The name of the poll signature in records.
pub const POLL_SCHEME: &str = "sdk_poll";

/// What the three schemes share: whose key it is, and how old a signature may be.
#[derive(Clone)]
pub struct Signers {
    store: Store,
    directory: AgentDirectory,
    window: TimeDelta,
    refusals: Refusals,
}

impl Signers {
    /// The signers of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel, directory: AgentDirectory) -> Self {
        Self {
            store: kernel.store.clone(),
            directory,
            window: TimeDelta::seconds(kernel.config.signature_window_seconds),
            refusals: kernel.refusals.clone(),
        }
    }

    /// Every scheme, as a module registers them.
    #[must_use]
    pub fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![
            Arc::new(HeaderSignature(self.clone())),
            Arc::new(PollSignature(self.clone())),
            Arc::new(BodySignature(self.clone())),
        ]
    }

    /// The key that was presented, if it is (or was) that agent's. Somebody who calls himself an agent and
    /// brings another key leaves evidence.
    async fn key_of(
        &self,
        head: &RequestHead<'_>,
        scheme: &'static str,
        agent: AgentId,
        presented: &PublicKey,
    ) -> Result<Arc<KnownKey>> {
        let known = self
            .directory
            .by_fingerprint(presented.fingerprint().as_str())
            .await?;
        if let Some(known) = known.filter(|known| known.agent == agent) {
            return Ok(known);
        }
        if let Some(claimed) = self.directory.by_agent(agent).await? {
            let claim = (claimed.organization, agent, None);
            self.note(head, scheme, claim, "key.not_of_the_agent").await;
        }
        Err(not_its_key())
    }

    /// Passes `checked` on; a signature that is not the named key's leaves evidence first.
    async fn noting<T>(
        &self,
        head: &RequestHead<'_>,
        scheme: &'static str,
        key: &KnownKey,
        checked: std::result::Result<T, SignatureProblem>,
    ) -> Result<T> {
        if matches!(checked, Err(SignatureProblem::Wrong)) {
            let claim = (key.organization, key.agent, Some(key.fingerprint.as_str()));
            self.note(head, scheme, claim, WRONG).await;
        }
        Ok(checked?)
    }

    /// Notes a refusal in the name of a registered agent, with the key that it named.
    async fn note(
        &self,
        head: &RequestHead<'_>,
        scheme: &'static str,
        (organization, agent, fingerprint): (OrganizationId, AgentId, Option<&str>),
        code: &'static str,
    ) {
        let refusal = Refusal {
            organization,
            agent,
            fingerprint,
            code,
            scheme,
            now: head.now,
            source_ip: head.source_ip,
            asked: format!("{} {}", head.method, head.uri.path()),
        };
        self.refusals.note(&self.store, refusal).await;
    }

    /// Refuses what was signed too long ago, or in the future.
    fn fresh(&self, now: Timestamp, signed_at: Timestamp) -> Result<()> {
        if (now - signed_at).abs() <= self.window {
            return Ok(());
        }
        let detail = format!(
            "signed at {signed_at}, which is more than {} seconds from now",
            self.window.num_seconds()
        );
        Err(Error::new(Code::SignatureStale, detail))
    }

    /// Refuses a key that has ended and an agent that was stopped, as of this very moment.
    async fn in_good_standing(
        &self,
        head: &RequestHead<'_>,
        scheme: &'static str,
        key: &KnownKey,
    ) -> Result<()> {
        let now = head.now;
        let (organization, agent, fingerprint) = (key.organization, key.agent, key.fingerprint.clone());
        let (row, facts) = self
            .store
            .read(organization, move |db| {
                let row = key_store::by_fingerprint(db, fingerprint.as_str())?;
                Ok((row, key_store::agent(db, organization, agent)?))
            })
            .await?;
        if !row.is_some_and(|row| row.state(now).is_usable()) {
            let claim = (organization, agent, Some(key.fingerprint.as_str()));
            self.note(head, scheme, claim, "key.ended").await;
            let detail = "the key was revoked, replaced or has expired; sign with the agent's current key";
            return Err(Error::new(Code::CredentialsInvalid, detail));
        }
        match facts {
            Some(facts) if facts.status == "active" => Ok(()),
            _ => Err(Error::new(
                Code::Forbidden,
                "the agent is suspended; somebody must reactivate it first",
            )),
        }
    }

    /// The agent of `key`, whose signature of `signed_at` may be used once.
    fn authenticated(
        &self,
        key: &KnownKey,
        scheme: &'static str,
        once_as: &'static str,
        signature: &[u8; 64],
        signed_at: Timestamp,
    ) -> Authenticated {
        Authenticated {
            actor: Actor::Agent {
                id: key.agent,
                credential: AgentCredential::Key {
                    fingerprint: key.fingerprint.as_str().to_owned(),
                },
            },
            organization: key.organization,
            nonce: Some(NonceClaim {
                organization: key.organization,
                digest: once_digest(once_as, key.agent, signature),
                // Two windows: the clock of another node may be behind this one.
                expires_at: signed_at + self.window + self.window,
            }),
            scheme,
        }
    }
}

/// The same answer for an unknown agent, a foreign one, and a key that is not the agent's.
fn not_its_key() -> Error {
    Error::new(
        Code::CredentialsInvalid,
        "no agent with this id has this key; register it, or sign with its own key",
    )
}

impl From<SignatureProblem> for Error {
    fn from(problem: SignatureProblem) -> Self {
        let code = match problem {
            SignatureProblem::Missing("signature") => Code::CredentialsMissing,
            _ => Code::SignatureInvalid,
        };
        let error = Self::new(code, problem.to_string());
        match problem.field() {
            Some(field) => error.at(field),
            None => error,
        }
    }
}

/// Counts a refusal, for whoever watches.
fn counted(result: Result<Authenticated>) -> Result<Authenticated> {
    result.inspect_err(|error| {
        metrics::counter!("aim_authentication_failures_total", "code" => error.code.slug()).increment(1);
    })
}

/// The path and query of a request, as they were received.
fn target<'a>(head: &RequestHead<'a>) -> &'a str {
    head.uri.path_and_query().map_or("/", |target| target.as_str())
}

/// A header that the scheme needs.
fn needed<'a>(head: &RequestHead<'a>, name: &'static str) -> std::result::Result<&'a str, SignatureProblem> {
    head.header(name).ok_or(SignatureProblem::Missing(name))
}

/// Whether this is an agent asking for its action as the SDKs do.
fn is_verification(head: &RequestHead<'_>) -> bool {
    head.method.as_str() == "POST" && head.uri.path() == VERIFICATIONS
}

/// Whether this request is decided on, which looks at agent and key itself.
fn is_decided(head: &RequestHead<'_>) -> bool {
    head.method.as_str() == "POST" && [VERIFICATIONS, NATIVE_VERIFICATIONS].contains(&head.uri.path())
}
