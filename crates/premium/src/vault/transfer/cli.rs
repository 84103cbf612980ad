//! `aim vault import`, `export`, `open-export` and `keygen`. The files and the other vault are read here, so that the server
//! needs no way to them.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use aim_client::{Client, SecretString};
use aim_core::Timestamp;
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    archive,
    kv::Source,
    model::{Existing, ExportPage, ImportAction, ImportFormat, ImportReply, Mapping},
    parse::{Candidate, candidates},
};
use crate::vault::{
    kinds::{Fields, SecretKind, exposed},
    model::PutSecret,
    provider::Provider,
};

/// How many secrets a request has, at most.
const BATCH: usize = 200;
/// How many bytes of values a request has, about: a request has at most 1 MiB, in which each byte may need several.
const BATCH_BYTES: usize = 400 * 1024;

/// What an import is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Origin {
    /// Lines of NAME=value.
    Env,
    /// An object of paths and values, or an opened export.
    Json,
    /// A sealed export of AIM, with --key.
    Export,
    /// A KV v2 engine of Vault or OpenBao; its token stands in VAULT_TOKEN.
    Vault,
}

/// What becomes of secrets that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IfThere {
    /// They get a new version where the values differ.
    Update,
    /// They stay as they are.
    Keep,
    /// Then nothing is imported.
    Refuse,
}

/// Write secrets from elsewhere.
#[derive(Debug, Clone, Args)]
pub(in crate::vault) struct ImportArguments {
    /// The file; '-' is standard input.
    #[arg(value_name = "FILE", required_unless_present = "address")]
    file: Option<PathBuf>,
    /// What it is; without this the file's name says it (.env, .json, .aimx).
    #[arg(long, value_enum)]
    from: Option<Origin>,
    /// What stands before each path here, such as apps/web/.
    #[arg(long, value_name = "PREFIX")]
    under: Option<String>,
    /// Make small letters of capitals.
    #[arg(long)]
    lowercase: bool,
    /// A JSON file that says for names which path they get.
    #[arg(long, value_name = "FILE")]
    path_map: Option<PathBuf>,
    /// Make one secret of kind map of all names, at this path.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["under", "path_map"])]
    as_map: Option<String>,
    /// What becomes of secrets that are there already.
    #[arg(long, value_enum, default_value = "update")]
    existing: IfThere,
    /// Only say what would be written.
    #[arg(long)]
    dry_run: bool,
    /// The private key that an export was sealed to.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The address of the other vault.
    #[arg(long, env = "VAULT_ADDR", value_name = "URL")]
    address: Option<String>,
    /// Where its KV v2 engine is mounted.
    #[arg(long, value_name = "PATH", default_value = "secret")]
    mount: String,
    /// What of it is read.
    #[arg(long, value_name = "PATH", default_value = "")]
    prefix: String,
    /// Take over all versions that are there, the oldest first.
    #[arg(long)]
    all_versions: bool,
    /// Take numbers and truth values as they are written.
    #[arg(long)]
    scalars_as_text: bool,
}

/// Export secrets, sealed to a key.
#[derive(Debug, Clone, Args)]
pub(in crate::vault) struct ExportArguments {
    /// The recipient's public key, as `aim vault keygen` made it.
    #[arg(long, value_name = "KEY.pub")]
    to: PathBuf,
    /// Why, in 10 to 500 characters. It stands in the log.
    #[arg(long, value_name = "WORDS")]
    reason: String,
    /// What the paths begin with.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// The file to write; without it standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Open an export.
#[derive(Debug, Clone, Args)]
pub(in crate::vault) struct OpenArguments {
    /// The export.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The private key that it was sealed to.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file to write, for its owner alone; without it standard output, which must be no terminal.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Make a recipient's key pair.
#[derive(Debug, Clone, Args)]
pub(in crate::vault) struct KeygenArguments {
    /// The file of the private key; the public one is FILE.pub.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Makes a key pair; answers what to say.
pub(in crate::vault) fn keygen(arguments: &KeygenArguments) -> Result<Value, String> {
    let (path, public) = archive::make_keys(&arguments.file)?;
    Ok(json!({"private_key_file": arguments.file, "public_key_file": path, "public_key": public}))
}

/// Opens an export.
pub(in crate::vault) fn open_export(arguments: &OpenArguments) -> Result<(), String> {
    if arguments.out.is_none() && io::stdout().is_terminal() {
        return Err("the values would stand on the terminal: name a file with --out, or redirect".to_owned());
    }
    let list = opened(&arguments.file, &arguments.key)?;
    archive::write_out(arguments.out.as_deref(), &list)
}

/// The secrets of an export as one list.
fn opened(file: &Path, key: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let key = archive::read_key(key)?;
    let pages = archive::open(&read_text(file)?, &key)?;
    let length: usize = pages.iter().map(|page| page.len()).sum();
    let mut list = Zeroizing::new(Vec::with_capacity(length + 2));
    for page in &pages {
        // Each page is a list of its own.
        let inner = page
            .strip_prefix(b"[")
            .and_then(|page| page.strip_suffix(b"]"))
            .ok_or("a page holds no list")?;
        if !inner.is_empty() {
            let before = if list.is_empty() { b'[' } else { b',' };
            list.push(before);
            list.extend_from_slice(inner);
        }
    }
    if list.is_empty() {
        list.push(b'[');
    }
    list.push(b']');
    Ok(list)
}

fn read_text(file: &Path) -> Result<Zeroizing<String>, String> {
    let said = |error: io::Error| format!("{} cannot be read: {error}", file.display());
    if file.as_os_str() == "-" {
        let mut text = Zeroizing::new(String::new());
        io::stdin().lock().read_to_string(&mut text).map_err(said)?;
        return Ok(text);
    }
    fs::read_to_string(file).map(Zeroizing::new).map_err(said)
}

/// Exports; answers how much was exported.
pub(in crate::vault) async fn export(client: &Client, arguments: &ExportArguments) -> Result<Value, String> {
    let recipient = archive::read_public(&arguments.to)?;
    let (mut lines, mut cursor, mut count, mut left_out) = (Vec::new(), None, 0, Vec::new());
    loop {
        let body = json!({
            "prefix": arguments.prefix, "recipient": recipient, "reason": arguments.reason, "cursor": cursor,
        });
        let page: ExportPage = client
            .call(Method::POST, "/api/v1/vault/export", Some(&body))
            .await
            .map_err(|error| error.to_string())?;
        count += page.export.count;
        left_out.extend(page.left_out.iter().cloned());
        cursor.clone_from(&page.next_cursor);
        serde_json::to_writer(&mut lines, &page).map_err(|error| error.to_string())?;
        lines.push(b'\n');
        if cursor.is_none() {
            break;
        }
    }
    archive::write_out(arguments.out.as_deref(), &lines)?;
    Ok(json!({"exported": count, "left_out": left_out}))
}

/// A secret on its way to the server.
#[derive(Serialize)]
struct Outgoing<'a> {
    path: &'a str,
    kind: SecretKind,
    #[serde(serialize_with = "values")]
    fields: &'a Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_versions: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cas: Option<i64>,
}

fn values<S: Serializer>(fields: &&Fields, serializer: S) -> Result<S::Ok, S::Error> {
    exposed(fields, serializer)
}

#[derive(Serialize)]
struct Batch<'a> {
    items: Vec<Outgoing<'a>>,
    existing: Existing,
    repeated: bool,
    dry_run: bool,
}

/// A secret with the place that it goes to.
type Item = (String, PutSecret);

/// Imports; answers what was, or would be, done. Everything is looked at before anything is written.
pub(in crate::vault) async fn import(
    client: &Client,
    arguments: &ImportArguments,
) -> Result<(ImportReply, Vec<String>), String> {
    let (found, left_out) = gather(arguments).await?;
    if found.is_empty() {
        return Err("there is nothing to import".to_owned());
    }
    let mut items: Vec<Item> = Vec::new();
    let mut refused = Vec::new();
    for candidate in found {
        match candidate.write {
            Ok(write) => items.push((candidate.path, write)),
            Err(reason) => refused.push(format!("{}: {reason}", candidate.name)),
        }
    }
    let (existing, repeated) = (existing_of(arguments.existing), arguments.all_versions);
    let batches = batches(&items);
    let mut preview = none(true);
    for batch in &batches {
        let seen = vec![None; batch.len()];
        let reply = send(client, batch, &seen, (existing, repeated, true)).await?;
        add(&mut preview, reply);
    }
    let told = preview
        .items
        .iter()
        .filter(|item| item.action == ImportAction::Refused);
    refused.extend(told.map(|item| format!("{}: {}", item.path, item.reason.as_deref().unwrap_or_default())));
    if !refused.is_empty() {
        return Err(format!(
            "{} of {} are refused, so nothing was imported:\n  {}",
            refused.len(),
            items.len().max(refused.len()),
            refused.join("\n  ")
        ));
    }
    if arguments.dry_run {
        return Ok((preview, left_out));
    }
    let mut done = none(false);
    let mut seen = preview.items.iter().map(|item| item.previous_version);
    for batch in &batches {
        // What was previewed is what is written: a secret that was changed meanwhile is refused.
        let known: Vec<Option<i64>> = batch.iter().map(|_| seen.next().filter(|_| !repeated)).collect();
        match send(client, batch, &known, (existing, repeated, false)).await {
            Ok(reply) => add(&mut done, reply),
            Err(problem) => {
                return Err(format!(
                    "{problem}\n{} of {} secrets were imported before; import again, and these are left alone",
                    done.items.len(),
                    items.len()
                ));
            }
        }
    }
    Ok((done, left_out))
}

fn existing_of(wish: IfThere) -> Existing {
    match wish {
        IfThere::Update => Existing::Update,
        IfThere::Keep => Existing::Keep,
        IfThere::Refuse => Existing::Refuse,
    }
}

async fn gather(arguments: &ImportArguments) -> Result<(Vec<Candidate>, Vec<String>), String> {
    let mapping = mapping_of(arguments)?;
    let from = arguments.from.or_else(|| guessed(arguments.file.as_deref()));
    let from = match (from, &arguments.address, &arguments.file) {
        (Some(from), _, _) => from,
        (None, Some(_), None) => Origin::Vault,
        _ => return Err("say with --from what the file is: env, json or export".to_owned()),
    };
    if from == Origin::Vault {
        let address = arguments
            .address
            .as_deref()
            .ok_or("name the other vault with --address")?;
        let token = std::env::var("VAULT_TOKEN").map(SecretString::new);
        let source = Source {
            address: Source::parse_address(address)?,
            token: token.map_err(|_| "set VAULT_TOKEN to a token that may list and read there")?,
            namespace: std::env::var("VAULT_NAMESPACE").ok(),
            mount: arguments.mount.clone(),
            prefix: arguments.prefix.clone(),
            all_versions: arguments.all_versions,
            scalars: arguments.scalars_as_text,
        };
        let found = source.read(&mapping).await?;
        return Ok((found.candidates, found.left_out));
    }
    let file = arguments.file.as_deref().ok_or("name a file")?;
    let all = match from {
        Origin::Export => {
            let key = arguments
                .key
                .as_deref()
                .ok_or("name the private key with --key")?;
            let list = opened(file, key)?;
            let text = std::str::from_utf8(&list).map_err(|_| "the export holds no text")?;
            candidates(ImportFormat::Json, text, &mapping)?
        }
        Origin::Env => candidates(ImportFormat::Env, &read_text(file)?, &mapping)?,
        _ => candidates(ImportFormat::Json, &read_text(file)?, &mapping)?,
    };
    Ok((all, Vec::new()))
}

fn guessed(file: Option<&Path>) -> Option<Origin> {
    let name = file?.file_name()?.to_str()?;
    if name == ".env" || name.starts_with(".env.") || name.ends_with(".env") {
        Some(Origin::Env)
    } else if name.ends_with(".json") {
        Some(Origin::Json)
    } else if name.ends_with(".aimx") {
        Some(Origin::Export)
    } else {
        None
    }
}

fn mapping_of(arguments: &ImportArguments) -> Result<Mapping, String> {
    let path_map: BTreeMap<String, String> = match &arguments.path_map {
        Some(file) => {
            let text = read_text(file)?;
            serde_json::from_str(&text)
                .map_err(|error| format!("{} is no JSON object of texts: {error}", file.display()))?
        }
        None => BTreeMap::new(),
    };
    Ok(Mapping {
        prefix: arguments.under.clone(),
        lowercase: arguments.lowercase,
        path_map,
        as_map: arguments.as_map.clone(),
    })
}

/// Parts that fit into a request each.
fn batches(items: &[Item]) -> Vec<&[Item]> {
    let (mut parts, mut rest) = (Vec::new(), items);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest
            .iter()
            .take(BATCH)
            .take_while(|(_, write)| {
                bytes += write
                    .fields
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum::<usize>();
                bytes <= BATCH_BYTES
            })
            .count();
        let (part, next) = rest.split_at(fits.max(1));
        parts.push(part);
        rest = next;
    }
    parts
}

async fn send(
    client: &Client,
    items: &[Item],
    seen: &[Option<i64>],
    (existing, repeated, dry_run): (Existing, bool, bool),
) -> Result<ImportReply, String> {
    let outgoing = items.iter().zip(seen).map(|((path, write), seen)| Outgoing {
        path,
        kind: write.kind,
        fields: &write.fields,
        description: write.description.as_deref(),
        tags: write.tags.as_deref(),
        owner: write.owner.as_deref(),
        expires_at: write.expires_at,
        max_versions: write.max_versions,
        provider: write.provider,
        cas: *seen,
    });
    let batch = Batch {
        items: outgoing.collect(),
        existing,
        repeated,
        dry_run,
    };
    client
        .call(Method::POST, "/api/v1/vault/import", Some(&batch))
        .await
        .map_err(|error| error.to_string())
}

fn none(dry_run: bool) -> ImportReply {
    ImportReply {
        dry_run,
        new: 0,
        changed: 0,
        unchanged: 0,
        kept: 0,
        refused: 0,
        items: Vec::new(),
    }
}

fn add(all: &mut ImportReply, part: ImportReply) {
    all.new += part.new;
    all.changed += part.changed;
    all.unchanged += part.unchanged;
    all.kept += part.kept;
    all.refused += part.refused;
    all.items.extend(part.items);
}

/// What an import did, in lines.
pub(in crate::vault) fn shown(reply: &ImportReply, left_out: &[String]) -> String {
    let mut lines: Vec<String> = reply
        .items
        .iter()
        .map(|item| {
            let action = match item.action {
                ImportAction::New => "new",
                ImportAction::Changed => "changed",
                ImportAction::Unchanged => "unchanged",
                ImportAction::Kept => "kept",
                ImportAction::Refused => "refused",
            };
            format!("{action:<9} {} ({})", item.path, item.fields.join(", "))
        })
        .collect();
    lines.extend(
        left_out
            .iter()
            .map(|path| format!("left out  {path} (no version can be read)")),
    );
    lines.push(format!(
        "{}{} new, {} changed, {} unchanged, {} kept",
        if reply.dry_run {
            "nothing was written; it would be: "
        } else {
            ""
        },
        reply.new,
        reply.changed,
        reply.unchanged,
        reply.kept,
    ));
    lines.join("\n")
}
