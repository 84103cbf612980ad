//! An organisation's keys: made with its first secret, kept in memory once they are durable.

use std::{collections::HashMap, sync::Arc};

use aim_core::{Ctx, OrganizationId, Result};
use aim_store::{Db, Store};
use moka::sync::Cache;
use uuid::Uuid;

use super::{
    envelope::{Key, OrganizationKeyPlace, Purpose, tampered},
    key_store::{self, KeyRow},
    root::Root,
};

/// How many organisations' keys are kept in memory.
const KEPT: u64 = 10_000;

/// The keys of an organisation.
#[derive(Debug)]
pub(super) struct OrganizationKeys {
    /// The id of the key that wraps new data keys.
    pub(super) wrap_id: Uuid,
    /// The keys that wrap data keys, those that wrapped older ones included.
    wrapping: HashMap<Uuid, Key>,
    /// The key of heads and value digests.
    pub(super) index: Key,
}

impl OrganizationKeys {
    /// The key that wraps the data keys of the versions that name it.
    ///
    /// # Errors
    /// `vault.integrity` when a version names a key that the organisation does not have.
    pub(super) fn wrapping(&self, id: Uuid) -> Result<&Key> {
        self.wrapping
            .get(&id)
            .ok_or_else(|| tampered("a version names a key that the organisation does not have"))
    }

    fn read(organization: OrganizationId, root: &Root, rows: &[KeyRow]) -> Result<Option<Self>> {
        let (mut wrapping, mut wrap_id, mut index) = (HashMap::new(), None, None);
        for row in rows {
            let purpose = if row.purpose == Purpose::Index.as_str() {
                Purpose::Index
            } else {
                Purpose::Wrap
            };
            let place = OrganizationKeyPlace {
                organization,
                id: row.id,
                purpose,
                root_key_id: &row.root_key_id,
            };
            let key = place.unwrap(&root.key, &row.wrapped)?;
            match purpose {
                Purpose::Index if row.retired_at.is_none() => index = Some(key),
                Purpose::Index => {}
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
            (Some(wrap_id), Some(index)) => Ok(Some(Self {
                wrap_id,
                wrapping,
                index,
            })),
            _ => Err(tampered("a key of the organisation is missing")),
        }
    }
}

/// The keys in memory.
#[derive(Clone)]
pub(super) struct KeyRing(Cache<OrganizationId, Arc<OrganizationKeys>>);

impl Default for KeyRing {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
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
        if let Some(keys) = self.0.get(&organization) {
            return Ok(Some(keys));
        }
        let root = Arc::clone(root);
        let keys = store
            .read(organization, move |db| {
                let rows = key_store::keys(db, organization)?;
                Ok(OrganizationKeys::read(organization, &root, &rows)?)
            })
            .await?
            .map(Arc::new);
        if let Some(keys) = &keys {
            self.0.insert(organization, Arc::clone(keys));
        }
        Ok(keys)
    }
}

/// The organisation's keys inside of a transaction, made if there are none.
pub(super) fn ensure(db: &mut Db, ctx: &Ctx, root: &Root) -> aim_store::Result<OrganizationKeys> {
    let organization = ctx.organization;
    let rows = key_store::keys(db, organization)?;
    if let Some(keys) = OrganizationKeys::read(organization, root, &rows)? {
        return Ok(keys);
    }
    for purpose in [Purpose::Wrap, Purpose::Index] {
        let id = aim_core::id::uuid_at(ctx.now);
        let place = OrganizationKeyPlace {
            organization,
            id,
            purpose,
            root_key_id: &root.id,
        };
        let row = KeyRow {
            org_id: organization,
            id,
            purpose: purpose.as_str().to_owned(),
            root_key_id: root.id.clone(),
            wrapped: place.wrap(&root.key, &Key::generate()?)?,
            created_at: ctx.now,
            retired_at: None,
        };
        key_store::add_key(db, &row)?;
    }
    // Of two that made them at once, the first one's are there.
    let rows = key_store::keys(db, organization)?;
    Ok(OrganizationKeys::read(organization, root, &rows)?
        .ok_or_else(|| tampered("the organisation's keys are not there"))?)
}
