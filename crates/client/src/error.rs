//! What can go wrong between a client and its server.

use std::path::PathBuf;

use aim_crypto::{digest::RandomnessError, http_signature::HttpSignatureError, keys::KeyError};
use serde::{Deserialize, Serialize};

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal of the server: RFC 9457 problem details with a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code for programs, such as `auth.signature_replayed`.
    pub code: String,
    /// A short title, the same for each occurrence of the code.
    #[serde(default)]
    pub title: String,
    /// What is wrong with this very request.
    #[serde(default)]
    pub detail: Option<String>,
    /// The field at fault, or the permission that is missing.
    #[serde(default)]
    pub field: Option<String>,
    /// What can be done about it.
    #[serde(default)]
    pub remedy: String,
    /// The id of the request, as the server's log knows it.
    #[serde(default)]
    pub request_id: Option<String>,
    /// How many seconds to wait before trying again, when the server said so.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.detail.as_deref().unwrap_or(&self.title))?;
        if let Some(field) = &self.field {
            write!(f, " (at {field})")?;
        }
        write!(f, " [{} {}", self.status, self.code)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        write!(f, "]")
    }
}

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused; it says why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The server could not be reached, or the connection broke. Whether the request took effect is unknown.
    #[error("the server {server} did not answer: {reason}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What happened.
        reason: String,
    },
    /// Something answered that is no AIM server of this version.
    #[error("the answer with status {status} is not one of an AIM server: {reason}")]
    UnexpectedAnswer {
        /// The HTTP status.
        status: u16,
        /// What could not be understood.
        reason: String,
    },
    /// The address of the server is not usable.
    #[error("the server address {address:?} is not usable: {reason}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A call that only an agent can make, from a client without an agent's key.
    #[error("this call is an agent's own: build the client with agent(identity)")]
    NoIdentity,
    /// A key or a fingerprint that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request could not be signed.
    #[error("the request cannot be signed: {0}")]
    Signing(#[from] HttpSignatureError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// A file of the client's own could not be read or written, or others may read it.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what helps.
        reason: String,
    },
    /// TLS or the HTTP stack could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    SetUp(String),
}

impl Error {
    /// The server's refusal, if that is what this is.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The stable code of the server's refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// Whether it is unknown if the server acted: the request may have arrived, the answer did not.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::UnexpectedAnswer { .. } => true,
            Self::Refused(problem) => problem.status >= 500,
            _ => false,
        }
    }
}
