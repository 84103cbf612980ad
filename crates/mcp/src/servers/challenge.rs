//! Verification by challenge: AIM fetches a fresh challenge's answer from the origin of the server's address, and the
//! answer must be signed with the server's registered key. So a verified server holds that key, and answers there.
//!
//! `GET <origin>/.well-known/aim-mcp-challenge?server_id=…&challenge=…` is answered with
//! `{"signature": "<base64 of an Ed25519 signature over challenge_message>"}`. The call goes out through the one guarded
//! way ([`aim_platform::outbound`]): public addresses only, unless the operator allows a network; no redirects.

use aim_core::{Code, Ctx, Error, Result, Timestamp};
use aim_crypto::{
    digest::{hex, random_bytes},
    keys::{PublicKey, signature_from_base64},
};
use aim_platform::outbound::Call;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use utoipa::ToSchema;

use super::{
    address,
    model::{McpServerId, Move, ServerStatus, ServerView},
    service::{ServerService, event, moved},
    store::{self, ServerRow},
    view::view,
};

/// Where servers answer.
const PATH: &str = "/.well-known/aim-mcp-challenge";
/// The largest answer that is read.
const LARGEST_ANSWER: usize = 4096;

/// What the server signs: four lines, each ended by a line feed.
#[must_use]
pub fn challenge_message(server: McpServerId, url: &str, challenge: &str) -> String {
    format!("AIM-MCP-CHALLENGE-V1\n{server}\n{url}\n{challenge}\n")
}

/// A server's answer to its challenge.
#[derive(Debug, Clone, Deserialize)]
pub struct ChallengeAnswer {
    /// Base64 of the signature.
    pub signature: String,
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationView {
    /// Whether the server proved that it holds the registered key.
    pub verified: bool,
    /// What went wrong; null if nothing did.
    pub problem: Option<String>,
    /// The challenge that was sent.
    pub challenge: String,
    /// Where the answer was fetched.
    pub verification_url: String,
    /// When the server last proved itself; null unless it is verified.
    pub verified_at: Option<Timestamp>,
    /// The server as it stands now.
    pub mcp_server: ServerView,
}

/// What the call came to.
enum Outcome {
    /// The signature is the registered key's.
    Proved,
    /// An answer came, and it proves nothing.
    Wrong(String),
    /// No answer came that could be judged; this says nothing about the server.
    Unreached(String),
}

impl ServerService {
    /// Sends a server a challenge, and keeps what it came to. A wrong answer takes a verification away; no answer does not.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` when the server is suspended or revoked, has no web address, or no registered
    /// key, or when it was changed in the meantime.
    pub async fn verify(&self, ctx: &Ctx, server: McpServerId) -> Result<VerificationView> {
        let organization = ctx.organization;
        let row = self
            .kernel
            .store
            .read(organization, move |db| {
                store::find(db, organization, server, false)
            })
            .await?;
        let (key, origin) = ready(&row)?;
        let challenge = hex(&random_bytes::<32>().map_err(Error::internal)?);
        let mut url = Url::parse(&origin).map_err(Error::internal)?;
        url.set_path(PATH);
        url.query_pairs_mut()
            .append_pair("server_id", &server.to_string())
            .append_pair("challenge", &challenge);
        let verification_url = url.to_string();
        let message = challenge_message(server, &row.url, &challenge);
        let outcome = self.ask(url, &key, &message).await;
        let mut kept = self.keep(ctx, &row, outcome).await?;
        kept.challenge = challenge;
        kept.verification_url = verification_url;
        Ok(kept)
    }

    async fn ask(&self, url: Url, key: &PublicKey, message: &str) -> Outcome {
        let call = Call::get(url, LARGEST_ANSWER).header("accept", "application/json");
        let answer = match self.kernel.outbound().send(call).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Unreached(error.to_string()),
        };
        if !answer.is_success() {
            return Outcome::Unreached(format!("the server answered with the status {}", answer.status));
        }
        let parsed: Result<ChallengeAnswer, _> = serde_json::from_slice(&answer.body);
        let Ok(parsed) = parsed else {
            return Outcome::Wrong("the answer is not JSON with a member signature".to_owned());
        };
        let Ok(signature) = signature_from_base64(&parsed.signature) else {
            return Outcome::Wrong("the signature is not base64 of 64 bytes".to_owned());
        };
        match key.verify(message.as_bytes(), &signature) {
            Ok(()) => Outcome::Proved,
            Err(_) => {
                Outcome::Wrong("the signature is not the registered key's over this challenge".to_owned())
            }
        }
    }

    async fn keep(&self, ctx: &Ctx, asked: &ServerRow, outcome: Outcome) -> Result<VerificationView> {
        let (server, url, key) = (asked.id, asked.url.clone(), asked.public_key.clone());
        // The call took its time.
        let now = self.kernel.now();
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, server, true)?;
                if row.url != url || row.public_key != key {
                    let detail = "address or key of the server changed meanwhile; verify it again";
                    return Err(Error::new(Code::StateConflict, detail).into());
                }
                let from = row.status.clone();
                let problem = match &outcome {
                    Outcome::Proved => {
                        row.status = moved(&row, Move::Verify)?.as_str().to_owned();
                        row.status_reason = None;
                        row.verified_at = Some(now);
                        None
                    }
                    Outcome::Wrong(problem) => {
                        row.status = moved(&row, Move::Fail)?.as_str().to_owned();
                        if from == ServerStatus::Verified.as_str() {
                            row.status_reason = Some(format!("lost its verification: {problem}"));
                        }
                        row.verified_at = None;
                        Some(problem.clone())
                    }
                    Outcome::Unreached(problem) => Some(problem.clone()),
                };
                row.last_check_at = Some(now);
                row.last_check_problem.clone_from(&problem);
                row.updated_at = now;
                store::save(db, &row)?;
                let seen = view(db, row.clone(), now)?;
                let action = if problem.is_none() {
                    "mcp_server.verified"
                } else {
                    "mcp_server.verification_failed"
                };
                let entry = event(&ctx, action, &row)
                    .outcome(if problem.is_none() { "ok" } else { "refused" })
                    .facts(json!({
                        "from": from,
                        "to": row.status,
                        "reached": !matches!(outcome, Outcome::Unreached(_)),
                        "fingerprint": seen.fingerprint,
                    }))
                    .details(json!({ "name": row.name, "url": row.url, "problem": problem }));
                aim_audit::append(db, vec![entry])?;
                Ok(VerificationView {
                    verified: problem.is_none(),
                    problem,
                    challenge: String::new(),
                    verification_url: String::new(),
                    verified_at: seen.verified_at,
                    mcp_server: seen,
                })
            })
            .await
    }
}

/// The key and the origin of a server that can be verified.
fn ready(row: &ServerRow) -> Result<(PublicKey, String)> {
    let state = |detail: &str| Error::new(Code::StateConflict, detail);
    moved(row, Move::Verify).map_err(aim_store::Error::into_core)?;
    let origin = address::origin(&row.url).ok_or_else(|| {
        state(
            "a server without a web address cannot be sent a challenge; the agents that use it can attest it",
        )
        .at("url")
    })?;
    let key = row.public_key.as_deref().ok_or_else(|| {
        state("register the server's public key first; it signs the challenge").at("public_key")
    })?;
    Ok((PublicKey::from_bytes(key).map_err(Error::internal)?, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_names_the_server_its_address_and_the_challenge() {
        let server: McpServerId = "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a".parse().unwrap();
        assert_eq!(
            challenge_message(server, "https://mcp.example.com/files", "c0ffee"),
            "AIM-MCP-CHALLENGE-V1\n0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a\nhttps://mcp.example.com/files\nc0ffee\n"
        );
    }
}
