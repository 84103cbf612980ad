//! The client of AIM: register agents, rotate their keys, ask for decisions.
//!
//! The agent's private key is made here and stays here: AIM sees its public half and signatures. Every
//! request of an agent is signed as RFC 9421 says, over the method, the authority, the path, the query
//! and the digest of the body, with a nonce of its own.
//!
//! ```no_run
//! use aim_client::{Client, KeyFolder, NewAgent, Status};
//!
//! # async fn example() -> Result<(), aim_client::Error> {
//! // A person or an organisation key registers the agent; the key pair is made here.
//! let manager = Client::builder().server("http://127.0.0.1:8700").api_key("aim_live_…").build()?;
//! let identity = manager.create_agent(&NewAgent::named("invoice-reader")).await?;
//! KeyFolder::standard()?.save(&identity)?;
//!
//! // From here on the agent speaks for itself.
//! let agent = Client::builder().agent(identity).build()?;
//! let decision = agent.verify("db:read", Some("customers"), Default::default()).await?;
//! if decision.status == Status::Approved {
//!     // read the customers
//! }
//! # Ok(())
//! # }
//! ```
//!
//! This crate holds no rule: what is allowed, the server decides. It depends on no other part of AIM
//! but its cryptography.

mod client;
mod error;
mod identity;
mod key_folder;
mod model;
mod private_file;
mod requests;
#[cfg(feature = "secrets")]
mod secrets;
mod signing;
mod tls;

pub use aim_crypto::{
    keys::{Fingerprint, PublicKey, SigningKey},
    secret::SecretString,
};
pub use client::{Client, ClientBuilder, DEFAULT_SERVER, Reply};
pub use error::{Error, Problem, Result};
pub use identity::AgentIdentity;
pub use key_folder::KeyFolder;
pub use model::{
    Action, Agent, AgentList, AgentQuery, Decision, Edition, KeyVault, NewAgent, Outcome, SignedIn, Status,
};
pub use private_file::{read_private, standard_folder, write_private};
pub use requests::Rotation;
#[cfg(feature = "secrets")]
pub use secrets::{CacheLimits, Change, Changes, Secret, SecretCache, SecretError, UnwrappedSecret, Wrap};
pub use signing::{Clock, PreparedRequest};
