//! The binary `aim`: configuration, the composition root, the server and the command line.
//!
//! It holds no rule of any capability. [`composition`] is the only place that knows editions.

pub mod backup;
pub mod cli;
pub mod composition;
pub mod configuration;
mod demo;
pub mod installation;
mod logging;
pub mod server;
mod terminal;
mod traces;
