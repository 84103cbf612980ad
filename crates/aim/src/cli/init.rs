//! `aim init`: sets an installation up without a browser.

use std::{
    io::{self, IsTerminal, Read},
    process::ExitCode,
};

use aim_crypto::secret::SecretString;
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Failure, Outcome, StorageArguments};
use crate::{installation, terminal};

/// The longest password that is read.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    storage: StorageArguments,
    /// The organisation's name.
    #[arg(long, value_name = "NAME")]
    org: String,
    /// The e-mail address by which the first administrator signs in.
    #[arg(long, value_name = "EMAIL")]
    admin_email: String,
    /// Read the administrator's password from standard input instead of asking for it.
    #[arg(long)]
    admin_password_stdin: bool,
}

impl InitArguments {
    pub(crate) async fn run(self, json: bool) -> Outcome {
        let password = read_password(self.admin_password_stdin, "Password of the administrator: ", true)?;
        let settings = self.storage.settings()?;
        let kernel = installation::open(&settings, &self.storage.data).await?;
        let made = aim_identity::set_up::initialise(&kernel, &self.org, &self.admin_email, &password).await?;
        if json {
            terminal::json(&json!({
                "organization_id": made.organization_id,
                "admin_user_id": made.admin_user_id,
                "api_key": made.api_key.expose(),
            }));
        } else {
            terminal::line(format!("organisation   {}", made.organization_id));
            terminal::line(format!(
                "administrator  {} ({})",
                self.admin_email, made.admin_user_id
            ));
            terminal::line(format!("API key        {}", made.api_key.expose()));
            terminal::line("The API key is shown this once; keep it in a file that only you may read.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a password: all of standard input but its last line break, or what is typed without an echo.
pub(crate) fn read_password(from_stdin: bool, prompt: &str, twice: bool) -> Result<SecretString, Failure> {
    if from_stdin {
        let mut text = Zeroizing::new(String::with_capacity(256));
        io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(Failure::new("standard input holds no password"));
        }
        return Ok(SecretString::from(line));
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            "there is no terminal to ask for the password; pipe it in and say so with the flag that ends in -stdin",
        ));
    }
    let first = SecretString::new(rpassword::prompt_password(prompt)?);
    if twice && !first.ct_eq(&SecretString::new(rpassword::prompt_password("Once more: ")?)) {
        return Err(Failure::new("the two passwords differ"));
    }
    Ok(first)
}
