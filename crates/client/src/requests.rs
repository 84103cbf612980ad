//! The calls: registering, rotating, asking.

use aim_crypto::{
    keys::SigningKey,
    possession::{Purpose, possession_message, rotation_message},
    secret::SecretString,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    client::{Client, Reply},
    error::{Error, Result},
    identity::AgentIdentity,
    model::{
        Action, Agent, AgentList, AgentQuery, Decision, Edition, KeyVault, NewAgent, Outcome, SignedIn,
        Status,
    },
};

const NO_BODY: Option<&()> = None;

#[derive(Deserialize)]
struct Challenge {
    challenge: String,
}

/// A registration with a key of one's own.
#[derive(Serialize)]
struct Registration<'a> {
    #[serde(flatten)]
    agent: &'a NewAgent,
    public_key: String,
    challenge: &'a str,
    proof: String,
}

/// How a key is exchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Why; kept in the key's history.
    pub reason: Option<String>,
    /// How long the previous key still works, in hours; the server's default if absent, 0 for not at all.
    pub grace_hours: Option<u32>,
}

impl Client {
    /// What the server is. Needs no credentials.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn edition(&self) -> Result<Edition> {
        self.call(Method::GET, "/api/v1/edition", NO_BODY).await
    }

    /// Signs a person in. Give the token to [`Client::as_bearer`].
    ///
    /// # Errors
    /// `auth.sign_in_refused` when e-mail or password is wrong, or the account is locked.
    pub async fn login(&self, email: &str, password: &SecretString) -> Result<SignedIn> {
        let body = json!({ "email": email, "password": password.expose() });
        self.call(Method::POST, "/api/v1/auth/login", Some(&body)).await
    }

    /// Registers an agent with a key pair that is made here. The private key is in the answer and
    /// nowhere else: save it, see [`crate::KeyFolder::save`].
    ///
    /// # Errors
    /// `resource.name_taken`, `auth.forbidden` and so on; see [`Error`].
    pub async fn create_agent(&self, agent: &NewAgent) -> Result<AgentIdentity> {
        let key = SigningKey::generate()?;
        let registered = self.register_with_key(agent, &key).await?;
        Ok(AgentIdentity::new(
            registered.name,
            registered.id,
            self.server(),
            key,
        ))
    }

    /// Registers an agent with a key pair that exists already.
    ///
    /// # Errors
    /// As [`Self::create_agent`].
    pub async fn register_with_key(&self, agent: &NewAgent, key: &SigningKey) -> Result<Agent> {
        let challenge: Challenge = self
            .call(Method::POST, "/api/v1/agents/challenges", NO_BODY)
            .await?;
        let public = key.public();
        let message = possession_message(Purpose::Register, &challenge.challenge, &public);
        let registration = Registration {
            agent,
            public_key: public.spki_base64(),
            challenge: &challenge.challenge,
            proof: STANDARD.encode(key.sign(&message)),
        };
        self.call(Method::POST, "/api/v1/agents", Some(&registration))
            .await
    }

    /// A page of the organisation's agents.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agents(&self, query: &AgentQuery) -> Result<AgentList> {
        let mut pairs = Vec::new();
        let mut add = |name: &str, value: Option<&str>| {
            pairs.extend(
                value.map(|value| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))),
            );
        };
        add("q", query.search.as_deref());
        add("status", query.status.as_deref());
        add("limit", query.limit.map(|limit| limit.to_string()).as_deref());
        add("cursor", query.cursor.as_deref());
        let query = if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        };
        self.call(Method::GET, &format!("/api/v1/agents{query}"), NO_BODY)
            .await
    }

    /// One agent.
    ///
    /// # Errors
    /// `resource.not_found` for an id that does not exist in the organisation.
    pub async fn agent(&self, id: Uuid) -> Result<Agent> {
        self.call(Method::GET, &format!("/api/v1/agents/{id}"), NO_BODY)
            .await
    }

    /// The agent with this unique name, if there is one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_named(&self, name: &str) -> Result<Option<Agent>> {
        let mut query = AgentQuery {
            search: Some(name.to_owned()),
            limit: Some(100),
            ..AgentQuery::default()
        };
        loop {
            let page = self.agents(&query).await?;
            if let Some(agent) = page.agents.into_iter().find(|agent| agent.name == name) {
                return Ok(Some(agent));
            }
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => return Ok(None),
            }
        }
    }

    /// The state of an agent's key.
    ///
    /// # Errors
    /// `resource.not_found` for an id that does not exist, or is not the agent's own.
    pub async fn key_vault(&self, agent: Uuid) -> Result<KeyVault> {
        self.call(Method::GET, &format!("/api/v1/agents/{agent}/key-vault"), NO_BODY)
            .await
    }

    /// Exchanges the agent's own key for `next`: the old key signs the new one in, the new one proves
    /// that its private half is here. The answer is the agent with its new key. Save `next` before
    /// ([`crate::KeyFolder::save_next`]): when the answer gets lost, it may be the key that counts.
    ///
    /// # Errors
    /// [`Error::NoIdentity`] for a client that is no agent; see [`Error`].
    pub async fn rotate(&self, next: SigningKey, rotation: &Rotation) -> Result<AgentIdentity> {
        let identity = self.identity().ok_or(Error::NoIdentity)?;
        let vault = format!("/api/v1/agents/{}/key-vault", identity.agent_id);
        let challenge: Challenge = self
            .call(Method::POST, &format!("{vault}/challenges"), NO_BODY)
            .await?;
        let public = next.public();
        let proof = next.sign(&possession_message(
            Purpose::Rotate,
            &challenge.challenge,
            &public,
        ));
        let agent_id = identity.agent_id.to_string();
        let consent = identity
            .key()
            .sign(&rotation_message(&agent_id, &challenge.challenge, &public));
        let mut body = json!({
            "public_key": public.spki_base64(),
            "challenge": challenge.challenge,
            "proof": STANDARD.encode(proof),
            "previous_signature": STANDARD.encode(consent),
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(
                rotation
                    .reason
                    .clone()
                    .map(|reason| ("reason".to_owned(), reason.into())),
            );
            members.extend(
                rotation
                    .grace_hours
                    .map(|hours| ("grace_hours".to_owned(), hours.into())),
            );
        }
        let _: Value = self
            .call(Method::POST, &format!("{vault}/rotate"), Some(&body))
            .await?;
        Ok(identity.with_key(next))
    }

    /// Asks whether the agent may do `action`, and leaves evidence of the answer. A refusal to let the
    /// agent act is a decision ([`crate::Status::Denied`]), not an error.
    ///
    /// # Errors
    /// When the request itself was refused: a signature that is not fresh, an unknown key.
    pub async fn verify(
        &self,
        action: &str,
        resource: Option<&str>,
        context: Map<String, Value>,
    ) -> Result<Decision> {
        let resource = resource.map(str::to_owned);
        self.act(&Action {
            action: action.to_owned(),
            resource,
            context,
            approval_requested: false,
        })
        .await
    }

    /// As [`Self::verify`], with all that an action can say.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn act(&self, action: &Action) -> Result<Decision> {
        decision_of(
            &self
                .send(self.prepare(Method::POST, "/api/v1/verifications", Some(action))?)
                .await?,
        )
    }

    /// The decision as it stands: a pending one becomes approved or denied when a person decides.
    ///
    /// # Errors
    /// `resource.not_found` for a decision that is not the caller's to see.
    pub async fn poll(&self, decision: Uuid) -> Result<Decision> {
        self.call(Method::GET, &format!("/api/v1/verifications/{decision}"), NO_BODY)
            .await
    }

    /// Tells how an approved action went.
    ///
    /// # Errors
    /// `resource.state` when it was told before.
    pub async fn report_result(&self, decision: Uuid, outcome: Outcome, summary: Option<&str>) -> Result<()> {
        let body = json!({ "outcome": outcome, "summary": summary });
        let path = format!("/api/v1/verifications/{decision}/result");
        self.send(self.prepare(Method::POST, &path, Some(&body))?)
            .await?
            .checked()
    }
}

/// The decision in the answer to an action. The HTTP status says it too (201, 202, 403): where the two
/// disagree, something in between altered the answer, and it allows nothing.
pub(crate) fn decision_of(reply: &Reply) -> Result<Decision> {
    let said = match reply.status {
        201 => Status::Approved,
        202 => Status::Pending,
        403 => Status::Denied,
        _ => {
            reply.checked()?;
            return Err(Error::UnexpectedAnswer {
                status: reply.status,
                reason: "an action is answered with 201, 202 or 403".to_owned(),
            });
        }
    };
    match serde_json::from_slice::<Decision>(&reply.body) {
        Ok(decision) if decision.status == said => Ok(decision),
        Ok(decision) => Err(Error::UnexpectedAnswer {
            status: reply.status,
            reason: format!("the body says {}, and the status does not", decision.status),
        }),
        // 403 is also the answer to a caller who is no agent.
        Err(error) => {
            reply.checked()?;
            Err(Error::UnexpectedAnswer {
                status: reply.status,
                reason: error.to_string(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            request_id: None,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_decision_counts_only_when_status_and_body_agree() {
        let body = |status: &str| {
            format!(
                r#"{{"id":"00000000-0000-0000-0000-000000000007","status":"{status}","reason_codes":["granted"],"risk":"low"}}"#
            )
        };
        for (status, text, expected) in [
            (201, "approved", Status::Approved),
            (202, "pending", Status::Pending),
            (403, "denied", Status::Denied),
        ] {
            let decision = decision_of(&reply(status, &body(text))).unwrap();
            assert_eq!(decision.status, expected);
            assert_eq!(decision.more.get("risk").and_then(Value::as_str), Some("low"));
        }
        for (status, text) in [
            (200, "approved"),
            (201, "denied"),
            (403, "approved"),
            (202, "approved"),
            (201, "fine"),
        ] {
            assert!(
                matches!(
                    decision_of(&reply(status, &body(text))),
                    Err(Error::UnexpectedAnswer { .. })
                ),
                "{status} {text}"
            );
        }
    }

    #[test]
    fn a_refusal_of_the_caller_is_no_decision() {
        let problem =
            r#"{"status":403,"code":"auth.forbidden","title":"T","detail":"only an agent can ask"}"#;
        assert_eq!(
            decision_of(&reply(403, problem)).unwrap_err().code(),
            Some("auth.forbidden")
        );
    }
}
