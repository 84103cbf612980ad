//! What an agent is, and the rules for its fields.

use aim_core::{AgentId, Error, OrganizationId, PageRequest, Result, Timestamp, UserId};
use aim_crypto::{keys::PublicKey, secret::SecretString};
use aim_decision::AgentStatus;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::rules::{check_agent_type, check_list, check_name, check_text, check_url};

/// The most tags of one agent.
const MOST_TAGS: usize = 32;
/// The most names in `talks_to`.
const MOST_PEERS: usize = 64;

/// An agent, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgentView {
    /// The agent's id.
    pub id: AgentId,
    /// Its organisation.
    pub organization_id: OrganizationId,
    /// Its name, unique in the organisation.
    #[schema(example = "billing-agent")]
    pub name: String,
    /// The name that people read.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// What kind of agent it is.
    #[schema(example = "ai_agent")]
    pub agent_type: String,
    /// Its own version.
    pub version: String,
    /// `active`, `suspended` or `revoked` (deleted).
    pub status: AgentStatus,
    /// The user who answers for it.
    pub owner_id: Option<UserId>,
    /// Tags.
    pub tags: Vec<String>,
    /// The agents and servers that it talks to.
    pub talks_to: Vec<String>,
    /// Where its source is.
    pub repository_url: Option<String>,
    /// Where its documentation is.
    pub documentation_url: Option<String>,
    /// How far it is trusted; null until something scores it.
    pub trust_score: Option<i64>,
    /// The current public key: base64 of the SPKI DER. Null when the key was revoked and none took its place.
    #[schema(example = "MCowBQYDK2VwAyEAO2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=")]
    pub public_key: Option<String>,
    /// The current key's RFC 7638 thumbprint: the `keyid` of its signatures.
    pub fingerprint: Option<String>,
    /// The first instant at which the current key is refused for its age.
    pub key_expires_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When anything of this last changed.
    pub updated_at: Timestamp,
    /// Who registered it, as `kind:id`.
    pub created_by: String,
}

/// A page of agents.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentList {
    /// The agents.
    pub agents: Vec<AgentView>,
    /// How many fit the filters in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}

/// What became of agents that were to be suspended together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SuspendedAgents {
    /// Those that were active, and are suspended now.
    pub suspended: Vec<AgentId>,
    /// Those that were not active before.
    pub unchanged: Vec<AgentId>,
}

/// A public key, and the proof that whoever brings it holds its private half.
#[derive(Debug, Clone)]
pub struct ProvenKey {
    /// The key.
    pub public_key: PublicKey,
    /// The challenge that was signed.
    pub challenge: String,
    /// The signature over [`aim_crypto::possession::possession_message`]: 64 bytes.
    pub proof: Vec<u8>,
}

/// An agent to be registered.
#[derive(Debug, Clone, Default)]
pub struct NewAgent {
    /// Its name: 1 to 128 of letters, digits, space, `.`, `_` and `-`.
    pub name: String,
    /// The name that people read; the name itself when left out.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: String,
    /// What kind of agent it is: a slug; empty for `ai_agent`.
    pub agent_type: String,
    /// Its own version.
    pub version: String,
    /// At most 32 tags of at most 64 characters.
    pub tags: Vec<String>,
    /// At most 64 names of at most 128 characters.
    pub talks_to: Vec<String>,
    /// The user who answers for it; whoever registers it when left out.
    pub owner_id: Option<UserId>,
    /// Where its source is.
    pub repository_url: Option<String>,
    /// Where its documentation is.
    pub documentation_url: Option<String>,
    /// The client's own key; none where AIM makes the pair.
    pub key: Option<ProvenKey>,
}

impl NewAgent {
    /// Fills in what was left out and checks the rest.
    ///
    /// # Errors
    /// `request.field_invalid` naming the first field that is not accepted.
    pub(crate) fn checked(mut self) -> Result<Self> {
        if self.agent_type.is_empty() {
            "ai_agent".clone_into(&mut self.agent_type);
        }
        let display_name = self.display_name.filter(|name| !name.is_empty());
        let display_name = display_name.unwrap_or_else(|| self.name.clone());
        check_name(&self.name)?;
        check_text("display_name", &display_name, 256)?;
        check_text("description", &self.description, 4096)?;
        check_agent_type(&self.agent_type)?;
        check_text("version", &self.version, 64)?;
        check_list("tags", &self.tags, MOST_TAGS, 64)?;
        check_list("talks_to", &self.talks_to, MOST_PEERS, 128)?;
        check_url("repository_url", self.repository_url.as_deref())?;
        check_url("documentation_url", self.documentation_url.as_deref())?;
        Ok(Self {
            display_name: Some(display_name),
            ..self
        })
    }
}

/// A registered agent whose key pair was made here. The private key is shown in this answer only and kept nowhere.
#[derive(Debug)]
pub struct RegisteredAgent {
    /// The agent.
    pub agent: AgentView,
    /// The public half.
    pub public_key: PublicKey,
    /// The private half: base64 of seed and public key, 64 bytes.
    pub private_key: SecretString,
}

/// Changes to an agent; what is left out stays as it is, and null empties a field that may be empty.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateAgent {
    /// Its name, unique in the organisation.
    pub name: Option<String>,
    /// The name that people read.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What kind of agent it is: a slug.
    pub agent_type: Option<String>,
    /// Its own version.
    pub version: Option<String>,
    /// All its tags.
    pub tags: Option<Vec<String>>,
    /// All the agents and servers that it talks to.
    pub talks_to: Option<Vec<String>>,
    /// The user who answers for it.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub owner_id: Option<Option<UserId>>,
    /// Where its source is.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub repository_url: Option<Option<String>>,
    /// Where its documentation is.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub documentation_url: Option<Option<String>>,
}

/// Tells a field that is null from one that is not there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(json).map(Some)
}

impl UpdateAgent {
    /// Checks every field that is there.
    ///
    /// # Errors
    /// `request.field_invalid` naming the first field that is not accepted.
    pub(crate) fn check(&self) -> Result<()> {
        self.name.as_deref().map_or(Ok(()), check_name)?;
        self.display_name
            .as_deref()
            .map_or(Ok(()), |text| check_text("display_name", text, 256))?;
        self.description
            .as_deref()
            .map_or(Ok(()), |text| check_text("description", text, 4096))?;
        self.agent_type.as_deref().map_or(Ok(()), check_agent_type)?;
        self.version
            .as_deref()
            .map_or(Ok(()), |text| check_text("version", text, 64))?;
        self.tags
            .as_deref()
            .map_or(Ok(()), |tags| check_list("tags", tags, MOST_TAGS, 64))?;
        self.talks_to
            .as_deref()
            .map_or(Ok(()), |names| check_list("talks_to", names, MOST_PEERS, 128))?;
        check_url(
            "repository_url",
            self.repository_url.as_ref().and_then(Option::as_deref),
        )?;
        check_url(
            "documentation_url",
            self.documentation_url.as_ref().and_then(Option::as_deref),
        )
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AgentSort {
    /// By name.
    Name,
    /// By name, backwards.
    NameDescending,
    /// The oldest first.
    Created,
    /// The newest first.
    #[default]
    CreatedDescending,
}

impl AgentSort {
    /// Reads `name`, `-name`, `created_at` or `-created_at`.
    ///
    /// # Errors
    /// `request.field_invalid` at `sort`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "name" => Ok(Self::Name),
            "-name" => Ok(Self::NameDescending),
            "created_at" => Ok(Self::Created),
            "-created_at" => Ok(Self::CreatedDescending),
            _ => Err(Error::field(
                "sort",
                "sort is name, -name, created_at or -created_at",
            )),
        }
    }
}

/// Which agents a list shows. Deleted ones only where `statuses` asks for them.
#[derive(Debug, Clone, Default)]
pub struct AgentFilter {
    /// Part of the name, display name or description, in whatever case.
    pub text: Option<String>,
    /// Any of these states.
    pub statuses: Vec<AgentStatus>,
    /// Of this type.
    pub agent_type: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this owner.
    pub owner: Option<UserId>,
    /// In this order.
    pub sort: AgentSort,
    /// Which part of the list.
    pub page: PageRequest,
}

/// The status of that name.
pub(crate) fn parse_status(text: &str) -> Option<AgentStatus> {
    match text {
        "active" => Some(AgentStatus::Active),
        "suspended" => Some(AgentStatus::Suspended),
        "revoked" => Some(AgentStatus::Revoked),
        _ => None,
    }
}

/// The status's name in the database.
pub(crate) const fn status_text(status: AgentStatus) -> &'static str {
    match status {
        AgentStatus::Active => "active",
        AgentStatus::Suspended => "suspended",
        AgentStatus::Revoked => "revoked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NewAgent {
        NewAgent {
            name: name.to_owned(),
            ..NewAgent::default()
        }
    }

    #[test]
    fn what_is_left_out_gets_its_default() {
        let agent = named("reports").checked().unwrap();
        assert_eq!(agent.display_name.as_deref(), Some("reports"));
        assert_eq!(agent.agent_type, "ai_agent");
    }

    #[test]
    fn names_outside_the_pattern_are_refused_by_field() {
        for name in ["", " a", "-a", ".", "a/b", "a\n", "ä", &"a".repeat(129)] {
            assert_eq!(
                named(name).checked().unwrap_err().field.as_deref(),
                Some("name"),
                "{name:?}"
            );
        }
        for name in ["a", "A 1._-", &"a".repeat(128)] {
            assert!(named(name).checked().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn each_field_out_of_bounds_is_named() {
        let agent = || named("a");
        let cases = [
            (
                NewAgent {
                    tags: vec!["t".to_owned(); 33],
                    ..agent()
                },
                "tags",
            ),
            (
                NewAgent {
                    tags: vec!["ok".to_owned(), "t".repeat(65)],
                    ..agent()
                },
                "tags[1]",
            ),
            (
                NewAgent {
                    talks_to: vec![String::new()],
                    ..agent()
                },
                "talks_to[0]",
            ),
            (
                NewAgent {
                    agent_type: "AI Agent".to_owned(),
                    ..agent()
                },
                "agent_type",
            ),
            (
                NewAgent {
                    repository_url: Some("javascript:alert(1)".to_owned()),
                    ..agent()
                },
                "repository_url",
            ),
            (
                NewAgent {
                    documentation_url: Some("https:///x".to_owned()),
                    ..agent()
                },
                "documentation_url",
            ),
            (
                NewAgent {
                    description: "a\u{0}".to_owned(),
                    ..agent()
                },
                "description",
            ),
        ];
        for (agent, field) in cases {
            assert_eq!(agent.checked().unwrap_err().field.as_deref(), Some(field));
        }
    }

    #[test]
    fn null_empties_a_field_and_absence_leaves_it() {
        let update: UpdateAgent = serde_json::from_str(r#"{"owner_id":null}"#).unwrap();
        assert_eq!(update.owner_id, Some(None));
        assert_eq!(update.repository_url, None);
        assert!(serde_json::from_str::<UpdateAgent>(r#"{"status":"active"}"#).is_err());
    }
}
