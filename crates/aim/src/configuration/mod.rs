//! The settings: one documented structure, read in layers.
//!
//! The defaults (shown in `config/aim.toml`), then a file, then the environment
//! (`AIM__SECTION__KEY`), then flags; a later layer wins. A key that does not exist and a value that
//! cannot be are refused at the start, by name.

mod document;
mod layers;
mod settings;

pub use document::default_document;
pub use layers::{Sources, load};
pub use settings::{
    ConsoleSettings, DatabaseSettings, KeySettings, LimitSettings, LogFormat, LogSettings, OutboundSettings,
    SecuritySettings, ServerSettings, Settings, SmtpSettings, VaultSettings, VerificationSettings,
};

/// A setting that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}{}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default(), origin.as_ref().map(|origin| format!(" (in {origin})")).unwrap_or_default())]
pub struct ConfigurationError {
    /// The key, as `section.key`.
    pub key: Option<String>,
    /// Where it stands: a file, a variable of the environment, a flag.
    pub origin: Option<String>,
    /// What is wrong, and what helps.
    pub problem: String,
}

impl ConfigurationError {
    pub(crate) fn of(key: &str, problem: impl Into<String>) -> Self {
        Self {
            key: Some(key.to_owned()),
            origin: None,
            problem: problem.into(),
        }
    }

    pub(crate) fn general(problem: impl Into<String>) -> Self {
        Self {
            key: None,
            origin: None,
            problem: problem.into(),
        }
    }
}
