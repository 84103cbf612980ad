//! `aim config`: what is set, and whether it can be.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Outcome, StorageArguments};
use crate::{configuration::default_document, terminal};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the settings in all layers, without starting anything.
    Check(StorageArguments),
    /// Show the settings that hold, without passwords.
    Show(StorageArguments),
    /// Print the documented defaults: the text of config/aim.toml.
    #[command(hide = true)]
    Defaults,
}

impl ConfigCommand {
    pub(crate) fn run(self, json: bool) -> Outcome {
        match self {
            Self::Check(storage) => {
                let settings = storage.settings()?;
                settings.token_key()?;
                let file = storage
                    .sources()
                    .file_in_use()
                    .map(|path| path.display().to_string());
                if json {
                    terminal::json(&json!({ "accepted": true, "file": file }));
                } else {
                    let file = file.map_or_else(
                        || "no file of settings".to_owned(),
                        |file| format!("file: {file}"),
                    );
                    terminal::line(format!("the settings are accepted ({file})"));
                }
            }
            Self::Show(storage) => {
                let text = storage.settings()?.to_public_toml();
                if json {
                    let value: toml::Table =
                        toml::from_str(&text).map_err(|error| Failure::new(error.to_string()))?;
                    terminal::json(&value);
                } else {
                    terminal::raw(&text);
                }
            }
            Self::Defaults => terminal::raw(&default_document()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
