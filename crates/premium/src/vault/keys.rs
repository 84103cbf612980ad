//! An organisation's keys: made with its first secret, kept in memory once they are durable.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use aim_core::{Code, Ctx, Error, OrganizationId, Result};
use aim_store::{Db, Store};
use uuid::Uuid;

use super::{
    envelope::{Key, OrganizationKeyPlace, Purpose, tampered},
    key_store::{self, Hold, KeyRow},
    root::{BY_HAND, Root, sealed},
};

/// How many organisations' keys are kept in memory.
const KEPT: usize = 10_000;

/// The keys of an organisation.
#[derive(Debug)]
pub(super) struct OrganizationKeys {
    /// The id of the key that wraps new data keys.
    pub(super) wrap_id: Uuid,
    /// The keys that wrap data keys, those that wrapped older ones included.
    wrapping: HashMap<Uuid, Key>,
    /// The key of heads and value digests.
    pub(super) index: Key,
    /// The id of that key.
    pub(super) index_id: Uuid,
    /// The keys of heads and digests that are not made anew yet.
    old_indexes: Vec<Key>,
    /// A version named a key that is not here: another node may have made it.
    stale: AtomicBool,
}

impl OrganizationKeys {
    /// The key that wraps the data keys of the versions that name it.
    ///
    /// # Errors
    /// `vault.integrity` when a version names a key that the organisation does not have.
    pub(super) fn wrapping(&self, id: Uuid) -> Result<&Key> {
        self.wrapping.get(&id).ok_or_else(|| {
            self.stale.store(true, Ordering::Relaxed);
            tampered("a version names a key that the organisation does not have")
        })
    }

    /// The keys under which heads and digests may stand: the current one first.
    pub(super) fn indexes(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.index).chain(&self.old_indexes)
    }

    /// Whether these are the organisation's current keys.
    pub(super) fn are(&self, current: &[Uuid]) -> bool {
        current.len() == 2 && current.contains(&self.wrap_id) && current.contains(&self.index_id)
    }

    /// Whether the other ones are the same keys.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.wrap_id == other.wrap_id
            && self.index_id == other.index_id
            && self.old_indexes.len() == other.old_indexes.len()
            && self.wrapping.len() == other.wrapping.len()
            && self.wrapping.keys().all(|id| other.wrapping.contains_key(id))
    }

    fn read(organization: OrganizationId, root: &Root, rows: &[KeyRow]) -> Result<Option<Self>> {
        let (mut wrapping, mut wrap_id) = (HashMap::new(), None);
        let (mut index, mut old_indexes) = (None, Vec::new());
        for row in rows {
            if row.root_key_id != root.id {
                return Err(replaced());
            }
            let purpose = Purpose::parse(&row.purpose);
            let place = OrganizationKeyPlace {
                organization,
                id: row.id,
                purpose,
                root_key_id: &row.root_key_id,
            };
            let key = place.unwrap(&root.key, &row.wrapped)?;
            match purpose {
                Purpose::Index if row.retired_at.is_none() => index = Some((row.id, key)),
                Purpose::Index => old_indexes.push(key),
                Purpose::Wrap => {
                    if row.retired_at.is_none() {
                        wrap_id = Some(row.id);
                    }
                    wrapping.insert(row.id, key);
                }
            }
        }
        match (wrap_id, index) {
            (None, None) if rows.is_empty() => Ok(None),
            (Some(wrap_id), Some((index_id, index))) => Ok(Some(Self {
                wrap_id,
                wrapping,
                index,
                index_id,
                old_indexes,
                stale: AtomicBool::new(false),
            })),
            _ => Err(tampered("a key of the organisation is missing")),
        }
    }
}

/// The organisation's keys as they are in the database now.
pub(super) fn load(
    db: &mut Db,
    organization: OrganizationId,
    root: &Root,
) -> aim_store::Result<Option<OrganizationKeys>> {
    let rows = key_store::keys(db, organization)?;
    Ok(OrganizationKeys::read(organization, root, &rows)?)
}

/// Does `work` with the keys in memory; if what is stored does not fit them, and another node rotated a key meanwhile, again
/// with those of the database.
pub(super) fn with_the_keys_of_now<T>(
    db: &mut Db,
    ctx: &Ctx,
    root: &Root,
    keys: &Arc<OrganizationKeys>,
    work: impl Fn(&mut Db, &OrganizationKeys) -> Result<T>,
) -> aim_store::Result<T> {
    let mut known = Arc::clone(keys);
    // Twice: a key may be rotated again, or removed, between the two looks.
    for _ in 0..2 {
        match work(db, &known) {
            Err(error) if error.code == Code::VaultIntegrity => {
                let now = load(db, ctx.organization, root)?.filter(|now| !now.same_as(&known));
                let Some(now) = now else { return Err(error.into()) };
                keys.stale.store(true, Ordering::Relaxed);
                known = Arc::new(now);
            }
            done => return Ok(done?),
        }
    }
    Ok(work(db, &known)?)
}

/// A fresh key of the organisation, wrapped.
pub(super) fn fresh(ctx: &Ctx, root: &Root, purpose: Purpose) -> Result<KeyRow> {
    let id = aim_core::id::uuid_at(ctx.now);
    let place = OrganizationKeyPlace {
        organization: ctx.organization,
        id,
        purpose,
        root_key_id: &root.id,
    };
    Ok(KeyRow {
        org_id: ctx.organization,
        id,
        purpose: purpose.as_str().to_owned(),
        root_key_id: root.id.clone(),
        wrapped: place.wrap(&root.key, &Key::generate()?)?,
        created_at: ctx.now,
        retired_at: None,
        stuck: 0,
    })
}

/// Refuses while the vault is sealed, by what the database says now.
pub(super) fn refuse_sealed(db: &mut Db) -> aim_store::Result<()> {
    match key_store::root(db)? {
        Some(known) if known.sealed_at.is_some() => Err(sealed(BY_HAND).into()),
        _ => Ok(()),
    }
}

/// Holds the root key's row, so that nobody replaces the root key before what this transaction wraps by it is durable.
pub(super) fn hold_root(db: &mut Db, root: &Root, hold: Hold) -> aim_store::Result<()> {
    match key_store::held_root(db, hold)? {
        Some(known) if known.sealed_at.is_some() => Err(sealed(BY_HAND).into()),
        Some(known) if known.root_key_id == root.id => Ok(()),
        _ => Err(replaced().into()),
    }
}

fn replaced() -> Error {
    sealed("its root key was replaced just now; send the request again")
}

/// The keys in memory. A map and no cache with pieces of its own, so that what is dropped is wiped at that moment.
#[derive(Clone, Default)]
pub(super) struct KeyRing(Arc<RwLock<Kept>>);

#[derive(Default)]
struct Kept {
    keys: HashMap<OrganizationId, Arc<OrganizationKeys>>,
    /// Moves when something is dropped: what was read before that is not kept after it.
    dropped: u64,
}

impl KeyRing {
    /// The organisation's keys, if it has any. Only what was read outside of a transaction is kept: keys that were made in
    /// one which is not committed may never have been.
    ///
    /// # Errors
    /// `vault.integrity`, or the database's.
    pub(super) async fn get(
        &self,
        store: &Store,
        organization: OrganizationId,
        root: &Arc<Root>,
    ) -> Result<Option<Arc<OrganizationKeys>>> {
        let (kept, dropped) = {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            (kept.keys.get(&organization).cloned(), kept.dropped)
        };
        if let Some(keys) = kept.filter(|keys| !keys.stale.load(Ordering::Relaxed)) {
            return Ok(Some(keys));
        }
        let root = Arc::clone(root);
        let keys = store
            .read(organization, move |db| load(db, organization, &root))
            .await?
            .map(Arc::new);
        if let Some(keys) = &keys {
            let mut kept = self.kept();
            if kept.keys.len() >= KEPT
                && let Some(any) = kept.keys.keys().next().copied()
            {
                kept.keys.remove(&any);
            }
            if kept.dropped == dropped {
                kept.keys.insert(organization, Arc::clone(keys));
            }
        }
        Ok(keys)
    }

    fn kept(&self) -> RwLockWriteGuard<'_, Kept> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the keys of one organisation; they are read again when they are needed.
    pub(super) fn forget(&self, organization: OrganizationId) {
        let mut kept = self.kept();
        kept.dropped += 1;
        kept.keys.remove(&organization);
    }

    /// Drops all of them. What still uses them ends with its own transaction.
    pub(super) fn wipe(&self) {
        let mut kept = self.kept();
        kept.dropped += 1;
        kept.keys.clear();
    }
}

/// The organisation's keys inside of a transaction, made if there are none.
pub(super) fn ensure(db: &mut Db, ctx: &Ctx, root: &Root) -> aim_store::Result<OrganizationKeys> {
    let organization = ctx.organization;
    let rows = key_store::keys(db, organization)?;
    if let Some(keys) = OrganizationKeys::read(organization, root, &rows)? {
        return Ok(keys);
    }
    hold_root(db, root, Hold::Share)?;
    for purpose in [Purpose::Wrap, Purpose::Index] {
        key_store::add_key(db, &fresh(ctx, root, purpose)?)?;
    }
    // Of two that made them at once, the first one's are there.
    let rows = key_store::keys(db, organization)?;
    Ok(OrganizationKeys::read(organization, root, &rows)?
        .ok_or_else(|| tampered("the organisation's keys are not there"))?)
}
