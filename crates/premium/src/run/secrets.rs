//! The secrets of a run: each read once, all at the same time, all or none.

use std::{collections::BTreeMap, time::Duration};

use aim_client::{Client, Decision, Error, KeyFolder, Secret, SecretError, SecretString, Status};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};
use zeroize::Zeroizing;

use super::{DENIED, FAILED, Failure, LATER, reference::Reference, say};

/// How many reads are on their way at once.
const AT_ONCE: usize = 16;
/// How often a decision that waits for a person is asked for.
const POLL: Duration = Duration::from_secs(1);
/// The kind whose content is Base64.
const FILE: &str = "file";
/// Fields that name or place something; a program may print them, and often must.
const OPEN_FIELDS: [&str; 8] = [
    "username",
    "host",
    "port",
    "database",
    "client_id",
    "token_url",
    "scopes",
    "client_auth",
];

/// Which secret: path and version.
pub(super) type Key = (String, Option<i64>);

/// Secrets that were read.
#[derive(Debug)]
pub(crate) struct Secrets(BTreeMap<Key, Secret>);

impl Secrets {
    /// Reads all that is named, as the agent. A person is waited for as long as `wait`.
    ///
    /// # Errors
    /// Every one that could not be had, each with its reason. Denied weighs more than later, and that more
    /// than anything else.
    pub(crate) fn read(
        client: Option<&Client>,
        wait: Duration,
        references: &[&Reference],
    ) -> Result<Self, Failure> {
        let Some(client) = client else {
            return Ok(Self(BTreeMap::new()));
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(Self::read_by(client, wait, references))
    }

    /// As [`Self::read`], where there is a runtime.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_by(
        client: &Client,
        wait: Duration,
        references: &[&Reference],
    ) -> Result<Self, Failure> {
        let mut wanted: Vec<Key> = references.iter().map(|reference| key(reference)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let secrets = read_all(client, wanted, wait).await?;
        Self(secrets).checked(references)
    }

    /// Which version each of them has.
    pub(super) fn versions(&self) -> BTreeMap<Key, i64> {
        let read = self.0.iter();
        read.map(|(key, secret)| (key.clone(), secret.version)).collect()
    }

    /// That each field that is named is there.
    fn checked(self, references: &[&Reference]) -> Result<Self, Failure> {
        for reference in references {
            self.value(reference)?;
        }
        Ok(self)
    }

    /// What a reference stands for. The content of a file is decoded.
    pub(crate) fn value(&self, reference: &Reference) -> Result<Zeroizing<Vec<u8>>, String> {
        let (secret, name, value) = self.field(reference)?;
        if secret.kind == FILE && name == "content" {
            return STANDARD
                .decode(value.expose())
                .map(Zeroizing::new)
                .map_err(|_| format!("the content of {reference} is no Base64"));
        }
        Ok(Zeroizing::new(value.expose().as_bytes().to_vec()))
    }

    /// Whether what a reference stands for is more than a name or an address.
    pub(crate) fn is_confidential(&self, reference: &Reference) -> bool {
        self.field(reference)
            .is_ok_and(|(secret, name, _)| secret.kind == "map" || !OPEN_FIELDS.contains(&name))
    }

    fn field<'a>(
        &'a self,
        reference: &'a Reference,
    ) -> Result<(&'a Secret, &'a str, &'a SecretString), String> {
        let secret = self
            .0
            .get(&key(reference))
            .ok_or_else(|| format!("{reference} was not read"))?;
        let found = match &reference.field {
            Some(name) => secret.field(name).map(|value| (name.as_str(), value)),
            None => secret.main_field(),
        };
        let (name, value) = found.ok_or_else(|| {
            let names: Vec<&str> = secret.fields().map(|(name, _)| name).collect();
            let said = match &reference.field {
                Some(_) => "has no such field",
                None => "has several fields; name one as PATH#FIELD",
            };
            format!("{reference} {said}: {}", names.join(", "))
        })?;
        Ok((secret, name, value))
    }
}

/// Who reads: the agent of that name, by its key file.
///
/// # Errors
/// When no agent is named, or its key cannot be used.
pub(super) fn client_of(agent: Option<&str>, server: Option<String>) -> Result<Client, Failure> {
    let agent = agent.ok_or_else(|| "name the agent with --agent, AIM_AGENT or the manifest".to_owned())?;
    let identity = KeyFolder::standard().and_then(|folder| folder.load(agent));
    let mut builder = Client::builder().agent(identity.map_err(|error| error.to_string())?);
    if let Some(server) = server {
        builder = builder.server(server);
    }
    Ok(builder.build().map_err(|error| error.to_string())?)
}

/// Reads all, at the same time; what waits for a person after the rest, if the rest can be had.
async fn read_all(
    client: &Client,
    wanted: Vec<Key>,
    wait: Duration,
) -> Result<BTreeMap<Key, Secret>, Failure> {
    let mut secrets = BTreeMap::new();
    let mut pending = Vec::new();
    let mut failures = Vec::new();
    let mut reads = stream::iter(wanted)
        .map(|(path, version)| async move {
            let read = client.read_secret(&path, version).await;
            ((path, version), read)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((key, read)) = reads.next().await {
        match read {
            Ok(secret) => {
                secrets.insert(key, secret);
            }
            Err(SecretError::Pending { decision, .. }) if !wait.is_zero() => pending.push((key, decision)),
            Err(error) => failures.push(failure(&error)),
        }
    }
    drop(reads);
    if failures.is_empty() {
        for ((path, _), decision) in &pending {
            say(&format!(
                "waiting for a person to approve the read of {path} (decision {})",
                decision.id
            ));
        }
        let approvals = pending.into_iter().map(|(key, decision)| async move {
            let read = when_approved(client, &key, decision, wait).await;
            (key, read)
        });
        for (key, read) in futures_util::future::join_all(approvals).await {
            match read {
                Ok(secret) => {
                    secrets.insert(key, secret);
                }
                Err(error) => failures.push(failure(&error)),
            }
        }
    }
    all(failures).map_or(Ok(secrets), Err)
}

/// Waits for a person, and takes the read up.
async fn when_approved(
    client: &Client,
    (path, version): &Key,
    mut decision: Box<Decision>,
    wait: Duration,
) -> Result<Secret, SecretError> {
    let mut left = wait;
    while decision.status == Status::Pending && !left.is_zero() {
        let pause = POLL.min(left);
        tokio::time::sleep(pause).await;
        left -= pause;
        decision = Box::new(client.poll(decision.id).await?);
    }
    let path = path.as_str();
    match decision.status {
        Status::Approved => client.take_up_secret(path, *version, decision.id).await,
        Status::Denied => Err(SecretError::Denied {
            path: path.to_owned(),
            decision,
        }),
        Status::Pending => Err(SecretError::Pending {
            path: path.to_owned(),
            decision,
        }),
    }
}

fn key(reference: &Reference) -> Key {
    (reference.path.clone(), reference.version)
}

fn failure(error: &SecretError) -> Failure {
    let code = match error {
        SecretError::Denied { .. } => DENIED,
        SecretError::Pending { .. } | SecretError::Sealed => LATER,
        SecretError::Call(Error::Unreachable { .. }) => LATER,
        SecretError::Call(Error::Refused(problem)) if problem.status == 429 || problem.status >= 500 => LATER,
        _ => FAILED,
    };
    let remedy = match error {
        SecretError::Call(error) => error.problem().map(|problem| problem.remedy.as_str()),
        SecretError::Pending { .. } => {
            Some("with --wait SECONDS the command waits for that person; without, it asks anew each time")
        }
        _ => None,
    };
    let remedy = remedy.filter(|remedy| !remedy.is_empty());
    Failure {
        code,
        text: remedy.map_or_else(|| error.to_string(), |remedy| format!("{error}\n{remedy}")),
    }
}

/// One failure of many, none of none.
fn all(failures: Vec<Failure>) -> Option<Failure> {
    let codes: Vec<u8> = failures.iter().map(|failure| failure.code).collect();
    let code = [DENIED, LATER, FAILED]
        .into_iter()
        .find(|code| codes.contains(code))?;
    // A server that does not answer says so once, not once for each secret.
    let mut texts: Vec<String> = failures.into_iter().map(|failure| failure.text).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.push("nothing was started".to_owned());
    Some(Failure {
        code,
        text: texts.join("\n"),
    })
}
