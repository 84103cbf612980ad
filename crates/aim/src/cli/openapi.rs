//! `aim openapi`: the document of this edition, without a server.

use std::process::ExitCode;

use aim_crypto::token::TokenPepper;
use aim_store::{DatabaseConfig, Store};

use super::{Failure, Outcome};
use crate::{configuration::Settings, installation, server::AppParts, terminal};

pub(crate) async fn run() -> Outcome {
    // The capabilities are built on a store; this one is empty and goes away.
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("empty.db").display());
    let store = Store::connect(&DatabaseConfig { url, connections: 1 }, Vec::new())
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    let pepper = TokenPepper::generate().map_err(|error| Failure::new(error.to_string()))?;
    let parts = AppParts::new(installation::kernel(store, &Settings::default(), pepper));
    let document: serde_json::Value =
        serde_json::from_str(&parts.document.0).map_err(|error| Failure::new(error.to_string()))?;
    terminal::json(&document);
    Ok(ExitCode::SUCCESS)
}
