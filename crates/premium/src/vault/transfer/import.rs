//! Import: all of what comes, or nothing.

use std::{collections::BTreeSet, sync::Arc};

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result};
use aim_store::Db;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    model::{Existing, ImportAction, ImportReply, ImportRequest, Imported, MOST_IMPORTED},
    parse::{Candidate, candidates},
};
use crate::vault::{
    keys::OrganizationKeys,
    kinds::Fields,
    lifecycle::values_of,
    model::{VersionState, Wish},
    path::SecretPath,
    service::{Draft, NewVersion, VaultService, check_head, in_transaction, refuse_agents},
    store::{self, SecretRow, VersionRow},
};

/// A secret that can be written.
struct Item {
    name: String,
    path: SecretPath,
    wish: Wish,
    fields: Fields,
    plaintext: Zeroizing<Vec<u8>>,
}

/// What is looked at, in the order of the file: those that can be written, and why the others cannot.
type Checked = Vec<std::result::Result<Item, Imported>>;

impl VaultService {
    /// Writes secrets from elsewhere in one transaction, or says what would be written.
    ///
    /// # Errors
    /// `request.field_invalid` at `text`, or at the first item that is refused; then nothing was written.
    pub async fn import(&self, ctx: &Ctx, request: ImportRequest) -> Result<ImportReply> {
        refuse_agents(ctx)?;
        let (existing, dry_run, repeated) = (request.existing, request.dry_run, request.repeated);
        let of_text = request.text.is_some();
        let checked = check(ctx, gather(request)?, repeated);
        if !dry_run && let Some(refused) = first_refused(&checked, of_text) {
            return Err(refused);
        }
        let (root, cached) = self.opened(ctx).await?;
        let (ctx, checked) = (ctx.clone(), Arc::new(checked));
        let organization = ctx.organization;
        if dry_run {
            let reader = ctx.clone();
            let reply = self
                .store
                .read(organization, move |db| {
                    preview(db, &reader, cached.as_deref(), &checked, existing)
                })
                .await?;
            return self.note_preview(ctx, reply).await;
        }
        self.store
            .write(organization, move |db| {
                let keys = in_transaction(db, &ctx, &root, cached.as_ref())?;
                let mut entries = Vec::new();
                let mut items = Vec::new();
                for item in checked.iter().flatten() {
                    items.push(write(db, &ctx, &keys, item, existing, &mut entries)?);
                }
                let reply = reply_of(false, items);
                entries.push(entry(&ctx, "vault.imported", &reply));
                aim_audit::append(db, entries)?;
                Ok(reply)
            })
            .await
    }

    /// A preview tells whether values are those that are kept: who guesses values shall be seen.
    async fn note_preview(&self, ctx: Ctx, reply: ImportReply) -> Result<ImportReply> {
        self.store
            .write(ctx.organization, move |db| {
                aim_audit::append(db, vec![entry(&ctx, "vault.import_previewed", &reply)])?;
                Ok(reply.clone())
            })
            .await
    }
}

fn entry(ctx: &Ctx, event: &'static str, reply: &ImportReply) -> Entry {
    Entry::event(ctx, event).facts(json!({
        "new": reply.new, "changed": reply.changed, "unchanged": reply.unchanged, "kept": reply.kept,
        "refused": reply.refused,
    }))
}

/// The secrets of a request, whichever way they come.
fn gather(request: ImportRequest) -> Result<Vec<Candidate>> {
    request.mapping.check()?;
    let all = match (request.text, request.format, request.items) {
        (Some(text), Some(format), items) if items.is_empty() => {
            candidates(format, text.0.expose(), &request.mapping)
                .map_err(|problem| Error::field("text", problem))?
        }
        (None, None, items) => items
            .into_iter()
            .map(|item| Candidate::of(item, &request.mapping))
            .collect(),
        (Some(_), None, _) => return Err(Error::field("format", "say what the text is: env or json")),
        _ => {
            return Err(Error::field(
                "items",
                "send either items, or a text with its format",
            ));
        }
    };
    if all.is_empty() || all.len() > MOST_IMPORTED {
        let problem = format!(
            "an import has 1 to {MOST_IMPORTED} secrets, and this one {}",
            all.len()
        );
        return Err(Error::field("items", problem));
    }
    Ok(all)
}

fn check(ctx: &Ctx, all: Vec<Candidate>, repeated: bool) -> Checked {
    let mut seen = BTreeSet::new();
    all.into_iter()
        .map(|candidate| {
            let Candidate { name, path, write } = candidate;
            let refused = |reason: String| Imported {
                name: name.clone(),
                path: path.clone(),
                action: ImportAction::Refused,
                fields: Vec::new(),
                previous_version: 0,
                current_version: 0,
                reason: Some(reason),
            };
            let told = |error: Error| match &error.field {
                Some(field) if field != "path" => refused(format!("{field}: {error}")),
                _ => refused(error.to_string()),
            };
            let target = SecretPath::parse(&path).map_err(told)?;
            if !seen.insert(path.clone()) && !repeated {
                return Err(refused("this path stands there twice".to_owned()));
            }
            let (wish, fields) = write.map_err(refused)?.check(ctx.now).map_err(told)?;
            let plaintext = fields.plaintext(wish.kind).map_err(told)?;
            Ok(Item {
                name: name.clone(),
                path: target,
                wish,
                fields,
                plaintext,
            })
        })
        .collect()
}

fn first_refused(checked: &Checked, of_text: bool) -> Option<Error> {
    let count = checked.iter().filter(|item| item.is_err()).count();
    let (place, refused) = checked
        .iter()
        .enumerate()
        .find_map(|(place, item)| item.as_ref().err().map(|refused| (place, refused)))?;
    let field = if of_text {
        "text".to_owned()
    } else {
        format!("items[{place}]")
    };
    let reason = refused.reason.as_deref().unwrap_or_default();
    let said = format!(
        "{count} of {} are refused, so nothing was imported; the first is {}: {reason}",
        checked.len(),
        refused.name,
    );
    Some(Error::field(field, said))
}

/// Whether the newest version is what the item says, and can be read.
fn is_same(
    db: &mut Db,
    ctx: &Ctx,
    keys: &OrganizationKeys,
    item: &Item,
    (row, versions): (&SecretRow, &[VersionRow]),
) -> aim_store::Result<bool> {
    let wish = &item.wish;
    let newest = row.newest_of(versions);
    let is_active = newest.is_some_and(|known| VersionState::parse(&known.state) == VersionState::Active);
    let described = wish
        .description
        .as_ref()
        .is_none_or(|said| *said == row.description)
        && wish.tags.as_ref().is_none_or(|said| *said == row.tags.strings())
        && wish
            .owner
            .as_ref()
            .is_none_or(|said| *said == row.owner.clone().unwrap_or_default())
        && wish.max_versions.is_none_or(|said| said == row.max_versions)
        && wish.expires_at == row.expires_at;
    if !is_active || !described {
        return Ok(false);
    }
    let (_, _, kept) = values_of(db, ctx, row.id, keys, &item.path, row.current_version)?;
    Ok(aim_crypto::secret::ct_eq(&kept, &item.plaintext))
}

fn imported(item: &Item, action: ImportAction, previous: i64, current: i64) -> Imported {
    Imported {
        name: item.name.clone(),
        path: item.path.as_str().to_owned(),
        action,
        fields: item.fields.names().into_iter().map(str::to_owned).collect(),
        previous_version: previous,
        current_version: current,
        reason: None,
    }
}

/// What becomes of a secret that is there.
fn for_existing(is_same: bool, existing: Existing) -> ImportAction {
    match existing {
        Existing::Refuse => ImportAction::Refused,
        Existing::Keep => ImportAction::Kept,
        Existing::Update if is_same => ImportAction::Unchanged,
        Existing::Update => ImportAction::Changed,
    }
}

fn preview(
    db: &mut Db,
    ctx: &Ctx,
    keys: Option<&OrganizationKeys>,
    checked: &Checked,
    existing: Existing,
) -> aim_store::Result<ImportReply> {
    let mut items = Vec::with_capacity(checked.len());
    for item in checked {
        let item = match item {
            Ok(item) => item,
            Err(refused) => {
                items.push(refused.clone());
                continue;
            }
        };
        let found = store::load(db, ctx.organization, item.path.as_str())?;
        let told = match found.zip(keys) {
            None => imported(item, ImportAction::New, 0, 1),
            Some(((row, versions), keys)) => {
                let current = row.current_version;
                match check_head(keys, &row, &item.path, &versions) {
                    Err(error) => Imported {
                        reason: Some(error.to_string()),
                        ..imported(item, ImportAction::Refused, current, current)
                    },
                    Ok(()) => {
                        let same = is_same(db, ctx, keys, item, (&row, &versions))?;
                        let action = for_existing(same, existing);
                        let next = current + i64::from(action == ImportAction::Changed);
                        Imported {
                            reason: (action == ImportAction::Refused).then(|| THERE_ALREADY.to_owned()),
                            ..imported(item, action, current, next)
                        }
                    }
                }
            }
        };
        let stale = item.wish.cas.is_some_and(|seen| seen != told.previous_version);
        items.push(if stale {
            Imported {
                action: ImportAction::Refused,
                reason: Some(format!("the current version is {}", told.previous_version)),
                ..told
            }
        } else {
            told
        });
    }
    Ok(reply_of(true, items))
}

const THERE_ALREADY: &str = "there is a secret at this path already";

fn write(
    db: &mut Db,
    ctx: &Ctx,
    keys: &OrganizationKeys,
    item: &Item,
    existing: Existing,
    entries: &mut Vec<Entry>,
) -> aim_store::Result<Imported> {
    let mut draft = Draft::take(db, ctx, keys, &item.path)?;
    draft.check_cas(item.wish.cas)?;
    let previous = draft.row.current_version;
    let action = if previous == 0 {
        ImportAction::New
    } else {
        let same = is_same(db, ctx, keys, item, (&draft.row, &draft.versions))?;
        for_existing(same, existing)
    };
    match action {
        ImportAction::Refused => {
            let detail = format!("{}: {THERE_ALREADY}; nothing was imported", item.path);
            return Err(Error::new(Code::Conflict, detail).at("existing").into());
        }
        ImportAction::Unchanged | ImportAction::Kept => {
            return Ok(imported(item, action, previous, previous));
        }
        ImportAction::New | ImportAction::Changed => {}
    }
    draft.describe(&item.wish);
    let new = NewVersion {
        kind: item.wish.kind.as_str(),
        fields: &item.fields,
        plaintext: &item.plaintext,
        rolled_back_from: None,
    };
    let destroyed = draft.add(db, ctx, keys, &item.path, &new)?;
    if let Some(tags) = &item.wish.tags {
        store::set_tags(db, ctx.organization, draft.row.id, tags)?;
    }
    let facts = json!({
        "version": draft.row.current_version, "kind": draft.row.kind, "destroyed": destroyed, "imported": true,
    });
    let (view, entry) = draft.save(db, ctx, keys, &item.path, "secret.written", facts)?;
    entries.push(entry);
    Ok(imported(item, action, previous, view.secret.current_version))
}

fn reply_of(dry_run: bool, items: Vec<Imported>) -> ImportReply {
    let count = |action: ImportAction| items.iter().filter(|item| item.action == action).count();
    ImportReply {
        dry_run,
        new: count(ImportAction::New),
        changed: count(ImportAction::Changed),
        unchanged: count(ImportAction::Unchanged),
        kept: count(ImportAction::Kept),
        refused: count(ImportAction::Refused),
        items,
    }
}
