//! `aim vault wrap` and `aim vault unwrap`.

use std::io::{self, Read as _, Write as _};

use aim_client::{AgentIdentity, Client, Decision, KeyFolder, Reply, SecretError, SecretString};
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// No token is longer.
const LONGEST_TOKEN: u64 = 256;

/// Make a token that hands a secret over once.
#[derive(Debug, Clone, Args)]
pub struct WrapArguments {
    /// The secret's path.
    path: String,
    /// The version; the newest unless set.
    #[arg(long, value_name = "N")]
    version: Option<i64>,
    /// How long the token is good, in seconds; at most 3600.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    ttl: i64,
    /// The id of the agent that it is for. Unless set it is for whoever brings it, where the organisation shows values for a
    /// reason or an agent makes it.
    #[arg(long, value_name = "ID")]
    for_agent: Option<String>,
    /// Why; an API key has to say it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The agent that makes it and may read the secret; its key is that of ~/.config/aim/agents. Without it, the API key
    /// makes it, which must be an administrator's.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

/// Use a token, which is read from standard input.
#[derive(Debug, Clone, Args)]
pub struct UnwrapArguments {
    /// The path that is expected; with another the token is not used.
    #[arg(long, value_name = "PATH")]
    expect: Option<String>,
    /// Write the value of this field alone.
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// The agent that it is for; its key is that of ~/.config/aim/agents.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

impl WrapArguments {
    /// Whether an agent makes it, so that no API key is needed.
    #[must_use]
    pub const fn by_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// Makes the token; `client` holds the API key.
    ///
    /// # Errors
    /// What to tell the person.
    pub async fn run(&self, server: &str, client: Option<Client>) -> Result<Value, String> {
        let client = match (&self.agent, client) {
            (Some(agent), _) => as_agent(agent, server)?,
            (None, Some(client)) => client,
            (None, None) => {
                return Err("no credentials: name a file with --api-key-file, or set AIM_API_KEY".to_owned());
            }
        };
        let body = json!({
            "path": self.path,
            "version": self.version,
            "ttl_seconds": self.ttl,
            "for_agent": self.for_agent,
            "reason": self.reason,
        });
        let made = async {
            let reply = client.send(client.prepare(Method::POST, "/api/v1/vault/wrap", Some(&body))?);
            Ok(made(&reply.await?, &self.path))
        };
        made.await.map_err(|error: aim_client::Error| error.to_string())?
    }
}

/// The token, or why there is none: an agent's wish is decided as a read is, and answered with the decision.
fn made(reply: &Reply, path: &str) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Decided {
        decision: Box<Decision>,
    }
    let path = path.to_owned();
    let refusal = match (reply.status, serde_json::from_slice::<Decided>(&reply.body)) {
        (202, Ok(Decided { decision })) => SecretError::Pending { path, decision },
        (403, Ok(Decided { decision })) => SecretError::Denied { path, decision },
        _ => return reply.json().map_err(|error| error.to_string()),
    };
    Err(refusal.to_string())
}

impl UnwrapArguments {
    /// Uses the token of standard input, and writes what it hands over to standard output.
    ///
    /// # Errors
    /// What to tell the person.
    pub async fn run(&self, server: &str) -> Result<(), String> {
        let token = read_token()?;
        let client = match &self.agent {
            Some(agent) => as_agent(agent, server)?,
            None => Client::builder()
                .server(server)
                .build()
                .map_err(|error| error.to_string())?,
        };
        let found = client
            .look_up_wrap(&token)
            .await
            .map_err(|error| error.to_string())?;
        if let Some(expected) = &self.expect
            && *expected != found.creation_path
        {
            return Err(format!(
                "the token was made for {}, not for {expected}; it was not used",
                found.creation_path
            ));
        }
        let secret = client
            .unwrap_secret(&token, &found)
            .await
            .map_err(|error| error.to_string())?;
        let mut out = io::stdout().lock();
        let written = match &self.field {
            Some(name) => {
                let value = secret
                    .field(name)
                    .ok_or_else(|| format!("the secret has no field {name}"))?;
                out.write_all(value.expose().as_bytes())
            }
            None => {
                let fields: std::collections::BTreeMap<&str, &str> = secret
                    .fields()
                    .map(|(name, value)| (name, value.expose()))
                    .collect();
                let text = serde_json::to_vec(&json!({"kind": secret.kind, "fields": fields}))
                    .map(Zeroizing::new)
                    .map_err(|error| error.to_string())?;
                out.write_all(&text).and_then(|()| out.write_all(b"\n"))
            }
        };
        written
            .and_then(|()| out.flush())
            .map_err(|error| format!("standard output cannot be written: {error}"))
    }
}

fn as_agent(name: &str, server: &str) -> Result<Client, String> {
    let identity: AgentIdentity = KeyFolder::standard()
        .and_then(|folder| folder.load(name))
        .map_err(|error| error.to_string())?;
    Client::builder()
        .agent(identity)
        .server(server)
        .build()
        .map_err(|error| error.to_string())
}

fn read_token() -> Result<SecretString, String> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    io::stdin()
        .lock()
        .take(LONGEST_TOKEN)
        .read_to_string(&mut text)
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    let token = text.trim();
    if token.is_empty() {
        return Err("standard input holds no token".to_owned());
    }
    Ok(SecretString::from(token))
}
