//! What goes over the wire, as far as a client needs it. Fields that a newer server adds are kept in
//! `more`, so that printing an answer shows all of it.

use std::fmt;

use aim_crypto::secret::SecretString;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What the server is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edition {
    /// `community` or `premium`.
    pub edition: String,
    /// The server's version.
    pub version: String,
    /// Its capabilities.
    pub features: Vec<String>,
}

/// A sign-in.
#[derive(Debug, Clone, Deserialize)]
pub struct SignedIn {
    /// The bearer for [`crate::ClientBuilder::bearer`].
    pub access_token: SecretString,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Who signed in.
    pub user: Value,
}

/// An agent to be registered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NewAgent {
    /// Its unique name inside the organisation.
    pub name: String,
    /// A name for people; the server takes the unique one when this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its kind, such as `assistant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// The version of its software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The names of what it talks to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub talks_to: Vec<String>,
}

impl NewAgent {
    /// An agent with this name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// An agent as the server shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: Uuid,
    /// Its unique name.
    pub name: String,
    /// `active`, `suspended` or another state that the server names.
    pub status: String,
    /// The rest of what the server says of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Agent {
    /// A field of text beyond the ones named here.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.more.get(field).and_then(Value::as_str)
    }
}

/// Which agents are wanted.
#[derive(Debug, Clone, Default)]
pub struct AgentQuery {
    /// Part of a name or description.
    pub search: Option<String>,
    /// Only agents in this state.
    pub status: Option<String>,
    /// How many, 1 to 100; the server's default if absent.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentList {
    /// The agents.
    pub agents: Vec<Agent>,
    /// How many there are in all.
    #[serde(default)]
    pub total: i64,
    /// Where to go on; none on the last page.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// An agent's key as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyVault {
    /// The agent.
    pub agent_id: Uuid,
    /// Its unique name.
    pub agent_name: String,
    /// The current public key: standard base64 of the SPKI DER. None: every key was revoked.
    pub public_key: Option<String>,
    /// `Ed25519`.
    pub key_algorithm: String,
    /// When the current key was brought.
    pub key_created_at: Option<DateTime<Utc>>,
    /// When it is refused for its age.
    pub key_expires_at: Option<DateTime<Utc>>,
    /// When the key before it stops working; none unless one is in its grace period.
    pub key_rotation_grace_until: Option<DateTime<Utc>>,
    /// How often the key was exchanged.
    pub rotation_count: i64,
    /// Whether there was a key before.
    pub has_previous_public_key: bool,
    /// The name of the current key: its RFC 7638 thumbprint.
    pub fingerprint: Option<String>,
}

/// What an agent wants to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Action {
    /// The capability that it takes, such as `db:read`.
    pub action: String,
    /// What it wants to do it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The arguments that constraints look at.
    pub context: Map<String, Value>,
    /// Whether a person is to approve it first, whatever the grants say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approval_requested: bool,
}

/// The server's answer to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Go ahead.
    Approved,
    /// Do not.
    Denied,
    /// A person decides; ask again with [`crate::Client::poll`].
    Pending,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Pending => "pending",
        })
    }
}

/// A decision, with the evidence of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its id, for polling, reporting and the audit log.
    pub id: Uuid,
    /// Whether the agent may.
    pub status: Status,
    /// Stable codes of the reasons, the first first.
    #[serde(default)]
    pub reason_codes: Vec<String>,
    /// The rest of what the server says of it: reasons for people, the grant or policy that decided,
    /// risk, and the record in the audit log.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// How an approved action went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was tried and failed.
    Failure,
}
