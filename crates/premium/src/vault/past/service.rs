//! The use cases of the past.

use std::collections::BTreeSet;

use aim_audit::Entry;
use aim_core::{Code, Ctx, Cursor, Error, OrganizationId, Result, Timestamp};
use aim_store::Db;
use serde_json::json;

use super::{
    model::{
        AtList, AtQuery, DiffQuery, ExpiryDiff, FieldChange, FieldDiff, MOST_RESTORED, Newer, RestoreAction,
        RestoreReply, RestoreRequest, Restored, SecretAt, VersionDiff,
    },
    store::{self, MomentRow},
};
use crate::vault::{
    age,
    keys::OrganizationKeys,
    kinds::SecretKind,
    lifecycle::values_of,
    model::{SecretId, SecretView, VersionState, VersionView},
    path::SecretPath,
    service::{Draft, NewVersion, VaultService, check_head, in_transaction, refuse_agents},
    store::{self as secrets, SecretRow, VersionRow},
};

/// How many secrets are looked up at once on a way through a prefix.
const STEP: i64 = 100;

impl VaultService {
    /// What is different between two versions, by what is known besides their values.
    ///
    /// # Errors
    /// `resource.not_found` for an unknown path or version; `vault.sealed`, `vault.integrity`.
    pub async fn diff(&self, ctx: &Ctx, query: DiffQuery) -> Result<VersionDiff> {
        refuse_agents(ctx)?;
        let path = query.path()?;
        let (_, keys) = self.opened_now(ctx).await?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let (row, versions) =
                    secrets::load(db, organization, path.as_str())?.ok_or_else(Error::not_found)?;
                let keys = keys.ok_or_else(Error::not_found)?;
                check_head(&keys, &row, &path, &versions)?;
                age::refuse_turned_back(db, organization, row.id, row.changes)?;
                let (secret, current) = (row.id, row.current_version);
                let view = SecretView::of(row, versions);
                let version = |wanted: i64| -> Result<VersionView> {
                    let found = view.versions.iter().find(|known| known.version == wanted);
                    found.cloned().ok_or_else(Error::not_found)
                };
                let (from, to) = (version(query.from)?, version(query.to.unwrap_or(current))?);
                let fields = compare(
                    &from.fields,
                    &store::digests(db, organization, secret, from.version)?,
                    &to.fields,
                    &store::digests(db, organization, secret, to.version)?,
                );
                let mut written =
                    |of: &VersionView| store::written(db, organization, secret, (of.version, of.created_at));
                let (before, after) = (written(&from)?, written(&to)?);
                Ok(VersionDiff {
                    path: path.as_str().to_owned(),
                    kind_changed: from.kind != to.kind,
                    fields,
                    expiry: expiry(before.as_ref(), after.as_ref()),
                    from,
                    to,
                })
            })
            .await
    }

    /// A page of the secrets that there were at a moment, as they stood then.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn at(&self, ctx: &Ctx, query: AtQuery) -> Result<AtList> {
        refuse_agents(ctx)?;
        let (prefix, at, page) = query.check(ctx.now)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let after = page
                    .cursor
                    .map(|cursor| path_behind(db, organization, cursor))
                    .transpose()?;
                let rows = store::secrets(
                    db,
                    organization,
                    &prefix,
                    after.as_deref(),
                    Some(at),
                    page.fetch(),
                )?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let secrets = rows
                    .into_iter()
                    .map(|row| secret_at(db, row, at))
                    .collect::<aim_store::Result<Vec<_>>>()?;
                Ok(AtList {
                    at,
                    secrets,
                    limit: page.limit,
                    next_cursor,
                })
            })
            .await
    }

    /// Takes the secrets of a prefix back to a moment, a transaction each. Values of then become new versions.
    ///
    /// # Errors
    /// `request.field_invalid` at a field; `vault.sealed`, `vault.integrity`.
    pub async fn restore(&self, ctx: &Ctx, request: RestoreRequest) -> Result<RestoreReply> {
        refuse_agents(ctx)?;
        request.check(ctx.now)?;
        let most = usize::try_from(request.limit.unwrap_or(MOST_RESTORED)).unwrap_or_default();
        let mut after = match &request.cursor {
            Some(cursor) => {
                let (cursor, organization) = (Cursor::parse(cursor)?, ctx.organization);
                let path = self
                    .store
                    .read(organization, move |db| path_behind(db, organization, cursor));
                Some(path.await?)
            }
            None => None,
        };
        let (mut done, mut last, mut more) = (Vec::new(), None, true);
        while more && done.len() < most {
            let (organization, prefix, behind) = (ctx.organization, request.prefix.clone(), after.clone());
            let rows = self
                .store
                .read(organization, move |db| {
                    store::secrets(db, organization, &prefix, behind.as_deref(), None, STEP)
                })
                .await?;
            let room = most - done.len();
            more = rows.len() > room || rows.len() == usize::try_from(STEP).unwrap_or(usize::MAX);
            for row in rows.into_iter().take(room) {
                after = Some(row.path.clone());
                last = Some(row.id);
                let current_version = row.current_version;
                let restored = self.restore_one(ctx, &request, row.path.clone()).await;
                done.push(match restored {
                    // One that is broken does not keep the others from being taken back.
                    Err(error) if error.code == Code::VaultIntegrity => {
                        Step::Impossible("what is stored was changed outside AIM", None)
                            .told_of(&row.path, current_version)
                    }
                    other => other?,
                });
            }
        }
        let next_cursor = last.filter(|_| more).map(|id| Cursor(id.uuid()).encode());
        let reply = reply_of(&request, done, next_cursor);
        if !request.dry_run {
            self.note_restored(ctx, &request, &reply).await?;
        }
        Ok(reply)
    }

    async fn restore_one(&self, ctx: &Ctx, request: &RestoreRequest, path: String) -> Result<Restored> {
        let path = SecretPath::parse(&path)?;
        let (root, cached) = self.opened(ctx).await?;
        let (ctx, at, newer) = (ctx.clone(), request.at, request.newer);
        if request.dry_run {
            let keys = cached.ok_or_else(Error::not_found)?;
            return self
                .store
                .read(ctx.organization, move |db| {
                    let (row, versions) =
                        secrets::load(db, ctx.organization, path.as_str())?.ok_or_else(Error::not_found)?;
                    check_head(&keys, &row, &path, &versions)?;
                    age::refuse_turned_back(db, ctx.organization, row.id, row.changes)?;
                    let step = plan(db, &ctx, &keys, &path, (&row, &versions), (at, newer))?;
                    Ok(step.told(&row, row.current_version))
                })
                .await;
        }
        self.store
            .write(ctx.organization, move |db| {
                let keys = in_transaction(db, &ctx, &root, cached.as_ref())?;
                let draft = Draft::existing(db, &ctx, &keys, &path)?.ok_or_else(Error::not_found)?;
                let step = plan(db, &ctx, &keys, &path, (&draft.row, &draft.versions), (at, newer))?;
                step.take(db, &ctx, &keys, &path, draft, at)
            })
            .await
    }

    async fn note_restored(&self, ctx: &Ctx, request: &RestoreRequest, reply: &RestoreReply) -> Result<()> {
        let entry_of = ctx.clone();
        let facts = json!({
            "at": reply.at, "restored": reply.restored, "deleted": reply.deleted, "unchanged": reply.unchanged,
            "impossible": reply.impossible,
        });
        let details = json!({"prefix": request.prefix});
        self.store
            .write(ctx.organization, move |db| {
                let entry = Entry::event(&entry_of, "vault.restored")
                    .facts(facts.clone())
                    .details(details.clone());
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }
}

fn path_behind(db: &mut Db, organization: OrganizationId, cursor: Cursor) -> aim_store::Result<String> {
    let path = secrets::path_of(db, organization, SecretId::from_uuid(cursor.0))?;
    Ok(path.ok_or_else(|| {
        Error::field(
            "cursor",
            "not a cursor of this list; leave it out to start at the top",
        )
    })?)
}

type Digests = [(String, Vec<u8>)];

/// Names and digests of two versions against each other.
fn compare(before: &[String], old: &Digests, after: &[String], new: &Digests) -> Vec<FieldDiff> {
    let digest = |all: &Digests, name: &str| {
        let found = all.iter().find(|(field, _)| field == name);
        found.map(|(_, digest)| digest.clone())
    };
    let names: BTreeSet<&String> = before.iter().chain(after).collect();
    names
        .into_iter()
        .map(|name| FieldDiff {
            name: name.clone(),
            change: match (before.contains(name), after.contains(name)) {
                (false, _) => FieldChange::Added,
                (_, false) => FieldChange::Removed,
                _ => match (digest(old, name), digest(new, name)) {
                    (Some(one), Some(other)) if one == other => FieldChange::Same,
                    (Some(_), Some(_)) => FieldChange::Changed,
                    _ => FieldChange::Unknown,
                },
            },
        })
        .collect()
}

fn expiry(before: Option<&MomentRow>, after: Option<&MomentRow>) -> ExpiryDiff {
    // What was noted afterwards knows the end of none but the newest version.
    let known = |moment: Option<&MomentRow>| {
        moment
            .filter(|moment| moment.event != "backfilled" || moment.expires_at.is_some())
            .map(|moment| moment.expires_at)
    };
    let (from, to) = (known(before), known(after));
    ExpiryDiff {
        changed: from.zip(to).map(|(from, to)| from != to),
        from: from.flatten(),
        to: to.flatten(),
    }
}

fn secret_at(db: &mut Db, row: SecretRow, at: Timestamp) -> aim_store::Result<SecretAt> {
    let moment = store::moment(db, row.org_id, row.id, at)?;
    let versions = secrets::versions(db, row.org_id, row.id)?;
    let kept = |version: i64| versions.iter().find(|known| known.version == version);
    let then = moment.as_ref().and_then(|moment| kept(moment.version));
    let state = moment.as_ref().map(|moment| VersionState::parse(&moment.state));
    let state_now = moment
        .as_ref()
        .map(|_| then.map_or(VersionState::Destroyed, |known| VersionState::parse(&known.state)));
    Ok(SecretAt {
        expired: moment
            .as_ref()
            .and_then(|moment| moment.expires_at)
            .is_some_and(|end| at >= end),
        same_as_now: state == state_now
            && moment.as_ref().is_some_and(|moment| {
                moment.version == row.current_version && moment.expires_at == row.expires_at
            }),
        version: moment.as_ref().map(|moment| moment.version),
        expires_at: moment.as_ref().and_then(|moment| moment.expires_at),
        changed_at: moment.as_ref().map(|moment| moment.at),
        changed_by: moment.map(|moment| moment.actor),
        kind: then.and_then(|known| SecretKind::parse(&known.kind)),
        fields: then.map(|known| known.field_names.strings()).unwrap_or_default(),
        state,
        state_now,
        current_version: row.current_version,
        path: row.path,
    })
}

/// What is to be done with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Unchanged(&'static str),
    Delete(&'static str),
    Restore {
        version: i64,
        expires_at: Option<Timestamp>,
    },
    Impossible(&'static str, Option<i64>),
}

/// What takes a secret back. Looks, and changes nothing.
fn plan(
    db: &mut Db,
    ctx: &Ctx,
    keys: &OrganizationKeys,
    path: &SecretPath,
    (row, versions): (&SecretRow, &[VersionRow]),
    (at, newer): (Timestamp, Newer),
) -> aim_store::Result<Step> {
    let state_of = |version: i64| {
        let found = versions.iter().find(|known| known.version == version);
        found.map(|known| VersionState::parse(&known.state))
    };
    let is_readable = state_of(row.current_version) == Some(VersionState::Active);
    if row.created_at > at {
        return Ok(match (newer, is_readable) {
            (_, false) => Step::Unchanged("it was not there then, and cannot be read now"),
            (Newer::Keep, true) => Step::Unchanged("it was not there then, and is kept"),
            (Newer::Delete, true) => Step::Delete("it was not there then"),
        });
    }
    let Some(then) = store::moment(db, row.org_id, row.id, at)? else {
        let why = "what it was then was not noted, and its versions of then are not kept";
        return Ok(Step::Impossible(why, None));
    };
    if VersionState::parse(&then.state) != VersionState::Active {
        return Ok(if is_readable {
            Step::Delete("it could not be read then")
        } else {
            Step::Unchanged("it could not be read then, and cannot now")
        });
    }
    if then.expires_at.is_some_and(|end| end <= ctx.now) && then.expires_at != row.expires_at {
        let why = "its value of then has expired since";
        return Ok(Step::Impossible(why, Some(then.version)));
    }
    match state_of(then.version) {
        None | Some(VersionState::Destroyed) => {
            let why = "the version of then is destroyed";
            return Ok(Step::Impossible(why, Some(then.version)));
        }
        Some(_) => {}
    }
    if is_readable && then.expires_at == row.expires_at {
        if then.version == row.current_version {
            return Ok(Step::Unchanged("its version of then is the newest"));
        }
        // Compared as they are, here alone: whoever asks is told no more than that they are the same.
        let (_, _, old) = values_of(db, ctx, row.id, keys, path, then.version)?;
        let (_, _, new) = values_of(db, ctx, row.id, keys, path, row.current_version)?;
        if aim_crypto::secret::ct_eq(&old, &new) {
            return Ok(Step::Unchanged("its newest version has the values of then"));
        }
    }
    Ok(Step::Restore {
        version: then.version,
        expires_at: then.expires_at,
    })
}

impl Step {
    /// Does it, in the transaction in which it was planned.
    fn take(
        self,
        db: &mut Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
        mut draft: Draft,
        at: Timestamp,
    ) -> aim_store::Result<Restored> {
        let told =
            |step: &Self, view: &SecretView| step.told_of(&view.secret.path, view.secret.current_version);
        match &self {
            Self::Unchanged(_) | Self::Impossible(..) => Ok(self.told(&draft.row, draft.row.current_version)),
            Self::Delete(_) => {
                let versions = draft.in_state(VersionState::Active);
                let (secret, state) = (draft.row.id, VersionState::Deleted.as_str());
                secrets::set_deleted(db, ctx.organization, secret, &versions, state, Some(ctx.now))?;
                let facts = json!({"versions": versions, "restored_to": at});
                let view = draft.finish(db, ctx, keys, path, "secret.deleted", facts)?;
                Ok(told(&self, &view))
            }
            Self::Restore { version, expires_at } => {
                let (kind, fields, plaintext) = values_of(db, ctx, draft.row.id, keys, path, *version)?;
                draft.row.expires_at = *expires_at;
                let new = NewVersion {
                    kind: kind.as_str(),
                    fields: &fields,
                    plaintext: &plaintext,
                    rolled_back_from: Some(*version),
                };
                let destroyed = draft.add(db, ctx, keys, path, &new)?;
                let facts = json!({
                    "version": draft.row.current_version, "from": version, "destroyed": destroyed, "restored_to": at,
                });
                let view = draft.finish(db, ctx, keys, path, "secret.rolled_back", facts)?;
                Ok(told(&self, &view))
            }
        }
    }

    fn told(&self, row: &SecretRow, current_version: i64) -> Restored {
        self.told_of(&row.path, current_version)
    }

    fn told_of(&self, path: &str, current_version: i64) -> Restored {
        let (action, from_version, reason) = match self {
            Self::Unchanged(why) => (RestoreAction::Unchanged, None, *why),
            Self::Delete(why) => (RestoreAction::Deleted, None, *why),
            Self::Impossible(why, version) => (RestoreAction::Impossible, *version, *why),
            Self::Restore { version, .. } => (
                RestoreAction::Restored,
                Some(*version),
                "its values of then count again",
            ),
        };
        Restored {
            path: path.to_owned(),
            action,
            from_version,
            current_version,
            reason: reason.to_owned(),
        }
    }
}

fn reply_of(request: &RestoreRequest, secrets: Vec<Restored>, next_cursor: Option<String>) -> RestoreReply {
    let count = |action: RestoreAction| secrets.iter().filter(|done| done.action == action).count();
    RestoreReply {
        at: request.at,
        dry_run: request.dry_run,
        restored: count(RestoreAction::Restored),
        deleted: count(RestoreAction::Deleted),
        unchanged: count(RestoreAction::Unchanged),
        impossible: count(RestoreAction::Impossible),
        secrets,
        next_cursor,
    }
}
