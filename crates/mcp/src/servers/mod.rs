//! The registry: which MCP servers an organisation knows, and where each stands.

mod address;
pub(crate) mod challenge;
pub mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;
pub(crate) mod view;

pub use challenge::{ChallengeAnswer, VerificationView, challenge_message};
pub use model::{
    ManifestSummary, McpServerId, McpServerKind, NewServer, ServerFilter, ServerList, ServerQuery,
    ServerStatus, ServerView, UpdateServer,
};
pub use service::ServerService;
pub(crate) use service::{event, new_row, registration, visible_to};
