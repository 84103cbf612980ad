//! The command line. Each command is a module; what they print goes through `terminal`.

mod agent;
mod audit;
mod backup;
mod config;
mod credentials;
mod demo;
mod health;
mod init;
mod openapi;
pub(crate) mod replay;
mod serve;

use std::{future::Future, io, path::PathBuf, process::ExitCode, sync::LazyLock};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    backup::BackupError,
    composition,
    configuration::{ConfigurationError, Settings, Sources, load},
    installation::OpenError,
    terminal,
};

/// `0.1.0 (community)`.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), composition::edition_name()));

const EXIT_CODES: &str = "\
Exit codes:
  0  done; `agent act`: approved; `audit verify`: intact; `replay`: the same verdict
  1  an error, wrong usage included
  2  `audit verify`: not intact; `replay`: another verdict, or an altered record
  3  `agent act`: denied; `replay`: retention has erased the inputs
  4  `agent act`: pending, a person decides";

/// Identity, authorization and evidence for AI agents.
#[derive(Debug, Parser)]
#[command(name = "aim", version = VERSION.as_str(), after_help = EXIT_CODES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print data as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArguments),
    /// Set a new installation up: its organisation, its first administrator and an API key.
    Init(init::InitArguments),
    /// Sign in to a server, for the commands that manage agents.
    Login(credentials::LoginArguments),
    /// Register agents, rotate their keys, and let them ask for actions.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Check the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Copy the database into one checked file, while the server runs (SQLite).
    Backup(backup::BackupArguments),
    /// Put a backup in the place of the database, while no server runs (SQLite).
    Restore(backup::RestoreArguments),
    /// Decide a recorded decision again, and compare.
    Replay(replay::ReplayArguments),
    /// Ask a server whether it is ready.
    Health(health::HealthArguments),
    /// Check or show the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the OpenAPI document of this edition.
    Openapi,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Play a fleet of agents against a server of its own, and keep it running.
    Demo(demo::DemoArguments),
}

/// Which installation on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct StorageArguments {
    /// The data folder; the server makes it when it is not there.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// A file of settings, instead of aim.toml in the data folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// sqlite:PATH or postgres://… . Others on this machine can see it: a password belongs into the
    /// file of settings or into AIM__DATABASE__URL.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl StorageArguments {
    fn sources(&self) -> Sources {
        let mut sources = Sources::of_process(&self.data);
        sources.file = self.config.clone();
        sources
            .flags
            .extend(self.database_url.clone().map(|url| ("database.url", url)));
        sources
    }

    fn settings(&self) -> Result<Settings, ConfigurationError> {
        load(&self.sources())
    }
}

/// What a command that could not do its work says, on standard error.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        Self(error.to_string())
    }
}
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self(error.to_string())
    }
}
impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self(error.to_string())
    }
}
impl From<aim_client::Error> for Failure {
    fn from(error: aim_client::Error) -> Self {
        let remedy = error
            .problem()
            .map(|problem| problem.remedy.clone())
            .filter(|remedy| !remedy.is_empty());
        Self(remedy.map_or_else(|| error.to_string(), |remedy| format!("{error}\n{remedy}")))
    }
}
impl From<aim_core::Error> for Failure {
    fn from(error: aim_core::Error) -> Self {
        // Whoever runs a command on the server's machine may know the cause.
        Self(match &error.source {
            Some(cause) => format!("{error}: {cause}"),
            None => match &error.field {
                Some(field) => format!("{field}: {error}"),
                None => error.to_string(),
            },
        })
    }
}
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// How a command ends.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    command()
        .try_get_matches()
        .and_then(|matches| match added(&matches) {
            Some(code) => Ok(code),
            None => Arguments::from_arg_matches(&matches).map(done),
        })
        .unwrap_or_else(|error| {
            // Help and version go to standard output and are no errors.
            let _ = error.print();
            if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        })
}

/// The whole command line of this edition.
fn command() -> clap::Command {
    let added = composition::commands().map(|added| (added.describe)());
    Arguments::command().subcommands(added)
}

/// Does what the command line says, if that is a command that the edition adds.
fn added(matches: &clap::ArgMatches) -> Option<ExitCode> {
    let (name, of_command) = matches.subcommand()?;
    let command = composition::commands().find(|added| added.name == name)?;
    Some((command.run)(of_command, matches.get_flag("json")))
}

fn done(arguments: Arguments) -> ExitCode {
    run(arguments).unwrap_or_else(|failure| {
        terminal::complaint(failure.0);
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> Outcome {
    let json = arguments.json;
    match arguments.command {
        Command::Serve(serve) => block_on(serve.run()),
        Command::Init(init) => block_on(init.run(json)),
        Command::Login(login) => block_on(login.run(json)),
        Command::Agent(agent) => block_on(agent.run(json)),
        Command::Audit(audit) => block_on(audit.run(json)),
        Command::Backup(backup) => backup.run(json),
        Command::Restore(restore) => restore.run(json),
        Command::Replay(replay) => block_on(replay.run(json)),
        Command::Health(health) => block_on(health.run(json)),
        Command::Config(config) => config.run(json),
        Command::Openapi => block_on(openapi::run()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "aim", &mut script);
            terminal::raw(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(demo) => block_on(demo.run()),
    }
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    actix_web::rt::System::new().block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let takes_value = argument.get_action().takes_values();
                let secret = ["password", "token", "secret", "api_key", "private"]
                    .iter()
                    .any(|word| name.contains(word));
                assert!(
                    !(takes_value && secret) || name.ends_with("_file"),
                    "--{name} of {}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    #[test]
    fn the_version_names_the_edition() {
        assert!(VERSION.ends_with(&format!("({})", composition::edition_name())));
    }
}
