//! Capabilities: what an agent was granted, and what it asks for.

pub mod store;
