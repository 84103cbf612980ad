//! What an MCP server in the registry is, and the rules for its fields and states.

use aim_core::{Error, Id, OrganizationId, PageRequest, Result, Timestamp, UserId};
use aim_crypto::keys::PublicKey;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::address;
use crate::rules::{check_line, check_list, check_text};

/// The longest name, in characters; it stands in `talks_to` of agents.
pub const LONGEST_NAME: usize = 128;
const LONGEST_DESCRIPTION: usize = 4096;
const LONGEST_VERSION: usize = 64;
const MOST_TAGS: usize = 32;
const LONGEST_TAG: usize = 64;

/// Marks the ids of MCP servers.
#[derive(Debug, Clone, Copy)]
pub enum McpServerKind {}
/// The id of an MCP server.
pub type McpServerId = Id<McpServerKind>;

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerStatus {
    /// Registered; it has not proved that it is what its entry says.
    Pending,
    /// It proved that it holds the registered key, at the registered address.
    Verified,
    /// Stopped by a person: it is neither attested nor verified.
    Suspended,
    /// Given up for good; its address stays taken until the entry is deleted.
    Revoked,
}

/// What moves a server from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The challenge was answered with the registered key.
    Verify,
    /// The challenge was answered wrongly.
    Fail,
    /// Its address or key changed, which nobody has verified.
    Change,
    /// A person stops it.
    Suspend,
    /// A person lets it go on.
    Reactivate,
    /// A person gives it up.
    Revoke,
}

impl ServerStatus {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Verified, Self::Suspended, Self::Revoked];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The state after `step`; none where it is not allowed. Who was suspended has to be verified anew, and nobody comes
    /// back from revoked.
    #[must_use]
    pub const fn after(self, step: Move) -> Option<Self> {
        match (self, step) {
            (Self::Pending | Self::Verified, Move::Verify) => Some(Self::Verified),
            (Self::Pending | Self::Verified, Move::Fail | Move::Change)
            | (Self::Suspended, Move::Reactivate) => Some(Self::Pending),
            (Self::Pending | Self::Verified, Move::Suspend) | (Self::Suspended, Move::Change) => {
                Some(Self::Suspended)
            }
            (Self::Pending | Self::Verified | Self::Suspended, Move::Revoke) => Some(Self::Revoked),
            _ => None,
        }
    }

    /// Whether agents may vouch for it.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Verified)
    }
}

/// A server to be registered.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    /// What people and agents call it; 1 to 128 characters.
    #[schema(example = "files", min_length = 1, max_length = 128)]
    pub name: String,
    /// Its address, unique in the organisation: `https://…`, `http://…`, or `stdio:` and the command that starts it.
    #[schema(example = "https://mcp.example.com/files")]
    pub url: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its own version.
    #[serde(default)]
    pub version: String,
    /// The user who answers for it; whoever registers it when left out.
    #[serde(default)]
    pub owner_id: Option<UserId>,
    /// At most 32 tags of at most 64 characters.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its Ed25519 public key (base64, PEM or JWK), with which it answers the challenge of a verification.
    #[serde(default)]
    #[schema(example = "MCowBQYDK2VwAyEAO2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=")]
    pub public_key: Option<String>,
}

impl NewServer {
    /// Checks every field; the address comes back in its one spelling.
    ///
    /// # Errors
    /// `request.field_invalid` naming the first field that is not accepted.
    pub fn checked(mut self) -> Result<(Self, Option<PublicKey>)> {
        self.name = self.name.trim().to_owned();
        check_line("name", &self.name, LONGEST_NAME)?;
        self.url = address::normalised(&self.url)?;
        check_text("description", &self.description, LONGEST_DESCRIPTION)?;
        check_text("version", &self.version, LONGEST_VERSION)?;
        check_list("tags", &self.tags, MOST_TAGS, LONGEST_TAG)?;
        let key = self.public_key.as_deref().map(parse_key).transpose()?;
        Ok((self, key))
    }
}

/// Changes to a server; what is left out stays as it is, and null empties a field that may be empty.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateServer {
    /// What people and agents call it.
    pub name: Option<String>,
    /// Its address. A verified server with another address has to be verified anew.
    pub url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its own version.
    pub version: Option<String>,
    /// The user who answers for it.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub owner_id: Option<Option<UserId>>,
    /// All its tags.
    pub tags: Option<Vec<String>>,
    /// Its public key. A verified server with another key has to be verified anew.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub public_key: Option<Option<String>>,
}

/// Tells a field that is null from one that is not there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(json).map(Some)
}

impl UpdateServer {
    /// Checks every field that is there; the address comes back in its one spelling.
    ///
    /// # Errors
    /// `request.field_invalid` naming the first field that is not accepted.
    pub fn checked(mut self) -> Result<(Self, Option<Option<PublicKey>>)> {
        if let Some(name) = &mut self.name {
            *name = name.trim().to_owned();
            check_line("name", name, LONGEST_NAME)?;
        }
        if let Some(url) = &mut self.url {
            *url = address::normalised(url)?;
        }
        check_text(
            "description",
            self.description.as_deref().unwrap_or_default(),
            LONGEST_DESCRIPTION,
        )?;
        check_text(
            "version",
            self.version.as_deref().unwrap_or_default(),
            LONGEST_VERSION,
        )?;
        check_list(
            "tags",
            self.tags.as_deref().unwrap_or_default(),
            MOST_TAGS,
            LONGEST_TAG,
        )?;
        let key = match &self.public_key {
            None => None,
            Some(None) => Some(None),
            Some(Some(text)) => Some(Some(parse_key(text)?)),
        };
        Ok((self, key))
    }
}

/// Reads the public key of a server.
fn parse_key(text: &str) -> Result<PublicKey> {
    PublicKey::parse(text).map_err(|error| Error::field("public_key", error.to_string()))
}

/// The manifest that counts at present, in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestSummary {
    /// Its version, from 1.
    pub version: i64,
    /// Its digest, as an attestation names it.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: String,
    /// How many tools.
    pub tools: i64,
    /// How many resources.
    pub resources: i64,
    /// How many prompts.
    pub prompts: i64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A server, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// The server's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: McpServerId,
    /// Its organisation.
    #[schema(value_type = uuid::Uuid)]
    pub organization_id: OrganizationId,
    /// What it is called.
    pub name: String,
    /// Its address, in its one spelling.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// Its own version.
    pub version: String,
    /// The user who answers for it.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub owner_id: Option<UserId>,
    /// Tags.
    pub tags: Vec<String>,
    /// Where it stands.
    pub status: ServerStatus,
    /// Why it was suspended or revoked, or why it lost its verification.
    pub status_reason: Option<String>,
    /// Its public key: base64 of the SPKI DER.
    pub public_key: Option<String>,
    /// The key's RFC 7638 thumbprint.
    pub fingerprint: Option<String>,
    /// When it last proved that it holds the key; null unless it is verified.
    pub verified_at: Option<Timestamp>,
    /// When its challenge was last tried.
    pub last_check_at: Option<Timestamp>,
    /// What went wrong then; null if nothing did.
    pub last_check_problem: Option<String>,
    /// The manifest that counts; null until one was recorded.
    pub manifest: Option<ManifestSummary>,
    /// How sure one can be that it offers just that, 0 to 100: from the agents that attested the manifest and how long
    /// ago. Null where nobody has.
    #[schema(minimum = 0, maximum = 100)]
    pub confidence: Option<i64>,
    /// How many active agents attested the manifest within 30 days.
    pub attesting_agents: i64,
    /// When the last of them did.
    pub last_attested_at: Option<Timestamp>,
    /// How many agents are connected to it.
    pub connected_agents: i64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When anything of this last changed.
    pub updated_at: Timestamp,
    /// Who registered it, as `kind:id`.
    pub created_by: String,
}

/// A page of servers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerList {
    /// The servers.
    pub mcp_servers: Vec<ServerView>,
    /// How many fit the filters in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}

/// Which servers are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ServerQuery {
    /// Part of the name, address or description, in whatever case.
    pub q: Option<String>,
    /// `pending`, `verified`, `suspended` or `revoked`; more than one may be named.
    #[serde(default)]
    pub status: Vec<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// `-created_at` (the newest first; the default), `created_at`, `name` or `-name`.
    pub sort: Option<String>,
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// How many to skip.
    pub offset: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerSort {
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

/// A [`ServerQuery`] that was read.
#[derive(Debug, Clone, Default)]
pub struct ServerFilter {
    /// Part of the name, address or description.
    pub text: Option<String>,
    /// Any of these states.
    pub statuses: Vec<ServerStatus>,
    /// With this tag.
    pub tag: Option<String>,
    /// In this order.
    pub sort: ServerSort,
    /// Which part of the list.
    pub page: PageRequest,
}

impl ServerQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// `request.field_invalid` naming the parameter.
    pub fn filter(self) -> Result<ServerFilter> {
        let statuses = self
            .status
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| {
                ServerStatus::parse(name).ok_or_else(|| {
                    Error::field("status", "status is pending, verified, suspended or revoked")
                })
            })
            .collect::<Result<_>>()?;
        let sort = match self.sort.as_deref() {
            None | Some("" | "-created_at") => ServerSort::CreatedDescending,
            Some("created_at") => ServerSort::Created,
            Some("name") => ServerSort::Name,
            Some("-name") => ServerSort::NameDescending,
            Some(_) => {
                return Err(Error::field(
                    "sort",
                    "sort is name, -name, created_at or -created_at",
                ));
            }
        };
        Ok(ServerFilter {
            text: self.q.filter(|text| !text.is_empty()),
            statuses,
            tag: self.tag.filter(|tag| !tag.is_empty()),
            sort,
            page: PageRequest::parse(self.limit, self.offset, self.cursor.as_deref())?,
        })
    }
}

/// Why a server is stopped or given up.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
// Decisions have a schema `Reason` of their own, and a document has one of each name.
#[schema(as = McpServerReason)]
pub struct Reason {
    /// For those who ask later; at most 1024 characters.
    #[schema(example = "its tools changed after they were attested")]
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_from_every_state_is_allowed_or_not_as_the_table_says() {
        use ServerStatus::{Pending, Revoked, Suspended, Verified};
        let table = [
            (Move::Verify, [Some(Verified), Some(Verified), None, None]),
            (Move::Fail, [Some(Pending), Some(Pending), None, None]),
            (
                Move::Change,
                [Some(Pending), Some(Pending), Some(Suspended), None],
            ),
            (Move::Suspend, [Some(Suspended), Some(Suspended), None, None]),
            (Move::Reactivate, [None, None, Some(Pending), None]),
            (Move::Revoke, [Some(Revoked), Some(Revoked), Some(Revoked), None]),
        ];
        for (step, after) in table {
            for (status, expected) in ServerStatus::ALL.into_iter().zip(after) {
                assert_eq!(status.after(step), expected, "{step:?} from {status:?}");
            }
        }
    }

    #[test]
    fn each_field_out_of_bounds_is_named() {
        let good = || NewServer {
            name: "files".to_owned(),
            url: "https://a.example".to_owned(),
            ..NewServer::default()
        };
        assert!(good().checked().is_ok());
        for (server, field) in [
            (
                NewServer {
                    name: " ".to_owned(),
                    ..good()
                },
                "name",
            ),
            (
                NewServer {
                    name: "x".repeat(129),
                    ..good()
                },
                "name",
            ),
            (
                NewServer {
                    url: "nowhere".to_owned(),
                    ..good()
                },
                "url",
            ),
            (
                NewServer {
                    description: "x".repeat(4097),
                    ..good()
                },
                "description",
            ),
            (
                NewServer {
                    version: "x".repeat(65),
                    ..good()
                },
                "version",
            ),
            (
                NewServer {
                    tags: vec![String::new()],
                    ..good()
                },
                "tags[0]",
            ),
            (
                NewServer {
                    tags: vec!["t".to_owned(); 33],
                    ..good()
                },
                "tags",
            ),
            (
                NewServer {
                    public_key: Some("abc".to_owned()),
                    ..good()
                },
                "public_key",
            ),
        ] {
            assert_eq!(server.checked().unwrap_err().field.as_deref(), Some(field));
        }
    }
}
