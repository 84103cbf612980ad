//! Secrets of a KV v2 engine of Vault or OpenBao: list, read, and the versions, as the engine's HTTP API documents them.
//!
//! Three calls of our own rather than a client crate: those bring a second HTTP stack and put every value through types
//! that print it.

use aim_crypto::secret::SecretString;
use aim_platform::{
    Outbound,
    outbound::{Answer, Call, parse_url},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::{
    model::{ImportItem, Mapping},
    parse::Candidate,
};
use crate::vault::kinds::{Fields, SecretKind};

/// The most bytes of an answer.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// The most secrets that are read.
const MOST: usize = 20_000;
/// What is encoded in a path besides control characters; slashes stay.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Where the secrets are.
pub(super) struct Source {
    pub(super) address: Url,
    pub(super) token: SecretString,
    pub(super) namespace: Option<String>,
    pub(super) mount: String,
    pub(super) prefix: String,
    /// All versions that are there, not the newest alone.
    pub(super) all_versions: bool,
    /// Numbers and truth values become their texts.
    pub(super) scalars: bool,
}

/// What was found, and what has no value to read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    pub(super) left_out: Vec<String>,
}

#[derive(Deserialize)]
struct Listed {
    data: Keys,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Read {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    data: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Described {
    data: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    destroyed: bool,
}

impl Source {
    pub(super) fn parse_address(text: &str) -> Result<Url, String> {
        let mut url = parse_url("address", text).map_err(|error| error.to_string())?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    /// Reads everything below the prefix.
    pub(super) async fn read(&self, mapping: &Mapping) -> Result<Found, String> {
        let mut found = Found::default();
        // Folders that are still to be looked into; the last is the next.
        let mut open = vec![self.prefix.trim_end_matches('/').to_owned()];
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            // A prefix may be a secret itself.
            self.take(&self.prefix, mapping, &mut found).await?;
        }
        while let Some(folder) = open.pop() {
            for key in self.list(&folder).await? {
                let path = if folder.is_empty() {
                    key.clone()
                } else {
                    format!("{folder}/{key}")
                };
                if let Some(folder) = path.strip_suffix('/') {
                    open.push(folder.to_owned());
                } else {
                    self.take(&path, mapping, &mut found).await?;
                }
                if found.candidates.len() + open.len() > MOST {
                    return Err(format!("there are more than {MOST} secrets; name a --prefix"));
                }
            }
        }
        found.candidates.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    async fn take(&self, path: &str, mapping: &Mapping, found: &mut Found) -> Result<(), String> {
        let versions: Vec<Option<String>> = if self.all_versions {
            self.versions(path).await?.into_iter().map(Some).collect()
        } else {
            vec![None]
        };
        let before = found.candidates.len();
        for version in versions {
            let query = version.map(|version| format!("version={version}"));
            let answer = self.get("data", path, query.as_deref()).await?;
            if answer.status == 404 {
                continue;
            }
            let body = Zeroizing::new(checked(answer, path)?);
            let read: Read = serde_json::from_slice(&body).map_err(|_| shape(path))?;
            let Some(data) = read.data.data else { continue };
            found.candidates.push(self.candidate(path, data, mapping));
        }
        if found.candidates.len() == before && !self.prefix.eq(path) {
            found.left_out.push(path.to_owned());
        }
        Ok(())
    }

    fn candidate(&self, path: &str, data: Map<String, Value>, mapping: &Mapping) -> Candidate {
        let mut fields = BTreeMap::new();
        let mut refused = None;
        for (name, value) in data {
            let text = match value {
                Value::String(text) => SecretString::new(text),
                Value::Number(number) if self.scalars => SecretString::new(number.to_string()),
                Value::Bool(truth) if self.scalars => SecretString::new(truth.to_string()),
                _ => {
                    refused = Some(format!(
                        "the field {name} is no text; --scalars-as-text takes numbers and truth values as they are written"
                    ));
                    continue;
                }
            };
            fields.insert(name, text);
        }
        let is_single = fields.len() == 1 && fields.contains_key("value");
        let item = ImportItem {
            path: path.to_owned(),
            kind: if is_single {
                SecretKind::ApiKey
            } else {
                SecretKind::Map
            },
            fields: Fields(fields),
            description: None,
            tags: None,
            owner: None,
            expires_at: None,
            max_versions: None,
            provider: None,
            cas: None,
        };
        let candidate = Candidate::of(item, mapping);
        match refused {
            Some(reason) => Candidate {
                write: Err(reason),
                ..candidate
            },
            None => candidate,
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let answer = self.get("metadata", folder, Some("list=true")).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let body = checked(answer, folder)?;
        let listed: Listed = serde_json::from_slice(&body).map_err(|_| shape(folder))?;
        Ok(listed.data.keys)
    }

    /// The versions that can be read, the oldest first.
    async fn versions(&self, path: &str) -> Result<Vec<String>, String> {
        let answer = self.get("metadata", path, None).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let body = checked(answer, path)?;
        let described: Described = serde_json::from_slice(&body).map_err(|_| shape(path))?;
        let mut numbers: Vec<u64> = described
            .data
            .versions
            .into_iter()
            // One that was deleted, or whose time has come, is passed over when it is read: a `deletion_time` may be of the future.
            .filter(|(_, version)| !version.destroyed)
            .filter_map(|(number, _)| number.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| number.to_string()).collect())
    }

    async fn get(&self, what: &str, path: &str, query: Option<&str>) -> Result<Answer, String> {
        let mount = self.mount.trim_matches('/');
        let target = format!("v1/{mount}/{what}/{path}");
        let mut url = self
            .address
            .join(&utf8_percent_encode(&target, ENCODED).to_string())
            .map_err(|_| format!("{path} makes no address"))?;
        url.set_query(query);
        let mut call = Call::get(url, ANSWER_LIMIT).header("x-vault-token", self.token.expose());
        if let Some(namespace) = &self.namespace {
            call = call.header("x-vault-namespace", namespace.as_str());
        }
        // The address is named by whoever runs the command, on a machine of theirs: every network may be meant.
        let everywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().ok());
        let networks: Vec<ipnet::IpNet> = everywhere.into_iter().flatten().collect();
        Outbound::new(&networks)
            .send(call)
            .await
            .map_err(|error| error.to_string())
    }
}

fn checked(answer: Answer, path: &str) -> Result<Vec<u8>, String> {
    if answer.cut {
        return Err(format!("{path}: the answer has more than {ANSWER_LIMIT} bytes"));
    }
    match answer.status {
        200..300 => Ok(answer.body),
        403 => Err(format!("{path}: the token may not read this (403)")),
        300..400 => Err(format!(
            "{path}: the server answered {} to another one; name the active node's --address",
            answer.status
        )),
        status => Err(format!("{path}: the server answered {status}")),
    }
}

fn shape(path: &str) -> String {
    format!("{path}: the answer is not what a KV v2 engine answers; is --mount one of version 2?")
}
