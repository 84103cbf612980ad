//! The context a use case runs in: who acts, for which tenant, when, and in which request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{AgentId, ApiKeyId, OrganizationId, Role, SessionId, Timestamp, UserId, id::Id, id::uuid_at};

/// How an agent proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCredential {
    /// A signature by the key with this fingerprint.
    Key {
        /// RFC 7638 thumbprint of the key.
        fingerprint: String,
    },
    /// A credential that may use only some of the agent's capabilities.
    Limited {
        /// The id of the credential.
        id: Uuid,
        /// Capability patterns that it may use.
        capabilities: Vec<String>,
        /// What narrows it further.
        limits: CredentialLimits,
    },
}

/// What narrows a credential besides its capabilities. The default narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialLimits {
    /// Patterns of the secrets that it may reach; none: all that its agent may.
    pub secret_paths: Option<Vec<String>>,
    /// The networks from which it may be used; none: anywhere.
    pub addresses: Option<Vec<String>>,
    /// The address from which it was used, if it is known.
    pub presented_from: Option<String>,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Nobody that we know.
    Anonymous,
    /// A signed-in user.
    User {
        /// The user.
        id: UserId,
        /// The user's role at this request.
        role: Role,
        /// The session that was presented.
        session: SessionId,
    },
    /// An organisation API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// The role it was made with.
        role: Role,
    },
    /// An agent.
    Agent {
        /// The agent.
        id: AgentId,
        /// How it proved itself.
        credential: AgentCredential,
    },
    /// AIM itself: a job or a command of the operator.
    System(&'static str),
}

impl Actor {
    /// The actor's kind, as the audit log names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User { .. } => "user",
            Self::ApiKey { .. } => "api_key",
            Self::Agent { .. } => "agent",
            Self::System(_) => "system",
        }
    }

    /// The actor's id, or the job's name.
    #[must_use]
    pub fn id_text(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::User { id, .. } => Some(id.to_string()),
            Self::ApiKey { id, .. } => Some(id.to_string()),
            Self::Agent { id, .. } => Some(id.to_string()),
            Self::System(name) => Some((*name).to_owned()),
        }
    }

    /// The role, for people and organisation keys.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::User { role, .. } | Self::ApiKey { role, .. } => Some(*role),
            _ => None,
        }
    }
}

/// Everything a use case knows about its call.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who acts.
    pub actor: Actor,
    /// For which tenant.
    pub organization: OrganizationId,
    /// The id of the request, as the answer carries it.
    pub request_id: Uuid,
    /// The moment of the request: one for the whole use case.
    pub now: Timestamp,
    /// The caller's address as far as it is known.
    pub source_ip: Option<String>,
    /// The caller's user agent, cut to 256 characters.
    pub user_agent: Option<String>,
}

impl Ctx {
    /// The context of a job or an operator's command.
    #[must_use]
    pub fn system(name: &'static str, organization: OrganizationId, now: Timestamp) -> Self {
        Self {
            actor: Actor::System(name),
            organization,
            request_id: uuid_at(now),
            now,
            source_ip: None,
            user_agent: None,
        }
    }

    /// A new id that carries this call's moment.
    #[must_use]
    pub fn new_id<Kind>(&self) -> Id<Kind> {
        Id::generate(self.now)
    }
}

/// The actor as the audit log and lists show it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
pub struct ActorRef {
    /// `user`, `api_key`, `agent`, `system` or `anonymous`.
    pub kind: String,
    /// Its id.
    pub id: Option<String>,
}

impl From<&Actor> for ActorRef {
    fn from(actor: &Actor) -> Self {
        Self {
            kind: actor.kind().to_owned(),
            id: actor.id_text(),
        }
    }
}

impl Ctx {
    /// Holds an agent to itself: people and organisation keys pass, an agent passes for its own id only.
    ///
    /// # Errors
    /// The answer for an unknown id, so that an agent cannot tell which others exist.
    pub fn acts_for(&self, agent: AgentId) -> crate::Result<()> {
        match &self.actor {
            Actor::Agent { id, .. } if *id == agent => Ok(()),
            Actor::Agent { .. } | Actor::Anonymous => Err(crate::Error::not_found()),
            Actor::User { .. } | Actor::ApiKey { .. } | Actor::System(_) => Ok(()),
        }
    }

    /// The actor as `kind:id`, for columns that name who did something.
    #[must_use]
    pub fn actor_text(&self) -> String {
        match self.actor.id_text() {
            Some(id) => format!("{}:{id}", self.actor.kind()),
            None => self.actor.kind().to_owned(),
        }
    }
}
