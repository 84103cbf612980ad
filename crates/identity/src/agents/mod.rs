//! Agents: registration with a proof that the key is the client's, and what is kept about each.

mod facts;
pub(crate) mod model;
pub(crate) mod pages;
pub(crate) mod routes;
mod rules;
mod service;
mod store;

pub use model::{
    AgentFilter, AgentList, AgentSort, AgentView, NewAgent, ProvenKey, RegisteredAgent, SuspendedAgents,
    UpdateAgent,
};
pub use service::AgentService;
