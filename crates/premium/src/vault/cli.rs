//! `aim vault`: how the vault of a running server stands, sealing and opening it, and exchanging its keys.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use aim_client::{Client, DEFAULT_SERVER, SecretString, read_private};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{passphrase::LONGEST, transfer::cli as transfer};

/// The command's name.
pub const NAME: &str = "vault";
/// How often `--wait` looks.
const LOOKING: Duration = Duration::from_millis(500);

/// See how the vault stands, seal and open it, and exchange its keys.
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
    /// Say how the vault stands: its root key, the organisation's keys, and how far a rotation has come.
    Status,
    /// Open the vault: take its seal off, and where its root key is made of a passphrase, give that, from standard
    /// input or as it is typed. The first passphrase that is given is the one that is set. Needs an API key of an
    /// administrator.
    Unseal,
    /// Seal the vault, on all nodes: nothing is read or written until it is unsealed. Needs an API key of an
    /// administrator of the organisation that the installation was set up with.
    Seal,
    /// Rotate a key of the organisation. Needs an API key of an administrator.
    Rotate {
        /// Which one: wrap (of the versions' keys) or index (of heads and of values that are looked up).
        #[arg(long, default_value = "wrap")]
        purpose: KeyPurpose,
        /// Wait until nothing stands under the old key any more.
        #[arg(long)]
        wait: bool,
    },
    /// Replace the root key by a fresh one, of the same provider or of another; a new passphrase is read from standard
    /// input or as it is typed. Needs an API key of an administrator of the organisation that the installation was
    /// set up with.
    Rekey {
        /// Where the new root key comes from; unless it is given, from where the present one does.
        #[arg(long)]
        provider: Option<Provider>,
    },
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
    /// Make a token that hands a secret over once.
    Wrap(crate::secret_wraps::cli::WrapArguments),
    /// Use such a token, from standard input: write what it hands over to standard output.
    Unwrap(crate::secret_wraps::cli::UnwrapArguments),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyPurpose {
    Wrap,
    Index,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Provider {
    KeyFile,
    Passphrase,
    AwsKms,
    GcpKms,
    AzureKeyVault,
    VaultTransit,
}

/// The command with its arguments and help.
#[must_use]
pub fn command() -> Command {
    VaultArguments::augment_args(Command::new(NAME))
}

/// Does what the command line says; says itself what goes wrong.
#[must_use]
pub fn execute(matches: &ArgMatches, as_json: bool) -> ExitCode {
    // Passphrases, tokens, keys and values pass through here.
    crate::memory::protect();
    let done = VaultArguments::from_arg_matches(matches)
        .map_err(|error| error.to_string())
        .and_then(|arguments| match &arguments.command {
            VaultCommand::Import(_)
            | VaultCommand::Export(_)
            | VaultCommand::OpenExport(_)
            | VaultCommand::Keygen(_) => transferred(&arguments, as_json),
            _ => {
                let answer = run(&arguments)?;
                Ok((!answer.is_null()).then(|| shown(&answer, as_json)))
            }
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    // What can be done without an API key.
    match &arguments.command {
        VaultCommand::Unwrap(token) => {
            return runtime
                .block_on(token.run(&arguments.server))
                .map(|()| Value::Null);
        }
        VaultCommand::Wrap(wrap) if wrap.by_agent() => {
            return runtime.block_on(wrap.run(&arguments.server, None));
        }
        _ => {}
    }
    let client = client(arguments)?;
    if let VaultCommand::Wrap(wrap) = &arguments.command {
        return runtime.block_on(wrap.run(&arguments.server, Some(client)));
    }
    runtime.block_on(answered(&client, &arguments.command))
}

/// The status of the vault with the organisation's keys.
async fn answered(client: &Client, command: &VaultCommand) -> Result<Value, String> {
    let call = async |method: Method, path: &str, body: Option<&Value>| -> Result<Value, String> {
        let path = format!("/api/v1/vault/{path}");
        let answer = client.call(method, &path, body).await;
        answer.map_err(|error: aim_client::Error| error.to_string())
    };
    let mut status = match command {
        // Those have answers of their own.
        VaultCommand::Wrap(_)
        | VaultCommand::Unwrap(_)
        | VaultCommand::Import(_)
        | VaultCommand::Export(_)
        | VaultCommand::OpenExport(_)
        | VaultCommand::Keygen(_) => return Ok(Value::Null),
        VaultCommand::Status => call(Method::GET, "status", None).await?,
        VaultCommand::Unseal => {
            let known = call(Method::GET, "status", None).await?;
            let body = match known.get("provider").and_then(Value::as_str) {
                Some("passphrase") => {
                    json!({"passphrase": read_passphrase("Passphrase of the vault: ")?.expose()})
                }
                _ => json!({}),
            };
            call(Method::POST, "unseal", Some(&body)).await?
        }
        VaultCommand::Seal => call(Method::POST, "seal", None).await?,
        VaultCommand::Rekey { provider } => {
            let known = call(Method::GET, "status", None).await?;
            let known = known.get("provider").and_then(Value::as_str).unwrap_or_default();
            let named = provider.and_then(|provider| provider.to_possible_value());
            let provider = named.as_ref().map_or(known, |named| named.get_name());
            let mut body = json!({"provider": provider});
            if provider == "passphrase" {
                body = json!({"provider": provider, "passphrase": new_passphrase()?.expose()});
            }
            call(Method::POST, "rekey", Some(&body)).await?
        }
        VaultCommand::Rotate { purpose, wait } => {
            let purpose = match purpose {
                KeyPurpose::Wrap => "wrap",
                KeyPurpose::Index => "index",
            };
            let rotated = call(Method::POST, "keys/rotate", Some(&json!({"purpose": purpose}))).await?;
            if *wait {
                waited(rotated, async || call(Method::GET, "keys", None).await).await?;
            }
            call(Method::GET, "status", None).await?
        }
    };
    let keys = call(Method::GET, "keys", None).await?;
    if let Some(status) = status.as_object_mut() {
        status.insert("rotation".to_owned(), keys);
    }
    Ok(status)
}

/// Waits until a rotation is through, and says how far it is.
async fn waited(mut keys: Value, look: impl AsyncFn() -> Result<Value, String>) -> Result<(), String> {
    let number = |keys: &Value, name: &str| keys.get(name).and_then(Value::as_i64).unwrap_or_default();
    while number(&keys, "percent") < 100 {
        let stuck = keys
            .get("keys")
            .and_then(Value::as_array)
            .map_or(0, |keys| keys.iter().map(|key| number(key, "stuck")).sum::<i64>());
        let remaining = number(&keys, "remaining");
        if stuck > 0 && stuck == remaining {
            return Err(format!(
                "{stuck} did not open under the old key, which is kept for them: they were changed outside AIM; the server's log says more"
            ));
        }
        if io::stderr().is_terminal() {
            let _ = write!(
                io::stderr().lock(),
                "\r{} %, {remaining} to go   ",
                number(&keys, "percent")
            );
        }
        tokio::time::sleep(LOOKING).await;
        keys = look().await?;
    }
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr().lock(), "\r100 %                ");
    }
    Ok(())
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
        _ => Ok(None),
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

/// A passphrase that is to be set: typed twice, where it is typed.
fn new_passphrase() -> Result<SecretString, String> {
    let first = read_passphrase("New passphrase of the vault: ")?;
    if io::stdin().is_terminal() {
        let second = read_passphrase("Once more: ")?;
        if first.expose() != second.expose() {
            return Err("the two are not the same".to_owned());
        }
    }
    Ok(first)
}

/// What is typed without an echo, or all of standard input but its last line break.
fn read_passphrase(prompt: &str) -> Result<SecretString, String> {
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(prompt);
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
    if let Some(token) = text("token") {
        return token.to_owned();
    }
    let mut lines = format!(
        "the vault is {}, its root key {}",
        text("state").unwrap_or("unknown"),
        match text("provider") {
            Some("passphrase") => "of a passphrase",
            Some("aws_kms") => "by AWS KMS",
            Some("gcp_kms") => "by Google Cloud KMS",
            Some("azure_key_vault") => "by Azure Key Vault",
            Some("vault_transit") => "by a transit engine",
            _ => "of a file",
        }
    );
    if let Some(id) = text("root_key_id") {
        lines.push_str(&format!(" ({id})"));
    }
    if let Some(reason) = text("reason") {
        lines.push_str(&format!("\n{reason}"));
    }
    let rotation = status.get("rotation").unwrap_or(&Value::Null);
    for key in rotation
        .get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| key.get(name).and_then(Value::as_i64).unwrap_or_default();
        let unit = if text("purpose") == "index" {
            "secrets"
        } else {
            "versions"
        };
        lines.push_str(&format!(
            "\n{:<5} {:<7} {}  {} {unit}",
            text("purpose"),
            text("state"),
            text("id"),
            number("covers"),
        ));
        if number("stuck") > 0 {
            lines.push_str(&format!(", {} of them do not open", number("stuck")));
        }
    }
    let percent = rotation.get("percent").and_then(Value::as_i64).unwrap_or(100);
    if percent < 100 {
        let remaining = rotation
            .get("remaining")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        lines.push_str(&format!("\nthe rotation is at {percent} %, {remaining} to go"));
    }
    lines
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

    #[test]
    fn keys_are_a_line_each_and_a_rotation_says_how_far_it_is() {
        let key = |purpose: &str, state: &str, covers: i64, stuck: i64| json!({"id": "7", "purpose": purpose, "state": state, "covers": covers, "stuck": stuck});
        let keys = [
            key("wrap", "retired", 3, 1),
            key("wrap", "current", 9, 0),
            key("index", "current", 5, 0),
        ];
        let status = json!({"state": "open", "provider": "aws_kms", "root_key_id": "ab12",
            "rotation": {"keys": keys, "percent": 70, "remaining": 3}});
        assert_eq!(
            shown(&status, false),
            "the vault is open, its root key by AWS KMS (ab12)\n\
             wrap  retired 7  3 versions, 1 of them do not open\n\
             wrap  current 7  9 versions\n\
             index current 7  5 secrets\n\
             the rotation is at 70 %, 3 to go"
        );
    }

    #[tokio::test]
    async fn waiting_ends_with_the_rotation_or_with_what_cannot_be_taken_over() {
        let half = json!({"percent": 50, "remaining": 2, "keys": [{"stuck": 0}]});
        assert_eq!(
            waited(half.clone(), async || Ok(json!({"percent": 100}))).await,
            Ok(())
        );
        let stuck = json!({"percent": 50, "remaining": 2, "keys": [{"stuck": 2}]});
        assert!(waited(stuck, async || unreachable!()).await.is_err());
        assert!(waited(half, async || Err("gone".to_owned())).await.is_err());
    }
}
