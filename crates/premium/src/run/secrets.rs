//! The secrets of a run: each read once, all at the same time, all or none.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aim_client::{Client, Decision, Error, KeyFolder, Secret, SecretError, SecretString, Status};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{DENIED, FAILED, Failure, LATER, reference::Reference, say};

/// How many reads are on their way at once.
const AT_ONCE: usize = 16;
/// How often a decision that waits for a person is asked for.
const POLL: Duration = Duration::from_secs(1);
/// Why a read is denied whose grant has been used as often as its rate allows.
const SPENT: &str = "scope.rate_limit";
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
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    read: BTreeMap<Key, Secret>,
    /// Those of which a person approved the read.
    by_person: BTreeSet<Key>,
}

/// The decisions that are a person's, while a command runs: each read waits for the one that it asked for, however often it is
/// tried, and is not asked for again.
#[derive(Default)]
pub(super) struct Asked(BTreeMap<Key, Uuid>);

/// What came of reading anew.
pub(super) enum Renewal {
    Read(Secrets),
    /// A person decides first.
    Waiting,
    /// There have been as many reads as a grant's rate allows.
    Spent,
    Failed(Failure),
}

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
            return Ok(Self::default());
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let secrets = runtime.block_on(read_all(client, keys(references), wait))?;
        secrets.checked(references)
    }

    /// Reads all that is `wanted` anew, while a command runs that has what was read before. Approvals are taken up when
    /// everything else can be had.
    pub(super) async fn renew(client: &Client, wanted: &BTreeSet<Key>, asked: &mut Asked) -> Renewal {
        let mut errors = Vec::new();
        let approved = asked.polled(client, wanted, &mut errors).await;
        if !errors.is_empty() {
            return unread(errors);
        }
        let unasked = wanted.iter().filter(|key| !asked.0.contains_key(key));
        let mut reads = read_at_once(client, unasked.cloned()).await;
        for (key, decision) in reads.pending.drain(..) {
            waits(&key, &decision);
            asked.0.insert(key, decision.id);
        }
        let mut by_person = BTreeSet::new();
        if reads.errors.is_empty() && reads.secrets.len() + approved.len() == wanted.len() {
            for (key, decision) in approved {
                match client.take_up_secret(&key.0, key.1, decision).await {
                    Ok(secret) => {
                        asked.0.remove(&key);
                        by_person.insert(key.clone());
                        reads.secrets.insert(key, secret);
                    }
                    // It was used, is too old by now, or would be a denial: a read of its own will tell.
                    Err(SecretError::Call(Error::Refused(problem))) if problem.status == 409 => {
                        asked.0.remove(&key);
                    }
                    Err(error) => reads.errors.push(error),
                }
            }
        }
        if reads.secrets.len() < wanted.len() {
            return unread(reads.errors);
        }
        Renewal::Read(Self {
            read: reads.secrets,
            by_person,
        })
    }

    /// Which version each of them has.
    pub(super) fn versions(&self) -> BTreeMap<Key, i64> {
        let read = self.read.iter();
        read.map(|(key, secret)| (key.clone(), secret.version)).collect()
    }

    /// Those of which a person approved the read.
    pub(super) fn by_person(&self) -> BTreeSet<Key> {
        self.by_person.clone()
    }

    /// That each field that is named is there.
    ///
    /// # Errors
    /// The first that is not.
    pub(super) fn checked(self, references: &[&Reference]) -> Result<Self, Failure> {
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
            .read
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

/// What came of several reads.
#[derive(Default)]
struct Reads {
    secrets: BTreeMap<Key, Secret>,
    /// What a person decides.
    pending: Vec<(Key, Box<Decision>)>,
    errors: Vec<SecretError>,
}

async fn read_at_once(client: &Client, wanted: impl IntoIterator<Item = Key>) -> Reads {
    let mut come = Reads::default();
    let mut reads = stream::iter(wanted)
        .map(|(path, version)| async move {
            let read = client.read_secret(&path, version).await;
            ((path, version), read)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((key, read)) = reads.next().await {
        match read {
            Ok(secret) => {
                come.secrets.insert(key, secret);
            }
            Err(SecretError::Pending { decision, .. }) => come.pending.push((key, decision)),
            Err(error) => come.errors.push(error),
        }
    }
    come
}

/// Reads all, at the same time; what waits for a person after the rest, if the rest can be had.
async fn read_all(client: &Client, wanted: BTreeSet<Key>, wait: Duration) -> Result<Secrets, Failure> {
    let Reads {
        mut secrets,
        mut pending,
        mut errors,
    } = read_at_once(client, wanted).await;
    if wait.is_zero() {
        errors.extend(
            pending
                .drain(..)
                .map(|((path, _), decision)| SecretError::Pending { path, decision }),
        );
    }
    let mut by_person = BTreeSet::new();
    if errors.is_empty() {
        for (key, decision) in &pending {
            waits(key, decision);
        }
        let approvals = pending.into_iter().map(|(key, decision)| async move {
            let read = when_approved(client, &key, decision, wait).await;
            (key, read)
        });
        for (key, read) in futures_util::future::join_all(approvals).await {
            match read {
                Ok(secret) => {
                    by_person.insert(key.clone());
                    secrets.insert(key, secret);
                }
                Err(error) => errors.push(error),
            }
        }
    }
    let read = Secrets {
        read: secrets,
        by_person,
    };
    all(&errors).map_or(Ok(read), Err)
}

fn waits((path, _): &Key, decision: &Decision) {
    say(&format!(
        "waiting for a person to approve the read of {path} (decision {})",
        decision.id
    ));
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

impl Asked {
    /// What persons have decided of what is `wanted`: what they approved, and as errors what they rejected. What is not known
    /// any more is forgotten.
    async fn polled(
        &mut self,
        client: &Client,
        wanted: &BTreeSet<Key>,
        errors: &mut Vec<SecretError>,
    ) -> Vec<(Key, Uuid)> {
        let mut approved = Vec::new();
        for (key, id) in self.0.clone() {
            if !wanted.contains(&key) {
                continue;
            }
            match client.poll(id).await.map(|decision| (decision.status, decision)) {
                Ok((Status::Pending, _)) => {}
                Ok((Status::Approved, _)) => approved.push((key, id)),
                Ok((Status::Denied, decision)) => {
                    self.0.remove(&key);
                    errors.push(SecretError::Denied {
                        path: key.0,
                        decision: Box::new(decision),
                    });
                }
                Err(Error::Refused(problem)) if problem.status == 404 => {
                    self.0.remove(&key);
                }
                Err(error) => errors.push(error.into()),
            }
        }
        approved
    }

    /// Whether a person has still to decide, and nobody has said no.
    pub(super) async fn are_open(&self, client: &Client) -> bool {
        let mut are_open = false;
        for decision in self.0.values() {
            match client.poll(*decision).await {
                Ok(decision) if decision.status == Status::Denied => return false,
                Ok(decision) => are_open |= decision.status == Status::Pending,
                Err(_) => return false,
            }
        }
        are_open
    }
}

/// Which secrets are named, each once.
pub(super) fn keys(references: &[&Reference]) -> BTreeSet<Key> {
    references.iter().map(|reference| key(reference)).collect()
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

/// What reads came to that did not all succeed; without an error a person decides.
fn unread(errors: Vec<SecretError>) -> Renewal {
    let (spent, errors): (Vec<_>, Vec<_>) = errors.into_iter().partition(is_spent);
    match all(&errors) {
        Some(failure) => Renewal::Failed(failure),
        None if spent.is_empty() => Renewal::Waiting,
        None => Renewal::Spent,
    }
}

/// Whether it is denied for the moment alone, because it was asked for too often.
fn is_spent(error: &SecretError) -> bool {
    matches!(error, SecretError::Denied { decision, .. } if decision.reason_codes.iter().any(|code| code == SPENT))
}

/// One failure of many, none of none.
fn all(errors: &[SecretError]) -> Option<Failure> {
    let failures: Vec<Failure> = errors.iter().map(failure).collect();
    let code = [DENIED, LATER, FAILED]
        .into_iter()
        .find(|code| failures.iter().any(|failure| failure.code == *code))?;
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
