//! Rotation of an organisation's keys, while it works: a new key is current at once, the one before is kept for reading, and
//! what stands under it is taken over in small transactions. What is encrypted stays as it is; only the keys of versions are
//! wrapped anew, and heads and digests computed anew.
//!
//! Whoever takes over, and how often: a transaction takes what it finds under the old key, and holds it. So two nodes may do it
//! at once, and after a crash anybody goes on where it ended.

use std::{sync::atomic::Ordering, time::Duration};

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, OrganizationId, Result, Timestamp};
use aim_platform::Job;
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    envelope::{Key, Purpose, VersionPlace, WRAPPED_LENGTH},
    fail_point,
    key_store::{self, Hold, RetiredRow},
    keys::{self, OrganizationKeys, hold_root, refuse_sealed},
    lifecycle::Plaintext,
    model::{KeyState, SecretId, VaultKey, VaultKeyList, VersionState},
    path::SecretPath,
    rotation_store,
    service::{VaultService, check_head, digests_of, head_of, refuse_agents, states},
    store::{self, SecretRow, VersionRow},
};

/// How many versions a transaction takes over.
const VERSIONS: i64 = 200;
/// How many secrets a transaction computes anew: each version of theirs is opened for it.
const SECRETS: i64 = 20;
/// The most retired keys that an organisation may have before it rotates again.
const MOST_RETIRED: usize = 8;
/// How many retired keys are looked at in one go.
const MOST_LOOKED_AT: i64 = 100;
/// How long after it was tried in vain a key is tried again.
const RETRY: TimeDelta = TimeDelta::hours(1);

/// How often somebody looks whether a rotation was interrupted.
const LOOKING: Duration = Duration::from_secs(30);

/// Goes on with rotations that were interrupted: the node that holds the lease looks, and takes over in the background, so that
/// other jobs need not wait for it.
pub(super) fn job(service: &VaultService) -> Job {
    let service = service.clone();
    Job::new("vault.rotation", LOOKING, move |now| {
        let service = service.clone();
        async move {
            if service.has_retired_keys(now).await? {
                service.take_over_in_the_background();
            }
            Ok(())
        }
    })
}

/// What a batch came to.
#[derive(Debug, Clone, Copy)]
struct Batch<Place> {
    /// Where the next one begins; nothing at the end.
    next: Option<Place>,
    /// How many did not open.
    stuck: i64,
}

impl VaultService {
    /// Makes a new key of this purpose current. What stands under the one before is taken over in the background.
    ///
    /// # Errors
    /// `vault.sealed`; `resource.state` when there is no key yet, or too many are retired and still needed.
    pub async fn rotate(&self, ctx: &Ctx, purpose: Purpose) -> Result<VaultKeyList> {
        refuse_agents(ctx)?;
        let (root, _) = self.opened(ctx).await?;
        let caller = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                // Alone, because its epoch moves below: two that hold it together would wait for each other.
                hold_root(db, &root, Hold::Alone)?;
                let known = key_store::keys(db, caller.organization)?;
                if known.iter().filter(|key| key.retired_at.is_some()).count() >= MOST_RETIRED {
                    let detail =
                        "too many retired keys are still needed; wait until what they wrap is taken over";
                    return Err(Error::new(Code::StateConflict, detail).into());
                }
                let next = keys::fresh(&caller, &root, purpose)?;
                let retired = key_store::retire(db, caller.organization, purpose.as_str(), caller.now)?;
                let Some(retired) = retired else {
                    let detail = if known.is_empty() {
                        "there is no key yet; it is made with the first secret"
                    } else {
                        "somebody else rotated this key at the same time"
                    };
                    return Err(Error::new(Code::StateConflict, detail).into());
                };
                fail_point::reached("vault.rotate.retired");
                if !key_store::add_key(db, &next)? {
                    let detail = "somebody else rotated this key at the same time";
                    return Err(Error::new(Code::StateConflict, detail).into());
                }
                key_store::move_epoch(db)?;
                let entry = Entry::event(&caller, "vault.key_rotated")
                    .target("vault_key", next.id)
                    .facts(json!({"purpose": purpose.as_str(), "before": retired}));
                aim_audit::append(db, vec![entry])?;
                fail_point::reached("vault.rotate.recorded");
                Ok(())
            })
            .await?;
        self.ring.forget(ctx.organization);
        self.take_over_in_the_background();
        self.keys(ctx).await
    }

    /// The organisation's keys, and how much still stands under each.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, ctx: &Ctx) -> Result<VaultKeyList> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let rows = key_store::keys(db, organization)?;
                let places: Vec<RetiredRow> = key_store::retired_of(db, organization)?;
                let mut keys = Vec::with_capacity(rows.len());
                for row in rows {
                    let place = places.iter().find(|place| place.id == row.id);
                    let covers = match (Purpose::parse(&row.purpose), place) {
                        (Purpose::Wrap, _) => rotation_store::count_under(db, organization, row.id)?,
                        (Purpose::Index, Some(place)) => {
                            rotation_store::count_after(db, organization, place.done_until)? + place.stuck
                        }
                        (Purpose::Index, None) => store::count(db, organization)?,
                    };
                    keys.push(VaultKey {
                        id: row.id,
                        purpose: row.purpose,
                        state: match row.retired_at {
                            Some(_) => KeyState::Retired,
                            None => KeyState::Current,
                        },
                        created_at: row.created_at,
                        retired_at: row.retired_at,
                        covers,
                        stuck: row.stuck,
                    });
                }
                Ok(VaultKeyList::of(keys))
            })
            .await
    }

    /// Starts taking over what stands under retired keys, unless this node is at it. What a crash ends, the job starts again.
    pub(super) fn take_over_in_the_background(&self) {
        if self.taking_over.swap(true, Ordering::AcqRel) {
            return;
        }
        let service = self.clone();
        tokio::spawn(async move {
            let done = service.take_over(service.clock.now()).await;
            service.taking_over.store(false, Ordering::Release);
            if let Err(error) = done {
                tracing::warn!(
                    ?error,
                    "what stands under retired keys of the vault is taken over later"
                );
            }
        });
    }

    /// Whether there is a retired key to be taken over from, as far as it makes sense to try.
    pub(super) async fn has_retired_keys(&self, now: Timestamp) -> Result<bool> {
        let retired = self
            .store
            .read(Scope::Installation, |db| key_store::retired(db, MOST_LOOKED_AT))
            .await?;
        Ok(retired.iter().any(|key| is_to_be_tried(key, now)))
    }

    /// Takes over what stands under the retired keys of all organisations, and removes the keys under which nothing is left.
    ///
    /// # Errors
    /// `vault.sealed`, or the database's. What was done until then stays done.
    pub async fn take_over(&self, now: Timestamp) -> Result<()> {
        loop {
            let retired = self
                .store
                .read(Scope::Installation, |db| key_store::retired(db, MOST_LOOKED_AT))
                .await?;
            let Some(key) = retired.into_iter().find(|key| is_to_be_tried(key, now)) else {
                return Ok(());
            };
            if self.stopping.has_begun() {
                return Ok(());
            }
            let ctx = Ctx::system("vault.rotation", key.org_id, self.clock.now());
            match Purpose::parse(&key.purpose) {
                Purpose::Wrap => self.take_over_versions(&ctx, key.id).await?,
                Purpose::Index => self.take_over_secrets(&ctx, key.id, key.done_until).await?,
            }
        }
    }

    async fn take_over_versions(&self, ctx: &Ctx, key: Uuid) -> Result<()> {
        self.wait_for_its_users(ctx, key).await?;
        let (mut after, mut stuck) = (None, 0);
        loop {
            let batch = self.take_over_some_versions(ctx, key, after).await?;
            stuck += batch.stuck;
            if batch.next.is_none() || self.stopping.has_begun() {
                break;
            }
            after = batch.next;
        }
        if self.stopping.has_begun() {
            return Ok(());
        }
        self.remove_or_note(ctx, key, stuck).await
    }

    /// Whoever began to write with this key while it was current is waited for; from now on nobody uses it for anything new.
    async fn wait_for_its_users(&self, ctx: &Ctx, key: Uuid) -> Result<()> {
        let organization = ctx.organization;
        self.store
            .write(organization, move |db| {
                key_store::hold_key(db, organization, key).map(|_| ())
            })
            .await
    }

    async fn take_over_some_versions(
        &self,
        ctx: &Ctx,
        key: Uuid,
        after: Option<(SecretId, i64)>,
    ) -> Result<Batch<(SecretId, i64)>> {
        let root = self.keeper.open(&self.store, self.clock.now()).await?;
        let organization = ctx.organization;
        let batch = self
            .store
            .write_behind(organization, move |db| {
                refuse_sealed(db)?;
                let keys = keys::load(db, organization, &root)?.ok_or_else(Error::not_found)?;
                let rows = rotation_store::wrapped_under(db, organization, key, after, VERSIONS)?;
                let next = match i64::try_from(rows.len()) {
                    Ok(VERSIONS) => rows.last().map(|row| (row.secret_id, row.version)),
                    _ => None,
                };
                let mut stuck = 0;
                for row in &rows {
                    if let Err(error) = take_over_version(db, organization, &keys, key, row) {
                        stuck += left_behind(error)?;
                    }
                    fail_point::reached("vault.rotate.version");
                }
                Ok(Batch { next, stuck })
            })
            .await?;
        fail_point::reached("vault.rotate.batch");
        Ok(batch)
    }

    async fn take_over_secrets(&self, ctx: &Ctx, key: Uuid, done_until: Option<Uuid>) -> Result<()> {
        self.wait_for_its_users(ctx, key).await?;
        let mut after = done_until;
        let mut stuck = 0;
        loop {
            let batch = self.take_over_some_secrets(ctx, key, after, stuck).await?;
            stuck = batch.stuck;
            if batch.next.is_none() || self.stopping.has_begun() {
                break;
            }
            after = batch.next;
        }
        if self.stopping.has_begun() {
            return Ok(());
        }
        self.remove_or_note(ctx, key, stuck).await
    }

    async fn take_over_some_secrets(
        &self,
        ctx: &Ctx,
        key: Uuid,
        after: Option<Uuid>,
        stuck: i64,
    ) -> Result<Batch<Uuid>> {
        let root = self.keeper.open(&self.store, self.clock.now()).await?;
        let organization = ctx.organization;
        let batch = self
            .store
            .write_behind(organization, move |db| {
                refuse_sealed(db)?;
                let keys = keys::load(db, organization, &root)?.ok_or_else(Error::not_found)?;
                let rows = rotation_store::secrets_after(db, organization, after, SECRETS)?;
                let next = match i64::try_from(rows.len()) {
                    Ok(SECRETS) => rows.last().map(|row| row.id.uuid()),
                    _ => None,
                };
                let mut stuck = stuck;
                for row in &rows {
                    if let Err(error) = take_over_secret(db, organization, &keys, row) {
                        stuck += left_behind(error)?;
                    }
                    fail_point::reached("vault.rotate.secret");
                }
                let until = rows.last().map(|row| row.id.uuid()).or(after);
                key_store::note_progress(db, organization, key, until, 0, None)?;
                Ok(Batch { next, stuck })
            })
            .await?;
        fail_point::reached("vault.rotate.batch");
        Ok(batch)
    }

    /// Removes a key under which nothing is left; otherwise notes how much did not open, and when that was tried.
    async fn remove_or_note(&self, ctx: &Ctx, key: Uuid, stuck: i64) -> Result<()> {
        let caller = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let organization = caller.organization;
                // Before the key's row, as a rotation does: its epoch may move below.
                let _ = key_store::held_root(db, Hold::Alone)?;
                if !key_store::hold_key(db, organization, key)? {
                    return Ok(());
                }
                let rows = key_store::keys(db, organization)?;
                let Some(row) = rows.iter().find(|row| row.id == key) else {
                    return Ok(());
                };
                let wraps = Purpose::parse(&row.purpose) == Purpose::Wrap;
                let left = match wraps && rotation_store::any_under(db, organization, key)? {
                    true => stuck.max(1),
                    false => stuck,
                };
                if left > 0 {
                    return key_store::note_progress(db, organization, key, None, left, Some(caller.now));
                }
                fail_point::reached("vault.rotate.removing");
                key_store::remove_key(db, organization, key)?;
                key_store::move_epoch(db)?;
                let entry = Entry::event(&caller, "vault.key_removed")
                    .target("vault_key", key)
                    .facts(json!({"purpose": row.purpose}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await?;
        fail_point::reached("vault.rotate.removed");
        self.ring.forget(ctx.organization);
        if stuck > 0 {
            tracing::warn!(organization = %ctx.organization, key = %key, stuck,
                "a retired key of the vault is kept: what does not open under it was changed outside AIM");
        }
        Ok(())
    }
}

fn is_to_be_tried(key: &RetiredRow, now: Timestamp) -> bool {
    key.stuck == 0 || key.tried_at.is_none_or(|tried| (now - tried).abs() >= RETRY)
}

/// One that does not open is left where it is, and does not hold the others up. Everything else ends the transaction.
fn left_behind(error: aim_store::Error) -> aim_store::Result<i64> {
    match error {
        aim_store::Error::Refused(refusal) if refusal.code == Code::VaultIntegrity => Ok(1),
        other => Err(other),
    }
}

/// Puts a version under the current key.
fn take_over_version(
    db: &mut Db,
    organization: OrganizationId,
    keys: &OrganizationKeys,
    key: Uuid,
    row: &rotation_store::WrappedRow,
) -> aim_store::Result<()> {
    let (secret, version) = (row.secret_id, row.version);
    let mut put = |wrapped: &[u8], ciphertext: Option<&[u8]>| {
        rotation_store::put_under(
            db,
            organization,
            secret,
            version,
            keys.wrap_id,
            wrapped,
            ciphertext,
        )
    };
    let destroyed = [0_u8; WRAPPED_LENGTH];
    if row.wrapped_key == destroyed {
        return put(&destroyed, None);
    }
    let path = SecretPath::parse(&row.path).map_err(|_| unreadable_path())?;
    let place = VersionPlace {
        organization,
        secret: secret.uuid(),
        path: &path,
        version,
        key_id: key,
    };
    let (old, new): (&Key, &Key) = (keys.wrapping(key)?, keys.wrapping(keys.wrap_id)?);
    let format = row.format.as_ref().and_then(|format| format.first());
    if VersionPlace::is_rewrappable(format) {
        let wrapped = place.rewrap(old, &row.wrapped_key, new, keys.wrap_id)?;
        return put(&wrapped, None);
    }
    // Of a release whose ciphertexts named the key: encrypted anew, under a data key of its own.
    let sealed = store::sealed(db, organization, secret, version)?.ok_or_else(Error::not_found)?;
    let plaintext = place.open(old, &sealed.wrapped_key, &sealed.ciphertext)?;
    let place = VersionPlace {
        key_id: keys.wrap_id,
        ..place
    };
    let (wrapped, ciphertext) = place.seal(new, &plaintext)?;
    rotation_store::put_under(
        db,
        organization,
        secret,
        version,
        keys.wrap_id,
        &wrapped,
        Some(&ciphertext),
    )
}

/// Computes the head of a secret and the digests of its values under the current key.
fn take_over_secret(
    db: &mut Db,
    organization: OrganizationId,
    keys: &OrganizationKeys,
    row: &SecretRow,
) -> aim_store::Result<()> {
    let path = SecretPath::parse(&row.path).map_err(|_| unreadable_path())?;
    let versions = store::versions(db, organization, row.id)?;
    check_head(keys, row, &path, &versions)?;
    // First all that may fail, so that a secret is taken over as a whole or not at all.
    let mut digests = Vec::with_capacity(versions.len());
    for version in &versions {
        if VersionState::parse(&version.state) == VersionState::Destroyed {
            continue;
        }
        let plaintext = opened(db, organization, keys, row, &path, version)?;
        let Plaintext { fields, .. } = serde_json::from_slice(&plaintext)
            .map_err(|_| Error::new(Code::VaultIntegrity, "a version holds no values"))?;
        digests.push((version, digests_of(keys, organization, &fields)));
    }
    for (version, digests) in digests {
        rotation_store::forget_digests_of(db, organization, row.id, version)?;
        store::add_digests(db, organization, row.id, version.version, &digests)?;
    }
    let head = head_of(row, &path, &states(&versions)).digest(&keys.index);
    rotation_store::set_head(db, organization, row.id, &head)
}

fn opened(
    db: &mut Db,
    organization: OrganizationId,
    keys: &OrganizationKeys,
    row: &SecretRow,
    path: &SecretPath,
    version: &VersionRow,
) -> aim_store::Result<Zeroizing<Vec<u8>>> {
    let sealed = store::sealed(db, organization, row.id, version.version)?.ok_or_else(Error::not_found)?;
    let place = VersionPlace {
        organization,
        secret: row.id.uuid(),
        path,
        version: version.version,
        key_id: sealed.key_id.uuid(),
    };
    Ok(place.open(
        keys.wrapping(place.key_id)?,
        &sealed.wrapped_key,
        &sealed.ciphertext,
    )?)
}

fn unreadable_path() -> Error {
    Error::new(Code::VaultIntegrity, "a secret's path is none")
}
