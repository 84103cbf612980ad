//! With what the command line manages agents: an API key from a file or the environment, or a sign-in
//! that `aim login` keeps. A secret is never an argument.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use aim_client::{Client, DEFAULT_SERVER, SecretString, read_private, standard_folder, write_private};
use aim_core::{Clock, SystemClock};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Failure, Outcome, init::read_password};
use crate::terminal;

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// The server's address; http://127.0.0.1:8700 unless set, or that of the agent's key file.
    #[arg(long, env = "AIM_SERVER", value_name = "URL")]
    server: Option<String>,
    /// A file that only you may read, with an API key of the organisation. The key may also stand in
    /// AIM_API_KEY.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

impl ServerArguments {
    /// The address that was named, if one was.
    pub(crate) fn named(&self) -> Option<&str> {
        self.server.as_deref()
    }

    fn address(&self) -> &str {
        self.named().unwrap_or(DEFAULT_SERVER)
    }

    /// A client of this server without credentials.
    pub(crate) fn anonymous(&self) -> Result<Client, Failure> {
        Ok(Client::builder().server(self.address()).build()?)
    }

    /// A client that may manage agents.
    pub(crate) fn management(&self) -> Result<Client, Failure> {
        self.try_management()?.ok_or_else(|| {
            Failure::new(format!(
                "no credentials for {}: name a file with --api-key-file, set AIM_API_KEY, or run `aim login`",
                self.address()
            ))
        })
    }

    /// As [`Self::management`]; none when there are no credentials.
    pub(crate) fn try_management(&self) -> Result<Option<Client>, Failure> {
        let client = self.anonymous()?;
        if let Some(path) = &self.api_key_file {
            let text = SecretString::new(read_private(path)?);
            return Ok(Some(client.as_bearer(text.expose().trim())));
        }
        if let Some(key) = std::env::var("AIM_API_KEY").ok().filter(|key| !key.is_empty()) {
            return Ok(Some(client.as_bearer(key)));
        }
        let sign_ins = SignIns::load()?;
        match sign_ins.0.get(client.server()) {
            Some(kept) if kept.expires_at > *SystemClock.now() => {
                Ok(Some(client.as_bearer(kept.access_token.as_str())))
            }
            Some(_) => Err(Failure::new(format!(
                "the sign-in to {} has expired; run `aim login`",
                client.server()
            ))),
            None => Ok(None),
        }
    }
}

/// A sign-in that is kept.
#[derive(Serialize, Deserialize)]
struct SignIn {
    email: String,
    access_token: String,
    expires_at: DateTime<Utc>,
}

/// Sign-ins by server.
#[derive(Default, Serialize, Deserialize)]
struct SignIns(BTreeMap<String, SignIn>);

impl SignIns {
    fn path() -> Result<PathBuf, Failure> {
        Ok(standard_folder()?.join("sign-ins.json"))
    }

    fn load() -> Result<Self, Failure> {
        let path = Self::path()?;
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = SecretString::new(read_private(&path)?);
        serde_json::from_str(text.expose()).map_err(|_| {
            Failure::new(format!(
                "{} cannot be read; run `aim login` after removing it",
                path.display()
            ))
        })
    }

    fn save(&self) -> Result<(), Failure> {
        let text = SecretString::new(serde_json::to_string_pretty(self).unwrap_or_default() + "\n");
        Ok(write_private(&Self::path()?, text.expose())?)
    }
}

#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// The server's address.
    #[arg(long, env = "AIM_SERVER", value_name = "URL", default_value = DEFAULT_SERVER)]
    server: String,
    /// Your e-mail address.
    #[arg(long, value_name = "EMAIL")]
    email: String,
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
}

impl LoginArguments {
    pub(crate) async fn run(self, json: bool) -> Outcome {
        let client = Client::builder().server(&self.server).build()?;
        let password = read_password(self.password_stdin, "Password: ", false)?;
        let signed_in = client.login(&self.email, &password).await?;
        // A file that cannot be read is replaced: it holds nothing that a sign-in does not make anew.
        let mut sign_ins = SignIns::load().unwrap_or_default();
        let kept = SignIn {
            email: self.email,
            access_token: signed_in.access_token.expose().to_owned(),
            expires_at: signed_in.expires_at,
        };
        sign_ins.0.insert(client.server().to_owned(), kept);
        sign_ins.save()?;
        let until = signed_in.expires_at.to_rfc3339();
        if json {
            terminal::json(
                &json!({ "server": client.server(), "user": signed_in.user, "expires_at": until }),
            );
        } else {
            terminal::line(format!("signed in to {} until {until}", client.server()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
