//! `aim run`: starts a command with secrets in its environment, and nowhere else.
//!
//! Everything is read before the command starts: one secret that the agent may not have, and there is no
//! command. The values live in this process and in the child; not in arguments, logs or errors.

pub mod child;
pub mod files;
mod known;
pub mod manifest;
pub mod on_change;
pub mod redact;
pub mod reference;
mod secrets;
pub mod template;
mod tree;
pub mod watch;

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{ArgMatches, Args, Command, FromArgMatches};

use self::{
    child::{NotStarted, Order, Signals},
    files::PrivateFiles,
    manifest::{Plan, parse_assignment, parse_template},
    on_change::OnChange,
    redact::{Patterns, SHORTEST},
    reference::Reference,
    secrets::Secrets,
    template::Template,
    watch::{Next, Watcher},
};

/// The command's name.
pub const NAME: &str = "run";

/// The agent may not read a secret. EX_NOPERM of sysexits.h.
const DENIED: u8 = 77;
/// A person has not approved yet, or the server cannot answer now. EX_TEMPFAIL of sysexits.h.
const LATER: u8 = 75;
/// Whatever else went wrong before the command started; `env` and `timeout` use it too.
const FAILED: u8 = 125;

const HELP: &str = "\
SECRET is PATH[#FIELD][@VERSION]: payments/stripe/live, db/orders#password, tls/web#private_key@3.
Without a field it is the only one, or `value`; without a version the newest.

In a template {{ aim:SECRET }} stands for the value, and {{ aim:SECRET | json }}, | url or | base64 for the
value in that form.

Exit codes:
  the command's own; 128 + n when signal n ended it
  75   a person has not approved yet, or the server cannot answer now: nothing was started
  77   the agent may not read one of the secrets: nothing was started
  125  another failure before the command was started
  126  the command cannot be executed
  127  the command was not found";

/// Start a command with secrets in its environment.
#[derive(Debug, Args)]
struct RunArguments {
    /// The agent that reads; its key is that of ~/.config/aim/agents.
    #[arg(long, env = "AIM_AGENT", value_name = "NAME")]
    agent: Option<String>,
    /// The server's address; that of the agent's key file unless set.
    #[arg(long, env = "AIM_SERVER", value_name = "URL")]
    server: Option<String>,
    /// A variable of the command. May be given more than once, as each of these.
    #[arg(long, value_name = "NAME=SECRET", value_parser = parse_assignment)]
    env: Vec<(String, Reference)>,
    /// A file that the command finds at PATH: a link to one in memory, which only you may read.
    #[arg(long, value_name = "PATH=SECRET", value_parser = parse_assignment)]
    file: Vec<(String, Reference)>,
    /// A file of which this variable of the command says the path.
    #[arg(long, value_name = "NAME=SECRET", value_parser = parse_assignment)]
    file_env: Vec<(String, Reference)>,
    /// A file that the command finds at OUT, made of the template IN.
    #[arg(long, value_name = "IN:OUT", value_parser = parse_template)]
    template: Vec<(PathBuf, PathBuf)>,
    /// A file that says all this; what the command line says counts more.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Replace the values in what the command writes to its standard output and error. They are pipes then.
    #[arg(long)]
    redact: bool,
    /// What to do when one of the secrets changes: `notice` (a line on standard error), `restart`, `exit`, or
    /// `signal:NAME`, which writes the files anew first.
    #[arg(long, value_name = "WHAT")]
    on_change: Option<OnChange>,
    /// With `restart`, `exit` and `signal` the secrets are read anew after this many seconds though nothing was heard, for what no
    /// server tells, such as the end of a grant. 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    renew_every: u64,
    /// Wait this many seconds for a person to approve what needs that.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Why nothing was started: an exit code, and what to say of it.
struct Failure {
    code: u8,
    text: String,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { code: FAILED, text }
    }
}

impl From<NotStarted> for Failure {
    fn from(NotStarted(code, text): NotStarted) -> Self {
        Self { code, text }
    }
}

/// The command's arguments and help.
#[must_use]
pub fn command() -> Command {
    RunArguments::augment_args(Command::new(NAME)).after_help(HELP)
}

/// Does what the command line says, and answers with what the program ends.
#[must_use]
pub fn execute(matches: &ArgMatches) -> ExitCode {
    let done = RunArguments::from_arg_matches(matches)
        .map_err(|error| Failure::from(error.to_string()))
        .and_then(run);
    ExitCode::from(done.unwrap_or_else(|failure| {
        say(&failure.text);
        failure.code
    }))
}

/// Says something on standard error, line by line.
fn say(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(err, "aim: {line}");
    }
}

fn run(arguments: RunArguments) -> Result<u8, Failure> {
    keep_memory_private();
    let (server, command) = (arguments.server.clone(), arguments.command.clone());
    let wait = Duration::from_secs(arguments.wait);
    let every = Some(Duration::from_secs(arguments.renew_every)).filter(|every| !every.is_zero());
    let plan = plan(arguments)?;
    files::remove_left_over();
    let templates = plan
        .templates
        .iter()
        .map(|(target, source)| Ok((target, read_template(source)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let named = templates.iter().flat_map(|(_, template)| template.references());
    let references: Vec<&Reference> = plan
        .env
        .values()
        .chain(plan.files.values())
        .chain(plan.file_env.values())
        .chain(named)
        .collect();
    let furniture = Furniture {
        plan: &plan,
        templates: &templates,
        references,
    };
    let client = furniture.client(server)?;
    let watcher = client
        .as_ref()
        .map(|client| Watcher::new(client.clone(), plan.on_change, every, &furniture))
        .transpose()?;
    let mut secrets = Secrets::read(client.as_ref(), wait, &furniture.references)?;
    // From the first file on a signal waits for the child, and does not leave files behind.
    let mut signals = None;
    loop {
        if let Some(watcher) = &watcher {
            watcher.given(&secrets);
        }
        let mut environment = furniture.variables(&secrets)?;
        let taken = match signals.take() {
            Some(taken) => taken,
            None => Signals::take().map_err(|error| format!("signals cannot be taken: {error}"))?,
        };
        let files = furniture.files(&secrets, &mut environment)?;
        let redact = plan
            .redact
            .then(|| patterns(&secrets, &furniture.references))
            .transpose()?;
        // The child has what it needs; nothing here needs it any more.
        drop(secrets);
        let order = Order {
            command: command.clone(),
            environment,
            redact,
        };
        let ended = child::run(order, files, taken, watcher.as_ref())?;
        match watcher.as_ref().and_then(Watcher::next) {
            // What somebody wants to end stays ended.
            Some(Next::Again(renewed, taken)) if !ended.was_told => {
                secrets = renewed;
                signals = Some(taken);
            }
            Some(Next::End(code)) => return Ok(code),
            Some(Next::Again(..)) | None => return Ok(ended.code),
        }
    }
}

/// What the command finds, and of which secrets it is made.
struct Furniture<'a> {
    plan: &'a Plan,
    templates: &'a [(&'a PathBuf, Template)],
    references: Vec<&'a Reference>,
}

impl Furniture<'_> {
    /// Who reads; nobody where there is nothing to read.
    fn client(&self, server: Option<String>) -> Result<Option<aim_client::Client>, Failure> {
        if self.references.is_empty() {
            return Ok(None);
        }
        secrets::client_of(self.plan.agent.as_deref(), server).map(Some)
    }

    fn variables(&self, secrets: &Secrets) -> Result<Vec<(String, OsString)>, String> {
        let mut environment = Vec::new();
        for (name, reference) in &self.plan.env {
            let value = secrets.value(reference)?;
            if value.contains(&0) {
                return Err(format!(
                    "{reference} holds a zero byte, which no variable can; use --file"
                ));
            }
            environment.push((name.clone(), OsString::from_vec(value.to_vec())));
        }
        Ok(environment)
    }

    /// Writes the files, if there are any, and names those that variables name.
    fn files(
        &self,
        secrets: &Secrets,
        environment: &mut Vec<(String, OsString)>,
    ) -> Result<Option<PrivateFiles>, String> {
        let plan = self.plan;
        if plan.files.is_empty() && plan.file_env.is_empty() && self.templates.is_empty() {
            return Ok(None);
        }
        let mut files = PrivateFiles::new()?;
        if !files.in_memory() {
            say(
                "there is no place in memory for files (XDG_RUNTIME_DIR, /dev/shm): they lie on a disk until the command ends",
            );
        }
        for (path, reference) in &plan.files {
            files.write_at(path, &secrets.value(reference)?)?;
        }
        for (path, template) in self.templates {
            files.write_at(path, &template.render(|reference| secrets.value(reference))?)?;
        }
        for (name, reference) in &plan.file_env {
            let path = files.write(&secrets.value(reference)?)?;
            environment.push((name.clone(), path.into_os_string()));
        }
        Ok(Some(files))
    }

    /// Writes the files anew, in the order in which [`Self::files`] wrote them.
    fn renew(&self, secrets: &Secrets, files: &mut PrivateFiles) -> Result<(), String> {
        let mut contents = Vec::new();
        for reference in self.plan.files.values() {
            contents.push(secrets.value(reference)?);
        }
        for (_, template) in self.templates {
            contents.push(template.render(|reference| secrets.value(reference))?);
        }
        for reference in self.plan.file_env.values() {
            contents.push(secrets.value(reference)?);
        }
        // All can be had before the first is replaced.
        contents
            .iter()
            .enumerate()
            .try_for_each(|(place, content)| files.replace(place + 1, content))
    }
}

/// The manifest, and over it what the command line says.
fn plan(arguments: RunArguments) -> Result<Plan, String> {
    let mut plan = match &arguments.manifest {
        Some(path) => Plan::from_manifest(path)?,
        None => Plan::default(),
    };
    plan.agent = arguments.agent.or(plan.agent);
    plan.redact |= arguments.redact;
    plan.on_change = arguments.on_change.unwrap_or(plan.on_change);
    if plan.redact && matches!(plan.on_change, OnChange::Signal(_)) {
        return Err(
            "--redact and a signal do not go together: values that come later would not be taken out; use restart"
                .to_owned(),
        );
    }
    add(&mut plan.env, arguments.env, OsStr::new)?;
    add(&mut plan.file_env, arguments.file_env, OsStr::new)?;
    let files = arguments
        .file
        .into_iter()
        .map(|(path, reference)| (PathBuf::from(path), reference));
    add(&mut plan.files, files, |path| path.as_os_str())?;
    add(&mut plan.templates, arguments.template, |path| path.as_os_str())?;
    plan.check()?;
    Ok(plan)
}

/// Adds what the command line says; it may say a name once.
fn add<K: Ord + Clone, V>(
    map: &mut std::collections::BTreeMap<K, V>,
    entries: impl IntoIterator<Item = (K, V)>,
    name: impl Fn(&K) -> &OsStr,
) -> Result<(), String> {
    let mut said = std::collections::BTreeSet::new();
    for (key, value) in entries {
        if !said.insert(key.clone()) {
            return Err(format!("{} is given twice", name(&key).to_string_lossy()));
        }
        map.insert(key, value);
    }
    Ok(())
}

fn read_template(source: &PathBuf) -> Result<Template, String> {
    fs::read_to_string(source)
        .map_err(|error| error.to_string())
        .and_then(|text| Template::parse(&text))
        .map_err(|reason| format!("{}: {reason}", source.display()))
}

/// What may not pass the output: the values that the command got, but for names and addresses.
fn patterns(secrets: &Secrets, references: &[&Reference]) -> Result<Patterns, String> {
    let mut patterns = Patterns::default();
    for reference in references {
        if secrets.is_confidential(reference) && !patterns.add(&secrets.value(reference)?) {
            say(&format!(
                "{reference} is shorter than {SHORTEST} bytes; it is not taken out of the output"
            ));
        }
    }
    Ok(patterns)
}

/// No core of this process, and no look into it by others of this user. The child is not touched.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests;
