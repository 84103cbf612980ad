//! Recognition of a text that was found somewhere: is it a key of AIM's, is it one of ours, and what is it worth?
//!
//! Form and checksum are told without a look into the database; whose it is, by the digest under which it would be
//! stored. Another tenant's key is as unknown as one that was never made.

use std::fmt;

use aim_audit::Entry;
use aim_core::{AgentId, Ctx, Error, RequiredPermission, Result, Timestamp};
use aim_crypto::token::{ParsedToken, TokenKind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    model::{AgentApiKeyId, AgentApiKeyStatus, TOKEN_KIND},
    permission::AgentApiKeysWrite,
    service::{AgentApiKeyService, refuse_agents},
    store,
};
use crate::{
    secret_wraps::{self, TOKEN_KIND as WRAP_TOKEN_KIND, WrapId, WrapState},
    vault::kinds::SecretValue,
};

/// The expression by which scanners find agent-scoped keys. The last six characters are the CRC-32 of all before them, in
/// base62 (`0-9A-Za-z`), most significant digit first.
pub const SCANNER_EXPRESSION: &str = r"\baim_agent_[0-9A-Za-z]{38}\b";
/// What a wrap token is called here.
const WRAP_TOKEN: &str = "wrap_token";
/// The longest text that is looked at, in bytes.
const LONGEST: usize = 512;

/// A text that may be a key.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecogniseToken {
    /// The text, as it was found.
    #[schema(value_type = String)]
    pub token: SecretValue,
}

impl fmt::Debug for RecogniseToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RecogniseToken([redacted])")
    }
}

/// What a text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recognition {
    /// Whether it has the form of a key of AIM's, and its checksum fits.
    pub well_formed: bool,
    /// What such a key is for: `agent_api_key`, `wrap_token`, `organization_api_key`, `session` or `setup`; null if it is none.
    pub kind: Option<String>,
    /// Whether it is an agent-scoped key or a wrap token of this organisation. Keys of other kinds are not looked up here.
    pub known: bool,
    /// In words.
    pub verdict: String,
    /// The key, if it is known.
    pub key: Option<RecognisedKey>,
    /// The wrap token, if it is known. Whoever may make such tokens can revoke it by its id.
    pub wrap: Option<RecognisedWrap>,
}

/// A wrap token that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecognisedWrap {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: WrapId,
    /// What it is worth now.
    pub state: WrapState,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// A key that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecognisedKey {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AgentApiKeyId,
    /// What people call it.
    pub name: String,
    /// The agent for which it acts.
    #[schema(value_type = uuid::Uuid)]
    pub agent_id: AgentId,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// What it is worth now.
    pub status: AgentApiKeyStatus,
    /// The first instant at which it is refused.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_from: Option<String>,
}

impl AgentApiKeyService {
    /// Tells what a text is, and leaves a record that somebody asked.
    ///
    /// # Errors
    /// `request.field_invalid` at `token` when it is empty or too long to be one.
    pub async fn recognise(&self, ctx: &Ctx, wanted: RecogniseToken) -> Result<Recognition> {
        refuse_agents(ctx, AgentApiKeysWrite::PERMISSION.name)?;
        let text = wanted.token.0.expose().trim();
        if text.is_empty() || text.len() > LONGEST {
            return Err(Error::field(
                "token",
                format!("send the text that was found, 1 to {LONGEST} bytes"),
            ));
        }
        let parsed = ParsedToken::parse_with(text, &[TOKEN_KIND, WRAP_TOKEN_KIND]);
        let (kind, digest, malformed) = match &parsed {
            Ok(token) => {
                let kind = token.kind();
                let ours = kind == TOKEN_KIND || kind == WRAP_TOKEN_KIND;
                let digest = ours.then(|| token.digest(&self.kernel.pepper));
                (Some(kind_text(kind)), digest, String::new())
            }
            Err(error) => (None, None, format!("this is no key of AIM's: {error}")),
        };
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let (row, wrap) = match &digest {
                    Some(digest) if kind == Some(WRAP_TOKEN) => {
                        (None, secret_wraps::known(db, ctx.organization, digest)?)
                    }
                    Some(digest) => (store::by_digest_of(db, ctx.organization, digest)?, None),
                    None => (None, None),
                };
                let wrap = wrap.map(|wrap| RecognisedWrap {
                    id: wrap.id,
                    state: wrap.state_at(ctx.now),
                    expires_at: wrap.expires_at,
                });
                let key = match row {
                    Some(row) => {
                        let agent = store::agent(db, ctx.organization, row.agent_id)?;
                        Some(RecognisedKey {
                            status: row.status(ctx.now),
                            id: row.id,
                            name: row.name,
                            agent_id: row.agent_id,
                            agent_name: agent.map(|(name, _)| name),
                            expires_at: row.expires_at,
                            last_used_at: row.last_used_at,
                            last_used_from: row.last_used_from,
                        })
                    }
                    None => None,
                };
                let known = key.is_some() || wrap.is_some();
                // Asking is an act of its own: who holds keys that are not theirs shall be seen.
                let mut entry = Entry::event(&ctx, "agent_api_key.recognised")
                    .outcome(if known { "found" } else { "not_found" })
                    .facts(json!({"kind": kind, "well_formed": kind.is_some()}));
                if let Some(key) = &key {
                    entry = entry.agent(key.agent_id).target("agent_api_key", key.id);
                }
                if let Some(wrap) = &wrap {
                    entry = entry.target("secret_wrap", wrap.id);
                }
                aim_audit::append(db, vec![entry])?;
                let verdict = match &wrap {
                    Some(wrap) => verdict_of_wrap(wrap.state).to_owned(),
                    None => verdict(kind, key.as_ref(), &malformed),
                };
                Ok(Recognition {
                    well_formed: kind.is_some(),
                    kind: kind.map(str::to_owned),
                    known,
                    verdict,
                    key,
                    wrap,
                })
            })
            .await
    }
}

fn kind_text(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::OrganizationKey => "organization_api_key",
        TokenKind::Session => "session",
        TokenKind::SetUp => "setup",
        WRAP_TOKEN_KIND => WRAP_TOKEN,
        _ => "agent_api_key",
    }
}

fn verdict_of_wrap(state: WrapState) -> &'static str {
    match state {
        WrapState::Active => {
            "this is a wrap token of this organisation, and it hands a secret over to whoever it is for: revoke it"
        }
        WrapState::Used => {
            "this is a wrap token of this organisation, and it was used: if not by whom it was meant for, rotate the secret"
        }
        WrapState::Revoked | WrapState::Expired => {
            "this is a wrap token of this organisation, and it hands nothing over any more"
        }
    }
}

fn verdict(kind: Option<&str>, key: Option<&RecognisedKey>, malformed: &str) -> String {
    match (kind, key) {
        (None, _) => malformed.to_owned(),
        (Some(_), Some(key)) => match key.status {
            AgentApiKeyStatus::Active | AgentApiKeyStatus::Rotating => {
                "this is a key of this organisation, and it is accepted: rotate or revoke it".to_owned()
            }
            AgentApiKeyStatus::Expired | AgentApiKeyStatus::Revoked => {
                "this is a key of this organisation, and it is not accepted any more".to_owned()
            }
        },
        (Some("agent_api_key"), None) => {
            "well formed, its checksum fits, and this organisation has no such key".to_owned()
        }
        (Some(WRAP_TOKEN), None) => {
            "well formed, its checksum fits, and this organisation knows no such wrap token: it has none, or it ended more than a day ago"
                .to_owned()
        }
        (Some(kind), None) => format!("well formed, a key of the kind {kind}, which is not looked up here"),
    }
}

#[cfg(test)]
mod tests {
    use aim_crypto::token::IssuedToken;

    use super::*;

    #[test]
    fn the_expression_for_scanners_has_the_form_of_a_token() {
        let token = IssuedToken::generate(TOKEN_KIND).unwrap();
        let text = token.text().expose();
        let rest = text.strip_prefix("aim_agent_").unwrap();
        assert!(SCANNER_EXPRESSION.contains("aim_agent_[0-9A-Za-z]{38}"));
        assert!(rest.len() == 38 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_text_is_not_printed() {
        let wanted: RecogniseToken = serde_json::from_value(json!({"token": "aim_agent_secret"})).unwrap();
        assert_eq!(format!("{wanted:?}"), "RecogniseToken([redacted])");
    }
}
