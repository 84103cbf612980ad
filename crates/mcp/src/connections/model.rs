//! Connections, as callers send and see them.

use aim_core::{AgentId, Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::servers::{McpServerId, ServerView};

/// The most servers that one request names.
pub const MOST_SERVERS: usize = 64;

/// How a connection came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person or an organisation key entered it.
    Declared,
    /// The agent reported it itself.
    Reported,
    /// The agent's SDK found the server, and one of that name is registered.
    Detected,
}

impl Source {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Reported => "reported",
            Self::Detected => "detected",
        }
    }

    /// The source of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Declared, Self::Reported, Self::Detected]
            .into_iter()
            .find(|source| source.as_str() == name)
    }
}

/// Servers by their ids.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerIds {
    /// 1 to 64 ids; one that stands there twice counts once.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub mcp_server_ids: Vec<McpServerId>,
}

impl ServerIds {
    /// The ids, each once, in their order.
    ///
    /// # Errors
    /// `request.field_invalid` at `mcp_server_ids`.
    pub fn distinct(&self) -> Result<Vec<McpServerId>> {
        if self.mcp_server_ids.is_empty() {
            return Err(Error::field("mcp_server_ids", "name at least one MCP server"));
        }
        if self.mcp_server_ids.len() > MOST_SERVERS {
            return Err(Error::field(
                "mcp_server_ids",
                format!("name at most {MOST_SERVERS} at a time"),
            ));
        }
        let mut ids: Vec<McpServerId> = Vec::with_capacity(self.mcp_server_ids.len());
        for id in &self.mcp_server_ids {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        Ok(ids)
    }
}

/// Servers that an agent was connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Added {
    /// What was done, in words.
    pub message: String,
    /// All that the agent talks to now.
    pub talks_to: Vec<String>,
    /// Those that it was not connected to before.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub added_servers: Vec<McpServerId>,
    /// How many names `talks_to` has.
    pub total_count: i64,
}

/// Servers that an agent is not connected to any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// What was done, in words.
    pub message: String,
    /// All that the agent talks to now.
    pub talks_to: Vec<String>,
    /// Those that were removed.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub removed_servers: Vec<McpServerId>,
    /// How many names `talks_to` has.
    pub total_count: i64,
}

/// A server that an agent is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectedServer {
    /// The server.
    #[serde(flatten)]
    pub server: ServerView,
    /// How the connection came to be known.
    pub source: Source,
    /// Since when.
    pub connected_at: Timestamp,
    /// When this agent last attested the present manifest; null if it never did.
    pub attested_at: Option<Timestamp>,
}

/// The servers that an agent is connected to, by name: at most 64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentServers {
    /// The servers.
    pub mcp_servers: Vec<ConnectedServer>,
    /// All that the agent talks to, other agents included.
    pub talks_to: Vec<String>,
    /// How many servers there are.
    pub total: i64,
}

/// An agent that is connected to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectedAgent {
    /// The agent's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// `active` or `suspended`.
    pub status: String,
    /// How the connection came to be known.
    pub source: Source,
    /// Since when.
    pub connected_at: Timestamp,
    /// When it last attested the server's present manifest; null if it never did.
    pub attested_at: Option<Timestamp>,
}

/// A page of the agents that are connected to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectedAgents {
    /// The agents.
    pub agents: Vec<ConnectedAgent>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}
