//! The secrets of a run: each read once, all at the same time, all or none.

use std::collections::BTreeMap;

use aim_client::{Client, Error, KeyFolder, Secret, SecretError, SecretString};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};
use zeroize::Zeroizing;

use super::{DENIED, FAILED, Failure, LATER, reference::Reference};

/// How many reads are on their way at once.
const AT_ONCE: usize = 16;
/// The kind whose content is Base64.
const FILE: &str = "file";
/// Fields that name or place something; a program may print them, and often must.
const OPEN_FIELDS: [&str; 5] = ["username", "host", "port", "database", "client_id"];

/// Which secret: path and version.
type Key = (String, Option<i64>);

/// Secrets that were read.
#[derive(Debug)]
pub(crate) struct Secrets(BTreeMap<Key, Secret>);

impl Secrets {
    /// Reads all that is named, as the agent.
    ///
    /// # Errors
    /// Every one that could not be had, each with its reason. Denied weighs more than later, and that more
    /// than anything else.
    pub(crate) fn read(
        agent: Option<&str>,
        server: Option<String>,
        references: &[&Reference],
    ) -> Result<Self, Failure> {
        let mut wanted: Vec<Key> = references.iter().map(|reference| key(reference)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let agent =
            agent.ok_or_else(|| "name the agent with --agent, AIM_AGENT or the manifest".to_owned())?;
        let identity = KeyFolder::standard().and_then(|folder| folder.load(agent));
        let mut builder = Client::builder().agent(identity.map_err(|error| error.to_string())?);
        if let Some(server) = server {
            builder = builder.server(server);
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let read: Vec<(Key, Result<Secret, SecretError>)> = runtime.block_on(
            stream::iter(wanted)
                .map(|(path, version)| {
                    let client = &client;
                    async move {
                        let read = client.read_secret(&path, version).await;
                        ((path, version), read)
                    }
                })
                .buffer_unordered(AT_ONCE)
                .collect(),
        );
        let mut secrets = BTreeMap::new();
        let mut failures = Vec::new();
        for (key, read) in read {
            match read {
                Ok(secret) => {
                    secrets.insert(key, secret);
                }
                Err(error) => failures.push(failure(&error)),
            }
        }
        match all(failures) {
            Some(failure) => Err(failure),
            None => Self(secrets).checked(references),
        }
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
        SecretError::Pending { .. } => Some(
            "an approval counts for that one read, and this command does not wait; ask for a grant without it",
        ),
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
