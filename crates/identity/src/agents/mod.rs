//! Agents: registration with a proof that the key is the client's, and what is kept about each.

mod model;
pub mod routes;
mod service;
mod store;

pub use model::{
    AgentFilter, AgentList, AgentSort, AgentView, NewAgent, ProvenKey, RegisteredAgent, UpdateAgent,
};
pub use service::AgentService;
