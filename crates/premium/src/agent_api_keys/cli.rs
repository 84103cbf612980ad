//! `aim agent-key`: the scoped API keys of agents, as a running server has them.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use aim_client::{Client, DEFAULT_SERVER, SecretString, read_private};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The command's name.
pub const NAME: &str = "agent-key";

/// The longest text that is looked at, in bytes.
const LONGEST: u64 = 512;

/// List, rotate and revoke agents' scoped API keys, and recognise one that was found somewhere.
#[derive(Debug, Args)]
struct KeyArguments {
    /// The server's address.
    #[arg(long, env = "AIM_SERVER", value_name = "URL", default_value = DEFAULT_SERVER, global = true)]
    server: String,
    /// A file that only you may read, with an API key of the organisation. The key may also stand in
    /// AIM_API_KEY.
    #[arg(long, value_name = "FILE", global = true)]
    api_key_file: Option<PathBuf>,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum KeyCommand {
    /// List the keys, the newest first; at most a hundred.
    List {
        /// Only those in this state: active, rotating, expired or revoked.
        #[arg(long, value_name = "STATE", value_parser = ["active", "rotating", "expired", "revoked"])]
        status: Option<String>,
        /// Only this agent's.
        #[arg(long, value_name = "ID")]
        agent: Option<Uuid>,
    },
    /// Say whether a text is a key of AIM's, whose, and what it is worth. The text comes from standard input, or as it is typed, so
    /// that it stands in no list of processes.
    Recognise,
    /// Make a new token for a key, and print it. The old one is accepted until the overlap ends.
    Rotate {
        /// The agent.
        agent: Uuid,
        /// The key.
        key: Uuid,
        /// How long the old one is accepted; 0 if it leaked.
        #[arg(long, value_name = "SECONDS", default_value_t = super::rotation::DEFAULT_OVERLAP_SECONDS)]
        overlap_seconds: i64,
    },
    /// Revoke a key: the next request with it is refused.
    Revoke {
        /// The agent.
        agent: Uuid,
        /// The key.
        key: Uuid,
    },
}

/// The command with its arguments and help.
#[must_use]
pub fn command() -> Command {
    KeyArguments::augment_args(Command::new(NAME))
}

/// Does what the command line says; says itself what goes wrong.
#[must_use]
pub fn execute(matches: &ArgMatches, as_json: bool) -> ExitCode {
    let done = KeyArguments::from_arg_matches(matches)
        .map_err(|error| error.to_string())
        .and_then(|arguments| run(&arguments).map(|answer| (arguments, answer)));
    match done {
        Ok((arguments, answer)) => {
            let text = if as_json {
                answer.to_string()
            } else {
                shown(&arguments.command, &answer)
            };
            let _ = writeln!(io::stdout().lock(), "{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            let _ = writeln!(io::stderr().lock(), "aim: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &KeyArguments) -> Result<Value, String> {
    let client = client(arguments)?;
    let (method, path, body) = request(&arguments.command)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let answer = runtime.block_on(client.call(method, &path, body.as_ref()));
    answer.map_err(|error| error.to_string())
}

fn request(command: &KeyCommand) -> Result<(Method, String, Option<Value>), String> {
    Ok(match command {
        KeyCommand::List { status, agent } => {
            let mut path = "/api/v1/agent-api-keys?limit=100".to_owned();
            if let Some(status) = status {
                path.push_str(&format!("&status={status}"));
            }
            if let Some(agent) = agent {
                path.push_str(&format!("&agent_id={agent}"));
            }
            (Method::GET, path, None)
        }
        KeyCommand::Recognise => {
            let text = read_token()?;
            let body = json!({"token": text.trim()});
            (
                Method::POST,
                "/api/v1/agent-api-keys/recognise".to_owned(),
                Some(body),
            )
        }
        KeyCommand::Rotate {
            agent,
            key,
            overlap_seconds,
        } => (
            Method::POST,
            format!("/api/v1/agents/{agent}/api-keys/{key}/rotate"),
            Some(json!({"overlap_seconds": overlap_seconds})),
        ),
        KeyCommand::Revoke { agent, key } => (
            Method::DELETE,
            format!("/api/v1/agents/{agent}/api-keys/{key}"),
            None,
        ),
    })
}

fn client(arguments: &KeyArguments) -> Result<Client, String> {
    let key = match &arguments.api_key_file {
        Some(path) => Some(Zeroizing::new(
            read_private(path).map_err(|error| error.to_string())?,
        )),
        None => std::env::var("AIM_API_KEY").ok().map(Zeroizing::new),
    };
    let key = key
        .filter(|key| !key.trim().is_empty())
        .ok_or("no credentials: name a file with --api-key-file, or set AIM_API_KEY")?;
    Client::builder()
        .server(&arguments.server)
        .bearer(SecretString::from(key.trim()))
        .build()
        .map_err(|error| error.to_string())
}

/// What is typed without an echo, or standard input.
fn read_token() -> Result<Zeroizing<String>, String> {
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password("The text that was found: ");
        return typed.map(Zeroizing::new).map_err(|error| error.to_string());
    }
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let read = io::stdin().lock().take(LONGEST + 2).read_to_string(&mut text);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    if text.trim().is_empty() {
        return Err("standard input holds no text".to_owned());
    }
    Ok(text)
}

fn shown(command: &KeyCommand, answer: &Value) -> String {
    let text = |value: &Value, name: &str| {
        let member = value.get(name).and_then(Value::as_str);
        member.unwrap_or("-").to_owned()
    };
    match command {
        KeyCommand::List { .. } => {
            let keys = answer.get("api_keys").and_then(Value::as_array);
            let lines = keys.into_iter().flatten().map(|key| {
                let of = |name| text(key, name);
                format!(
                    "{}  {:8}  {}…  {}  ({}, last used {})",
                    of("id"),
                    of("status"),
                    of("prefix"),
                    of("name"),
                    of("agent_name"),
                    of("last_used_at")
                )
            });
            let lines: Vec<String> = lines.collect();
            if lines.is_empty() {
                "no keys".to_owned()
            } else {
                lines.join("\n")
            }
        }
        KeyCommand::Recognise => {
            let mut said = text(answer, "verdict");
            if let Some(key) = answer.get("key").filter(|key| key.is_object()) {
                said.push_str(&format!(
                    "\n{} of {}: {}, id {}, last used {} from {}",
                    text(key, "name"),
                    text(key, "agent_name"),
                    text(key, "status"),
                    text(key, "id"),
                    text(key, "last_used_at"),
                    text(key, "last_used_from")
                ));
            }
            if let Some(wrap) = answer.get("wrap").filter(|wrap| wrap.is_object()) {
                said.push_str(&format!(
                    "\n{}, id {}, good until {}",
                    text(wrap, "state"),
                    text(wrap, "id"),
                    text(wrap, "expires_at")
                ));
            }
            said
        }
        // The token alone, so that it can be piped to where it belongs.
        KeyCommand::Rotate { .. } => text(answer, "api_key"),
        KeyCommand::Revoke { .. } => "the key is revoked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_recognised_key_is_named_with_its_agent_and_state() {
        let key = json!({"name": "ci", "agent_name": "reader", "status": "active", "id": "1", "last_used_at": null});
        let answer = json!({"verdict": "this is a key of this organisation", "key": key});
        assert_eq!(
            shown(&KeyCommand::Recognise, &answer),
            "this is a key of this organisation\nci of reader: active, id 1, last used - from -"
        );
        let answer = json!({"verdict": "no key", "key": null});
        assert_eq!(shown(&KeyCommand::Recognise, &answer), "no key");
    }
}
