//! Reading a secret: a signed action like any other, whose answer only this request can open.
//!
//! For each read a key pair is made, its public half stands in the body that the agent signs, and the
//! server seals the secret to it. Nothing is kept here, and nothing ever on a disk; [`SecretCache`] keeps some in memory.

mod cache;
mod changes;
mod wraps;

use std::collections::BTreeMap;

use aim_crypto::{
    sealing::{RecipientKey, Sealed, SealingError, SecretInfo, open},
    secret::SecretString,
};
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    client::{Client, Reply},
    error::Error,
    model::{Decision, Status},
};

pub use cache::{CacheLimits, SecretCache};
pub use changes::{Change, Changes};
pub use wraps::{UnwrappedSecret, Wrap};

/// Where secrets are read.
const READS: &str = "/api/v1/vault/reads";

/// A secret that was read. `Debug` shows the names of its fields and `[redacted]`.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Where it lies in the vault.
    pub path: String,
    /// The version that was read.
    pub version: i64,
    /// What it is: `api_key`, `password`, `database` and so on.
    pub kind: String,
    /// When it stops being valid, if that is known.
    pub expires_at: Option<DateTime<Utc>>,
    /// The decision that allowed the read.
    pub decision: Decision,
    fields: BTreeMap<String, SecretString>,
}

impl Secret {
    /// A field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&SecretString> {
        self.fields.get(name)
    }

    /// The field that is meant when none is named: the only one, or `value`.
    #[must_use]
    pub fn main_field(&self) -> Option<(&str, &SecretString)> {
        let mut fields = self.fields();
        match (fields.next(), fields.next()) {
            (only, None) => only,
            _ => self
                .fields
                .get_key_value("value")
                .map(|(name, value)| (name.as_str(), value)),
        }
    }

    /// All fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// Why a secret was not handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The agent may not read it.
    #[error("the agent may not read {path}: {} (decision {})", why(decision), decision.id)]
    Denied {
        /// What was asked for.
        path: String,
        /// The decision, with its reasons.
        decision: Box<Decision>,
    },
    /// A person decides first.
    #[error("a person has to approve the read of {path}: {} (decision {})", why(decision), decision.id)]
    Pending {
        /// What was asked for.
        path: String,
        /// The decision, with its reasons.
        decision: Box<Decision>,
    },
    /// The agent may read there, and nothing is there.
    #[error("there is no secret {path}{}, or the server has no vault", of_version(*version))]
    NotFound {
        /// What was asked for.
        path: String,
        /// The version that was asked for.
        version: Option<i64>,
    },
    /// The server's vault is sealed: an operator has to unseal it.
    #[error("the vault of the server is sealed; an operator has to unseal it")]
    Sealed,
    /// The answer was not sealed to this request, or speaks of another secret.
    #[error("the answer for {path} cannot be opened: {reason}")]
    Unopened {
        /// What was asked for.
        path: String,
        /// What is wrong with it; never a part of the answer.
        reason: String,
    },
    /// The call itself failed.
    #[error(transparent)]
    Call(#[from] Error),
}

/// The reasons of a decision for people, in their order.
fn why(decision: &Decision) -> String {
    let reasons = decision.more.get("reasons").and_then(Value::as_array);
    let said: Vec<&str> = reasons
        .into_iter()
        .flatten()
        .filter_map(|reason| reason.get("message").and_then(Value::as_str))
        .collect();
    if said.is_empty() {
        decision.reason_codes.join(", ")
    } else {
        said.join("; ")
    }
}

fn of_version(version: Option<i64>) -> String {
    version
        .map(|version| format!(" of version {version}"))
        .unwrap_or_default()
}

/// What the agent signs.
#[derive(Serialize)]
struct Ask<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    seal_to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    context: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Answer {
    decision: Decision,
    #[serde(default)]
    secret: Option<Delivered>,
    #[serde(default)]
    sealed: Option<Sealed>,
}

#[derive(Deserialize)]
struct Delivered {
    organization_id: Uuid,
    path: String,
    version: i64,
    kind: String,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// What was sealed.
#[derive(Deserialize)]
struct Content {
    kind: String,
    fields: BTreeMap<String, SecretString>,
}

impl Client {
    /// Reads a secret: the newest version, or the one that is named.
    ///
    /// # Errors
    /// [`SecretError::Denied`] and [`SecretError::Pending`] with the decision; see [`SecretError`].
    pub async fn read_secret(&self, path: &str, version: Option<i64>) -> Result<Secret, SecretError> {
        self.read_secret_with(path, version, &Map::new()).await
    }

    /// As [`Self::read_secret`], with the arguments that constraints of grants look at.
    ///
    /// # Errors
    /// As [`Self::read_secret`].
    pub async fn read_secret_with(
        &self,
        path: &str,
        version: Option<i64>,
        context: &Map<String, Value>,
    ) -> Result<Secret, SecretError> {
        self.ask_for_secret(path, version, None, context).await
    }

    /// Takes up a read that a person has approved by now: `decision` is that of [`SecretError::Pending`], and
    /// [`Client::poll`] tells when it is approved. Each approval is good for one read of the path and version that
    /// were asked for then.
    ///
    /// # Errors
    /// As [`Self::read_secret`]; `resource.state` when the approval was used before, is too old, or would be a denial
    /// by now.
    pub async fn take_up_secret(
        &self,
        path: &str,
        version: Option<i64>,
        decision: Uuid,
    ) -> Result<Secret, SecretError> {
        self.ask_for_secret(path, version, Some(decision), &Map::new())
            .await
    }

    async fn ask_for_secret(
        &self,
        path: &str,
        version: Option<i64>,
        decision_id: Option<Uuid>,
        context: &Map<String, Value>,
    ) -> Result<Secret, SecretError> {
        let agent = self.identity().ok_or(Error::NoIdentity)?.agent_id;
        let key = RecipientKey::generate().map_err(Error::from)?;
        let ask = Ask {
            path,
            version,
            seal_to: key.public_text(),
            decision_id,
            context,
        };
        let reply = self.send(self.prepare(Method::POST, READS, Some(&ask))?).await?;
        let secret = opened(&reply, &key, agent, path, version)?;
        if decision_id.is_some_and(|asked| asked != secret.decision.id) {
            return Err(SecretError::Unopened {
                path: path.to_owned(),
                reason: "it speaks of another decision".to_owned(),
            });
        }
        Ok(secret)
    }
}

fn opened(
    reply: &Reply,
    key: &RecipientKey,
    agent: Uuid,
    path: &str,
    asked: Option<i64>,
) -> Result<Secret, SecretError> {
    let unopened = |reason: &str| SecretError::Unopened {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let (decision, secret, sealed) = match answered(reply, path, asked)? {
        Answer {
            decision,
            secret: Some(secret),
            sealed: Some(sealed),
        } => (decision, secret, sealed),
        _ => return Err(unopened("it holds no sealed secret")),
    };
    if secret.path != path || asked.is_some_and(|asked| asked != secret.version) {
        return Err(unopened("it speaks of another secret or version"));
    }
    // The occasion as this side knows it: a secret sealed for another agent or decision does not open.
    let info = SecretInfo {
        organization: &secret.organization_id.to_string(),
        agent: &agent.to_string(),
        decision: &decision.id.to_string(),
        path,
        version: secret.version,
    };
    let plain =
        open(key, &info.bytes(), &sealed).map_err(|error: SealingError| unopened(&error.to_string()))?;
    // serde's message may quote what it read.
    let content: Content = serde_json::from_slice(&plain)
        .map_err(|_| unopened("what was sealed is no secret of this version"))?;
    if content.kind != secret.kind {
        return Err(unopened("the kind outside is not the kind inside"));
    }
    Ok(Secret {
        path: secret.path,
        version: secret.version,
        kind: content.kind,
        expires_at: secret.expires_at,
        decision,
        fields: content.fields,
    })
}

/// The approved answer. The HTTP status and the decision both have to say so.
fn answered(reply: &Reply, path: &str, version: Option<i64>) -> Result<Answer, SecretError> {
    let said = match reply.status {
        201 => Status::Approved,
        202 => Status::Pending,
        403 => Status::Denied,
        _ => {
            return Err(match reply.checked() {
                Err(Error::Refused(problem)) if problem.status == 404 => SecretError::NotFound {
                    path: path.to_owned(),
                    version,
                },
                Err(Error::Refused(problem)) if problem.code == "vault.sealed" => SecretError::Sealed,
                Err(error) => error.into(),
                Ok(()) => unexpected(reply, "a read is answered with 201, 202 or 403"),
            });
        }
    };
    let Ok(answer) = serde_json::from_slice::<Answer>(&reply.body) else {
        // 403 is also the answer to a caller who is no agent.
        reply.checked()?;
        return Err(unexpected(reply, "the body holds no decision"));
    };
    if answer.decision.status != said {
        return Err(unexpected(reply, "the body says another verdict than the status"));
    }
    let (path, decision) = (path.to_owned(), Box::new(answer.decision.clone()));
    match said {
        Status::Approved => Ok(answer),
        Status::Pending => Err(SecretError::Pending { path, decision }),
        Status::Denied => Err(SecretError::Denied { path, decision }),
    }
}

fn unexpected(reply: &Reply, reason: &str) -> SecretError {
    Error::UnexpectedAnswer {
        status: reply.status,
        reason: reason.to_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests;
