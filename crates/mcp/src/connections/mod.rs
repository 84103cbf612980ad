//! Connections: which agents use which servers. The names of the servers stand in the agent's `talks_to` as well.

pub mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;
mod talks_to;

pub use model::{
    Added, AgentServers, ConnectedAgent, ConnectedAgents, ConnectedServer, Removed, ServerIds, Source,
};
pub use service::ConnectionService;
pub(crate) use service::connect;
