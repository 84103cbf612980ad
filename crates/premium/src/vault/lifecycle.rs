//! What becomes of versions: deleted, undeleted, destroyed, and taken up again.

use aim_core::{Code, Ctx, Error, Result, Timestamp};
use aim_store::Db;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    fail_point,
    keys::OrganizationKeys,
    kinds::{Fields, SecretKind},
    model::{SecretId, SecretView, VersionState},
    past,
    path::SecretPath,
    service::{Draft, NewVersion, VaultService, in_transaction, open_version, refuse_agents},
    store,
};

impl VaultService {
    /// Deletes a version, or all of them, until it is undeleted.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` for a version that is destroyed.
    pub async fn delete(&self, ctx: &Ctx, path: SecretPath, version: Option<i64>) -> Result<SecretView> {
        self.change(ctx, path, "secret.deleted", move |db, ctx, draft, _, _| {
            let versions = match version {
                Some(version) => {
                    refuse_destroyed(draft.state(version)?)?;
                    vec![version]
                }
                None => draft.in_state(VersionState::Active),
            };
            let state = VersionState::Deleted.as_str();
            store::set_deleted(
                db,
                ctx.organization,
                draft.row.id,
                &versions,
                state,
                Some(ctx.now),
            )?;
            Ok(json!({"versions": versions}))
        })
        .await
    }

    /// Makes a deleted version readable again.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` for a version that is destroyed.
    pub async fn undelete(&self, ctx: &Ctx, path: SecretPath, version: i64) -> Result<SecretView> {
        self.change(ctx, path, "secret.undeleted", move |db, ctx, draft, _, _| {
            refuse_destroyed(draft.state(version)?)?;
            let state = VersionState::Active.as_str();
            store::set_deleted(db, ctx.organization, draft.row.id, &[version], state, None)?;
            Ok(json!({"versions": [version]}))
        })
        .await
    }

    /// Erases the key of a version: nothing can make it readable again.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn destroy(&self, ctx: &Ctx, path: SecretPath, version: i64) -> Result<SecretView> {
        let kept = [None, Some(version)].map(|version| (ctx.organization, path.clone(), version));
        let destroyed = self.change(ctx, path, "secret.destroyed", move |db, ctx, draft, _, _| {
            if draft.state(version)? != VersionState::Destroyed {
                let (secret, state) = (draft.row.id, VersionState::Destroyed.as_str());
                store::shred(db, ctx.organization, secret, &[version])?;
                fail_point::reached("vault.destroy.shredded");
                store::set_destroyed(db, ctx.organization, secret, &[version], state, ctx.now)?;
            }
            Ok(json!({"versions": [version]}))
        });
        let view = destroyed.await?;
        for key in &kept {
            self.known.forget(key);
        }
        Ok(view)
    }

    /// Writes the values of an older version as a new one.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` for a version that is not active, or has expired.
    pub async fn rollback(&self, ctx: &Ctx, path: SecretPath, version: i64) -> Result<SecretView> {
        self.change(
            ctx,
            path,
            "secret.rolled_back",
            move |db, ctx, draft, keys, path| {
                if draft.state(version)? != VersionState::Active {
                    return Err(Error::new(
                        Code::StateConflict,
                        "only a version that is active can be taken up again; undelete it first",
                    )
                    .at("version")
                    .into());
                }
                // Its end comes back with it.
                draft.row.expires_at = draft.end_of(db, version)?;
                if draft.row.expires_at.is_some_and(|end| ctx.now >= end) {
                    let detail = "the values of this version have expired; write new ones";
                    return Err(Error::new(Code::StateConflict, detail).at("version").into());
                }
                let (kind, fields, plaintext) = values_of(db, ctx, draft.row.id, keys, path, version)?;
                let new = NewVersion {
                    kind: kind.as_str(),
                    fields: &fields,
                    plaintext: &plaintext,
                    rolled_back_from: Some(version),
                };
                let destroyed = draft.add(db, ctx, keys, path, &new)?;
                Ok(json!({"version": draft.row.current_version, "from": version, "destroyed": destroyed}))
            },
        )
        .await
    }

    /// Changes a secret that is there, in one transaction, and writes the record of it.
    async fn change<F>(&self, ctx: &Ctx, path: SecretPath, event: &'static str, work: F) -> Result<SecretView>
    where
        F: Fn(&mut Db, &Ctx, &mut Draft, &OrganizationKeys, &SecretPath) -> aim_store::Result<Value>
            + Send
            + 'static,
    {
        refuse_agents(ctx)?;
        let (root, cached) = self.opened(ctx).await?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let keys = in_transaction(db, &ctx, &root, cached.as_ref())?;
                let mut draft = Draft::existing(db, &ctx, &keys, &path)?.ok_or_else(Error::not_found)?;
                let facts = work(db, &ctx, &mut draft, &keys, &path)?;
                draft.finish(db, &ctx, &keys, &path, event, facts)
            })
            .await
            .inspect(|_| fail_point::reached("vault.change.committed"))
    }
}

impl Draft {
    /// How a version stands.
    fn state(&self, version: i64) -> Result<VersionState> {
        let found = self.versions.iter().find(|known| known.version == version);
        found
            .map(|known| VersionState::parse(&known.state))
            .ok_or_else(Error::not_found)
    }

    /// When the values of a version end.
    fn end_of(&self, db: &mut Db, version: i64) -> aim_store::Result<Option<Timestamp>> {
        let row = &self.row;
        if version == row.current_version {
            return Ok(row.expires_at);
        }
        let Some(known) = self.versions.iter().find(|known| known.version == version) else {
            return Ok(None);
        };
        let written = past::written(db, row.org_id, row.id, (version, known.created_at))?;
        Ok(written.and_then(|moment| moment.expires_at))
    }

    pub(super) fn in_state(&self, state: VersionState) -> Vec<i64> {
        let those = self.versions.iter().filter(|known| known.state == state.as_str());
        those.map(|known| known.version).collect()
    }
}

fn refuse_destroyed(state: VersionState) -> Result<()> {
    if state == VersionState::Destroyed {
        return Err(Error::new(Code::StateConflict, "this version is destroyed for good").at("version"));
    }
    Ok(())
}

/// What is encrypted of a version.
#[derive(Deserialize)]
pub(super) struct Plaintext {
    pub(super) kind: SecretKind,
    pub(super) fields: Fields,
}

/// The values of a version.
pub(super) fn values_of(
    db: &mut Db,
    ctx: &Ctx,
    secret: SecretId,
    keys: &OrganizationKeys,
    path: &SecretPath,
    version: i64,
) -> aim_store::Result<(SecretKind, Fields, Zeroizing<Vec<u8>>)> {
    let row = store::sealed(db, ctx.organization, secret, version)?.ok_or_else(Error::not_found)?;
    let plaintext = open_version(keys, ctx.organization, secret, path, version, &row)?;
    let Plaintext { kind, fields } =
        serde_json::from_slice(&plaintext).map_err(|_| Error::internal("a version holds no values"))?;
    Ok((kind, fields, plaintext))
}
