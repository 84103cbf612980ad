//! Export: a page of a prefix at a time, sealed to the recipient's key.

use std::iter;

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result};
use aim_crypto::sealing::{self, SealingError};
use aim_store::Db;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::model::{ExportHeader, ExportPage, ExportRequest, FULL_PAGE, LeftOut, MOST_EXPORTED};
use crate::vault::{
    age,
    keys::OrganizationKeys,
    kinds::{Fields, SecretKind, exposed},
    lifecycle::values_of,
    model::{SecretId, VersionState},
    past,
    path::SecretPath,
    reads::SealedSecret,
    reveals::service::refuse_old_sign_in,
    service::{VaultService, check_head, refuse_agents},
    store::{self, SecretRow},
};

/// A secret as it stands in an export: what an import takes.
#[derive(Serialize)]
struct Exported<'a> {
    path: &'a str,
    kind: SecretKind,
    #[serde(serialize_with = "exposed")]
    fields: &'a Fields,
    description: &'a str,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<aim_core::Timestamp>,
    max_versions: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
}

/// A secret that left, for the log.
#[derive(Clone)]
struct Taken {
    id: SecretId,
    path: String,
    version: i64,
}

/// Secrets of a prefix, as far as a page goes.
struct Gathered {
    plaintext: Zeroizing<Vec<u8>>,
    /// Those that are in it.
    exported: Vec<Taken>,
    left_out: Vec<LeftOut>,
    /// The last secret that was looked at.
    through: Option<(SecretId, String)>,
    more: bool,
}

impl VaultService {
    /// A page of an export. It is answered once the records of it are durable. An organisation key may export, since backups and
    /// moves run without a person; a person must have signed in lately, as for a reveal.
    ///
    /// # Errors
    /// `auth.forbidden` for a person who signed in too long ago; `request.field_invalid` at a field; `vault.sealed`.
    pub async fn export(&self, ctx: &Ctx, request: ExportRequest) -> Result<ExportPage> {
        refuse_agents(ctx)?;
        let recipient = request.check()?;
        let (export_id, behind) = match &request.cursor {
            Some(cursor) => {
                let (export, secret) = read_cursor(cursor).ok_or_else(unknown_cursor)?;
                (export, Some(secret))
            }
            None => (aim_core::id::uuid_at(ctx.now), None),
        };
        let (_, keys) = self.opened_now(ctx).await?;
        let (reader, prefix) = (ctx.clone(), request.prefix.clone());
        let limit = request.limit.unwrap_or(MOST_EXPORTED);
        let (after, gathered) = self
            .store
            .read(ctx.organization, move |db| {
                refuse_old_sign_in(db, &reader)?;
                let after = match behind {
                    Some(secret) => {
                        store::path_of(db, reader.organization, secret)?.ok_or_else(unknown_cursor)?
                    }
                    None => String::new(),
                };
                let gathered = gather(db, &reader, keys.as_deref(), &prefix, &after, limit)?;
                Ok((after, gathered))
            })
            .await?;
        let header = ExportHeader {
            organization_id: ctx.organization,
            export_id,
            exported_at: ctx.now,
            prefix: request.prefix.clone(),
            through: gathered
                .through
                .as_ref()
                .map_or_else(|| after.clone(), |(_, path)| path.clone()),
            after,
            last: !gathered.more,
            count: gathered.exported.len(),
        };
        let sealed =
            sealing::seal(&recipient, &header.info(), &gathered.plaintext).map_err(|error| match error {
                SealingError::Key => Error::field("recipient", error.to_string()),
                other => Error::internal(other),
            })?;
        self.note_export(ctx, &request, &header, gathered.exported)
            .await?;
        let next = gathered.through.filter(|_| gathered.more);
        Ok(ExportPage {
            next_cursor: next.map(|(secret, _)| write_cursor(export_id, secret)),
            export: header,
            sealed: SealedSecret {
                kem: sealed.kem,
                kdf: sealed.kdf,
                aead: sealed.aead,
                enc: sealed.enc,
                ciphertext: sealed.ciphertext,
            },
            left_out: gathered.left_out,
        })
    }

    /// One record of the page, and one of each secret in it, which makes it an access.
    async fn note_export(
        &self,
        ctx: &Ctx,
        request: &ExportRequest,
        header: &ExportHeader,
        exported: Vec<Taken>,
    ) -> Result<()> {
        let (entry_of, export_id) = (ctx.clone(), header.export_id);
        let facts = json!({
            "export_id": header.export_id, "count": header.count, "last": header.last, "recipient": request.recipient,
        });
        let details = json!({
            "prefix": header.prefix, "after": header.after, "through": header.through, "reason": request.reason.trim(),
        });
        self.store
            .write(ctx.organization, move |db| {
                let page = Entry::event(&entry_of, "vault.exported")
                    .facts(facts.clone())
                    .details(details.clone());
                let secrets = exported.iter().map(|secret| {
                    Entry::event(&entry_of, "secret.exported")
                        .target("secret", secret.id)
                        .facts(json!({"version": secret.version, "delivery": "exported", "export_id": export_id}))
                        .details(json!({"path": secret.path, "source_ip": entry_of.source_ip}))
                });
                aim_audit::append(db, iter::once(page).chain(secrets).collect())?;
                Ok(())
            })
            .await
    }
}

fn unknown_cursor() -> Error {
    Error::field(
        "cursor",
        "not a cursor of an export; leave it out to start at the top",
    )
}

/// The export and the last secret of the page before.
fn read_cursor(text: &str) -> Option<(Uuid, SecretId)> {
    let (export, secret) = text.split_once('.')?;
    let secret = SecretId::from_uuid(Uuid::try_parse(secret).ok()?);
    Some((Uuid::try_parse(export).ok()?, secret))
}

fn write_cursor(export: Uuid, secret: SecretId) -> String {
    format!("{}.{}", export.simple(), secret.uuid().simple())
}

fn gather(
    db: &mut Db,
    ctx: &Ctx,
    keys: Option<&OrganizationKeys>,
    prefix: &str,
    after: &str,
    limit: i64,
) -> aim_store::Result<Gathered> {
    let behind = (!after.is_empty()).then_some(after);
    let mut rows = past::secrets(db, ctx.organization, prefix, behind, None, limit + 1)?;
    let most = usize::try_from(limit).unwrap_or_default();
    let mut gathered = Gathered {
        plaintext: Zeroizing::new(Vec::with_capacity(64 * 1024)),
        exported: Vec::new(),
        left_out: Vec::new(),
        through: None,
        more: rows.len() > most,
    };
    rows.truncate(most);
    gathered.plaintext.push(b'[');
    for row in rows {
        if gathered.plaintext.len() >= FULL_PAGE {
            gathered.more = true;
            break;
        }
        let (id, path, version) = (row.id, row.path.clone(), row.current_version);
        match exported(db, ctx, keys, row) {
            Ok(Ok(json)) => {
                if !gathered.exported.is_empty() {
                    gathered.plaintext.push(b',');
                }
                append(&mut gathered.plaintext, &json);
                gathered.exported.push(Taken {
                    id,
                    path: path.clone(),
                    version,
                });
            }
            Ok(Err(reason)) => gathered.left_out.push(LeftOut {
                path: path.clone(),
                reason: reason.to_owned(),
            }),
            Err(error) => {
                let error = error.into_core();
                if error.code != Code::VaultIntegrity {
                    return Err(error.into());
                }
                gathered.left_out.push(LeftOut {
                    path: path.clone(),
                    reason: error.to_string(),
                });
            }
        }
        gathered.through = Some((id, path));
    }
    gathered.plaintext.push(b']');
    Ok(gathered)
}

/// Appends without leaving a copy behind where the buffer grows.
fn append(buffer: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if buffer.capacity() - buffer.len() < more.len() + 2 {
        let mut larger = Zeroizing::new(Vec::with_capacity((buffer.len() + more.len() + 2) * 2));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.extend_from_slice(more);
}

type Json = Zeroizing<Vec<u8>>;

/// A secret as JSON, or why it is left out.
fn exported(
    db: &mut Db,
    ctx: &Ctx,
    keys: Option<&OrganizationKeys>,
    row: SecretRow,
) -> aim_store::Result<Result<Json, &'static str>> {
    let keys = keys.ok_or_else(Error::not_found)?;
    let path = SecretPath::parse(&row.path)?;
    let versions = store::versions(db, ctx.organization, row.id)?;
    check_head(keys, &row, &path, &versions)?;
    age::refuse_turned_back(db, ctx.organization, row.id, row.changes)?;
    let newest = row.newest_of(&versions);
    match newest.map(|known| VersionState::parse(&known.state)) {
        Some(VersionState::Active) => {}
        Some(VersionState::Deleted) => return Ok(Err("its newest version is deleted")),
        _ => return Ok(Err("its newest version is destroyed")),
    }
    if row.expires_at.is_some_and(|end| ctx.now >= end) {
        return Ok(Err("it has expired"));
    }
    let (kind, fields, plaintext) = values_of(db, ctx, row.id, keys, &path, row.current_version)?;
    let mut json = Zeroizing::new(Vec::with_capacity(
        plaintext.len() + 16 * 1024 + row.description.len() * 6,
    ));
    let exported = Exported {
        path: path.as_str(),
        kind,
        fields: &fields,
        description: &row.description,
        tags: row.tags.strings(),
        owner: row.owner.as_deref(),
        expires_at: row.expires_at,
        max_versions: row.max_versions,
        provider: row.provider.as_deref(),
    };
    serde_json::to_writer(&mut *json, &exported).map_err(Error::internal)?;
    Ok(Ok(json))
}
