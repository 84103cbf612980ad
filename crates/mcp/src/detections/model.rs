//! What agents report that they found.

use aim_core::{AgentId, Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    rules::{check_line, check_text},
    servers::{McpServerId, model::LONGEST_NAME},
};

/// The method by which an SDK reports itself; what it names is no server.
pub const SDK_INTEGRATION: &str = "sdk_integration";
/// The most detections in one report.
pub const MOST_REPORTED: usize = 100;
/// The most that is kept of one agent.
pub const MOST_KEPT: i64 = 500;
/// The largest details of a detection, in bytes of JSON.
const LARGEST_DETAILS: usize = 4096;

/// A server that an agent found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// What it is called where it was found; 1 to 128 characters.
    pub name: String,
    /// How it was found: a slug such as `claude_config`.
    pub method: String,
    /// How sure the agent is, 0 to 100.
    pub confidence: f64,
    /// What else it knows.
    pub details: Option<Map<String, Value>>,
    /// The SDK that reports it.
    pub sdk_version: Option<String>,
}

impl Detection {
    /// Checks the fields; `place` is where it stands in the report.
    ///
    /// # Errors
    /// `request.field_invalid` naming the field.
    pub(crate) fn check(&self, place: usize) -> Result<()> {
        let field = |name: &str| format!("detections[{place}].{name}");
        check_line(&field("mcp_server"), &self.name, LONGEST_NAME)?;
        let slug = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=64).contains(&self.method.len()) || !self.method.bytes().all(slug) {
            return Err(Error::field(
                field("detection_method"),
                "a method is 1 to 64 letters, digits, '_', '-' or '.', such as claude_config",
            ));
        }
        if !(0.0..=100.0).contains(&self.confidence) {
            return Err(Error::field(field("confidence"), "confidence is 0 to 100"));
        }
        check_text(
            &field("sdk_version"),
            self.sdk_version.as_deref().unwrap_or_default(),
            64,
        )?;
        let size = self.details.as_ref().map_or(0, |details| {
            serde_json::to_vec(details).map_or(usize::MAX, |bytes| bytes.len())
        });
        if size > LARGEST_DETAILS {
            return Err(Error::field(
                field("details"),
                format!("use at most {LARGEST_DETAILS} bytes of JSON"),
            ));
        }
        Ok(())
    }
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectionReport {
    /// How many detections it held.
    pub processed: usize,
    /// Names that this agent had not reported before.
    pub new: Vec<String>,
    /// Names that it had.
    pub known: Vec<String>,
}

/// A server as an agent's reports have it, all methods taken together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetectedServer {
    /// What it is called where it was found.
    pub name: String,
    /// How sure the surest report is, 0 to 100.
    pub confidence: i64,
    /// How it was found.
    pub methods: Vec<String>,
    /// When it was first reported.
    pub first_seen_at: Timestamp,
    /// When it was last reported.
    pub last_seen_at: Timestamp,
    /// The registered server of that name, where there is exactly one.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub mcp_server_id: Option<McpServerId>,
}

/// What an agent's reports come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectionStatus {
    /// The agent.
    pub agent: AgentId,
    /// The version of its SDK, where it said so.
    pub sdk_version: Option<String>,
    /// Whether an SDK reported itself.
    pub sdk_installed: bool,
    /// The servers that it found, by name.
    pub servers: Vec<DetectedServer>,
    /// When it last reported anything.
    pub last_reported_at: Option<Timestamp>,
}
