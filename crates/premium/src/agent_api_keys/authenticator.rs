//! Recognises agent-scoped API keys. Each request looks at the rows afresh: nothing is cached, so a
//! revocation or suspension counts on the very next request, on every node.

use aim_core::{Actor, AgentCredential, Code, Error, Json, Result, Timestamp, ctx::CredentialLimits};
use aim_crypto::token::ParsedToken;
use aim_platform::{Authenticated, Authenticator, Kernel, RequestHead, auth::AuthFuture};
use aim_store::Scope;
use chrono::TimeDelta;

use super::{
    model::TOKEN_KIND,
    store::{self, AgentApiKeyRow},
};

/// A use is noted at most this often, in seconds: a busy key does not write with every request.
const NOTED_EVERY_SECONDS: i64 = 60;

/// `Authorization: Bearer aim_agent_…` or `X-API-Key: aim_agent_…`.
#[derive(Clone)]
pub struct AgentApiKeyAuthenticator {
    kernel: Kernel,
}

impl AgentApiKeyAuthenticator {
    /// An authenticator on this kernel's store and pepper.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Who presents the key of this text, and from where. Whether it may be used from there is for the decision to say, so
    /// that a key used elsewhere leaves a violation; other routes ask `aim_platform::standing`.
    ///
    /// # Errors
    /// `auth.credentials_invalid`: one answer for keys that are malformed, unknown, revoked, expired or
    /// whose agent is not active.
    pub async fn authenticate_text(
        &self,
        text: &str,
        now: Timestamp,
        from: Option<&str>,
    ) -> Result<Authenticated> {
        let token = ParsedToken::parse_with(text, &[TOKEN_KIND]).map_err(|_| refusal())?;
        let digest = token.digest(&self.kernel.pepper);
        let row = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                let Some(row) = store::by_digest(db, &digest)? else {
                    return Ok(None);
                };
                let agent = store::agent(db, row.org_id, row.agent_id)?;
                let active = agent.is_some_and(|(_, status)| status == "active");
                Ok(Some(row).filter(|row| active && row.status(now).is_accepted()))
            })
            .await?
            .ok_or_else(refusal)?;
        let (organization, id) = (row.org_id, row.id);
        self.note_use(&row, now, from).await;
        Ok(Authenticated {
            actor: Actor::Agent {
                id: row.agent_id,
                credential: AgentCredential::Limited {
                    id: id.uuid(),
                    capabilities: row.capabilities.strings(),
                    limits: CredentialLimits {
                        secret_paths: row.secret_paths.as_ref().map(Json::strings),
                        addresses: row.addresses.as_ref().map(Json::strings),
                        presented_from: from.map(str::to_owned),
                    },
                },
            },
            organization,
            nonce: None,
            scheme: "agent_api_key",
        })
    }

    /// Keeps time and address of the last use, to the minute. That it cannot is no reason to refuse the request.
    async fn note_use(&self, row: &AgentApiKeyRow, now: Timestamp, from: Option<&str>) {
        let noted = row.last_used_at;
        if noted.is_some_and(|noted| now - noted < TimeDelta::seconds(NOTED_EVERY_SECONDS)) {
            return;
        }
        let (organization, id, from) = (row.org_id, row.id, from.map(str::to_owned));
        let noted = self
            .kernel
            .store
            .write(organization, move |db| {
                store::touch(db, organization, id, now, from.as_deref())
            })
            .await;
        if let Err(error) = noted {
            tracing::warn!(?error, "the last use of an agent's API key could not be noted");
        }
    }
}

impl Authenticator for AgentApiKeyAuthenticator {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        presented(head).is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move {
            let text = presented(head).ok_or_else(refusal)?;
            self.authenticate_text(text, head.now, head.source_ip).await
        })
    }
}

/// The key that the request carries, if it carries one of ours.
fn presented<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    [head.bearer(), head.header("x-api-key")]
        .into_iter()
        .flatten()
        .map(str::trim)
        .find(|text| text.starts_with(TOKEN_KIND.prefix()))
}

fn refusal() -> Error {
    Error::new(
        Code::CredentialsInvalid,
        "this agent API key is unknown, revoked or expired, or its agent is not active",
    )
}
