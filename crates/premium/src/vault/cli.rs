//! `aim vault`: how the vault of a running server stands, and giving it its passphrase.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use aim_client::{Client, DEFAULT_SERVER, SecretString, read_private};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{passphrase::LONGEST, transfer::cli as transfer};

/// The command's name.
pub const NAME: &str = "vault";

/// See how the vault stands, and give it its passphrase.
#[derive(Debug, Args)]
struct VaultArguments {
    /// The server's address.
    #[arg(long, env = "AIM_SERVER", value_name = "URL", default_value = DEFAULT_SERVER, global = true)]
    server: String,
    /// A file that only you may read, with an API key of the organisation. The key may also stand in
    /// AIM_API_KEY.
    #[arg(long, value_name = "FILE", global = true)]
    api_key_file: Option<PathBuf>,
    #[command(subcommand)]
    command: VaultCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum VaultCommand {
    /// Say how the vault stands.
    Status,
    /// Give the vault its passphrase, from standard input or as it is typed. The first one that is given is the
    /// one that is set. Needs an API key of an administrator.
    Unseal,
    /// Write secrets from a .env or JSON file, from an export, or from a KV v2 engine of Vault or OpenBao. Everything is
    /// looked at before anything is written.
    Import(transfer::ImportArguments),
    /// Export secrets, sealed to a recipient's key: nobody else can open the file, the server included. Needs an API key of an
    /// administrator.
    Export(transfer::ExportArguments),
    /// Open an export with the private key, without a server.
    OpenExport(transfer::OpenArguments),
    /// Make a recipient's key pair for exports, without a server.
    Keygen(transfer::KeygenArguments),
}

/// The command with its arguments and help.
#[must_use]
pub fn command() -> Command {
    VaultArguments::augment_args(Command::new(NAME))
}

/// Does what the command line says; says itself what goes wrong.
#[must_use]
pub fn execute(matches: &ArgMatches, as_json: bool) -> ExitCode {
    let done = VaultArguments::from_arg_matches(matches)
        .map_err(|error| error.to_string())
        .and_then(|arguments| match &arguments.command {
            VaultCommand::Status | VaultCommand::Unseal => {
                run(&arguments).map(|status| Some(shown(&status, as_json)))
            }
            _ => transferred(&arguments, as_json),
        });
    match done {
        Ok(words) => {
            if let Some(words) = words {
                let _ = writeln!(io::stdout().lock(), "{words}");
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            let _ = writeln!(io::stderr().lock(), "aim: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &VaultArguments) -> Result<Value, String> {
    let client = client(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let answer = match arguments.command {
        VaultCommand::Status => {
            runtime.block_on(client.call(Method::GET, "/api/v1/vault/status", None::<&Value>))
        }
        VaultCommand::Unseal => {
            let passphrase = read_passphrase()?;
            let body = json!({"passphrase": passphrase.expose()});
            runtime.block_on(client.call(Method::POST, "/api/v1/vault/unseal", Some(&body)))
        }
        _ => return Err("this is no command of a status".to_owned()),
    };
    answer.map_err(|error| error.to_string())
}

/// Import, export and what belongs to them; answers what is to be said on standard output.
fn transferred(arguments: &VaultArguments, as_json: bool) -> Result<Option<String>, String> {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().map_err(|error| error.to_string())
    };
    match &arguments.command {
        VaultCommand::Import(wish) => {
            let client = client(arguments)?;
            let (reply, left_out) = runtime()?.block_on(transfer::import(&client, wish))?;
            if as_json {
                return Ok(Some(json!({"import": reply, "left_out": left_out}).to_string()));
            }
            Ok(Some(transfer::shown(&reply, &left_out)))
        }
        VaultCommand::Export(wish) => {
            let client = client(arguments)?;
            let done = runtime()?.block_on(transfer::export(&client, wish))?;
            // Standard output is the export's.
            let _ = writeln!(io::stderr().lock(), "{done}");
            Ok(None)
        }
        VaultCommand::OpenExport(wish) => transfer::open_export(wish).map(|()| None),
        VaultCommand::Keygen(wish) => {
            let made = transfer::keygen(wish)?;
            if as_json {
                return Ok(Some(made.to_string()));
            }
            let text = |name: &str| {
                made.get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            Ok(Some(format!(
                "the private key is in {}; keep it\nthe public key is in {}, for `aim vault export --to`",
                text("private_key_file"),
                text("public_key_file")
            )))
        }
        VaultCommand::Status | VaultCommand::Unseal => Ok(None),
    }
}

fn client(arguments: &VaultArguments) -> Result<Client, String> {
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

/// What is typed without an echo, or all of standard input but its last line break.
fn read_passphrase() -> Result<SecretString, String> {
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password("Passphrase of the vault: ");
        return typed.map(SecretString::new).map_err(|error| error.to_string());
    }
    // Sized in advance: a growing text would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 4));
    let most = u64::try_from(LONGEST + 2).unwrap_or(u64::MAX);
    let read = io::stdin().lock().take(most).read_to_string(&mut text);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("standard input holds no passphrase".to_owned());
    }
    Ok(SecretString::from(line))
}

fn shown(status: &Value, as_json: bool) -> String {
    if as_json {
        return status.to_string();
    }
    let text = |name: &str| status.get(name).and_then(Value::as_str);
    let mut line = format!(
        "the vault is {}, its root key of {}",
        text("state").unwrap_or("unknown"),
        match text("provider") {
            Some("passphrase") => "a passphrase",
            _ => "a file",
        }
    );
    if let Some(id) = text("root_key_id") {
        line.push_str(&format!(" ({id})"));
    }
    if let Some(reason) = text("reason") {
        line.push_str(&format!("\n{reason}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_status_is_a_line_and_the_reason_another() {
        let status =
            json!({"state": "sealed", "provider": "passphrase", "reason": "it waits", "root_key_id": null});
        assert_eq!(
            shown(&status, false),
            "the vault is sealed, its root key of a passphrase\nit waits"
        );
        let status = json!({"state": "open", "provider": "key_file", "reason": null, "root_key_id": "ab12"});
        assert_eq!(
            shown(&status, false),
            "the vault is open, its root key of a file (ab12)"
        );
    }
}
