//! Queries on the vault's keys. No rules here; every one names the tenant, but for the root key's and for those of the work
//! that goes through all tenants.

use aim_core::{Id, Json, OrganizationId, Timestamp};
use aim_store::{Db, Result, each, fixed};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
};
use uuid::Uuid;

use super::{envelope::WRAPPED_LENGTH, known};
use crate::schema::{vault_keys, vault_roots};

/// The only row of its table.
const SLOT: i64 = 1;

/// Marks ids of organisations' keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyKind {}

/// What is known of the root key, and whether somebody sealed the vault.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = vault_roots)]
pub(crate) struct RootRow {
    pub(crate) root_key_id: String,
    pub(crate) provider: String,
    pub(crate) parameters: Json,
    pub(crate) sealed_at: Option<Timestamp>,
    pub(crate) epoch: i64,
}

/// An organisation's wrapped key.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: Uuid,
    pub(crate) purpose: String,
    pub(crate) root_key_id: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) created_at: Timestamp,
    pub(crate) retired_at: Option<Timestamp>,
    /// How many did not open when it was last tried.
    pub(crate) stuck: i64,
}

/// A key that is no longer current, and how far the work on it has come.
#[derive(Debug, Clone)]
pub(crate) struct RetiredRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: Uuid,
    pub(crate) purpose: String,
    pub(crate) done_until: Option<Uuid>,
    pub(crate) stuck: i64,
    pub(crate) tried_at: Option<Timestamp>,
}

/// How a row is held until the transaction ends. SQLite has one writer and needs none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Beside others who use what it names; nobody replaces it meanwhile.
    Share,
    /// Alone.
    Alone,
}

/// The root key that the installation has agreed on.
pub(crate) fn root(db: &mut Db) -> Result<Option<RootRow>> {
    Ok(each!(db, c => fixed!(vault_roots::table
        .find(SLOT)
        .select(RootRow::as_select()))
        .get_result(c)
        .optional())?)
}

/// The same, held until the transaction ends.
pub(crate) fn held_root(db: &mut Db, hold: Hold) -> Result<Option<RootRow>> {
    let Db::Pg(c) = db else { return root(db) };
    let row = vault_roots::table.find(SLOT).select(RootRow::as_select());
    Ok(match hold {
        Hold::Share => row.for_share().get_result(&mut **c).optional()?,
        Hold::Alone => row.for_update().get_result(&mut **c).optional()?,
    })
}

/// Agrees on a root key, unless there is one.
pub(crate) fn set_root(
    db: &mut Db,
    id: &str,
    provider: &str,
    parameters: &Json,
    now: Timestamp,
) -> Result<()> {
    each!(db, c => diesel::insert_into(vault_roots::table)
        .values((
            vault_roots::slot.eq(SLOT),
            vault_roots::root_key_id.eq(id),
            vault_roots::provider.eq(provider),
            vault_roots::parameters.eq(parameters),
            vault_roots::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}

/// Puts another root key in the place of the one that is there.
pub(crate) fn replace_root(
    db: &mut Db,
    id: &str,
    provider: &str,
    parameters: &Json,
    now: Timestamp,
) -> Result<()> {
    each!(db, c => diesel::update(vault_roots::table.find(SLOT))
        .set((
            vault_roots::root_key_id.eq(id),
            vault_roots::provider.eq(provider),
            vault_roots::parameters.eq(parameters),
            vault_roots::created_at.eq(now),
            vault_roots::epoch.eq(vault_roots::epoch + 1),
        ))
        .execute(c))?;
    known::root_changed();
    Ok(())
}

/// Seals the vault, or takes the seal off.
pub(crate) fn set_sealed(db: &mut Db, sealed_at: Option<Timestamp>) -> Result<()> {
    each!(db, c => diesel::update(vault_roots::table.find(SLOT))
        .set((vault_roots::sealed_at.eq(sealed_at), vault_roots::epoch.eq(vault_roots::epoch + 1)))
        .execute(c))?;
    known::root_changed();
    Ok(())
}

/// Tells all nodes that keys in their memory may be old.
pub(crate) fn move_epoch(db: &mut Db) -> Result<()> {
    each!(db, c => diesel::update(vault_roots::table.find(SLOT))
        .set(vault_roots::epoch.eq(vault_roots::epoch + 1))
        .execute(c))?;
    known::root_changed();
    Ok(())
}

type KeyColumns = (
    OrganizationId,
    Id<KeyKind>,
    String,
    String,
    Vec<u8>,
    Timestamp,
    Option<Timestamp>,
    i64,
);

macro_rules! key_columns {
    () => {
        (
            vault_keys::org_id,
            vault_keys::id,
            vault_keys::purpose,
            vault_keys::root_key_id,
            vault_keys::wrapped,
            vault_keys::created_at,
            vault_keys::retired_at,
            vault_keys::stuck,
        )
    };
}

fn key_row(columns: KeyColumns) -> KeyRow {
    let (org_id, id, purpose, root_key_id, wrapped, created_at, retired_at, stuck) = columns;
    KeyRow {
        org_id,
        id: id.uuid(),
        purpose,
        root_key_id,
        wrapped,
        created_at,
        retired_at,
        stuck,
    }
}

/// The organisation's keys.
pub(crate) fn keys(db: &mut Db, organization: OrganizationId) -> Result<Vec<KeyRow>> {
    let rows: Vec<KeyColumns> = each!(db, c => vault_keys::table
        .filter(vault_keys::org_id.eq(organization))
        .order(vault_keys::id)
        .select(key_columns!())
        .load(c))?;
    Ok(rows.into_iter().map(key_row).collect())
}

/// The keys of all organisations behind `after`, in their order.
pub(crate) fn keys_of_all(
    db: &mut Db,
    after: Option<(OrganizationId, Uuid)>,
    limit: i64,
) -> Result<Vec<KeyRow>> {
    let rows: Vec<KeyColumns> = each!(db, c => {
        let mut query = vault_keys::table
            .order((vault_keys::org_id, vault_keys::id))
            .limit(limit)
            .select(key_columns!())
            .into_boxed();
        if let Some((organization, id)) = after {
            query = query.filter(
                vault_keys::org_id.gt(organization).or(vault_keys::org_id
                    .eq(organization)
                    .and(vault_keys::id.gt(Id::<KeyKind>::from_uuid(id)))),
            );
        }
        query.load(c)
    })?;
    Ok(rows.into_iter().map(key_row).collect())
}

/// The ids of the organisation's current keys, held so that none of them is removed before the transaction ends.
pub(crate) fn hold_current(db: &mut Db, organization: OrganizationId) -> Result<Vec<Uuid>> {
    let rows = vault_keys::table
        .filter(vault_keys::org_id.eq(organization))
        .filter(vault_keys::retired_at.is_null())
        .select(vault_keys::id);
    let ids: Vec<Id<KeyKind>> = match db {
        Db::Pg(c) => rows.for_key_share().load(&mut **c)?,
        Db::Sqlite(c) => rows.load(&mut **c)?,
    };
    Ok(ids.into_iter().map(Id::uuid).collect())
}

/// Adds a key, unless there is one for its purpose. `false`: there is one.
pub(crate) fn add_key(db: &mut Db, row: &KeyRow) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(vault_keys::table)
        .values((
            vault_keys::org_id.eq(row.org_id),
            vault_keys::id.eq(Id::<KeyKind>::from_uuid(row.id)),
            vault_keys::purpose.eq(&row.purpose),
            vault_keys::root_key_id.eq(&row.root_key_id),
            vault_keys::wrapped.eq(&row.wrapped),
            vault_keys::created_at.eq(row.created_at),
            vault_keys::retired_at.eq(row.retired_at),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}

macro_rules! one_key {
    ($organization:expr, $id:expr) => {
        vault_keys::table.find(($organization, Id::<KeyKind>::from_uuid($id)))
    };
}

/// Wraps a key by another root key.
pub(crate) fn rewrap_key(
    db: &mut Db,
    organization: OrganizationId,
    id: Uuid,
    root_key_id: &str,
    wrapped: &[u8],
) -> Result<()> {
    each!(db, c => diesel::update(one_key!(organization, id))
        .set((vault_keys::root_key_id.eq(root_key_id), vault_keys::wrapped.eq(wrapped)))
        .execute(c))?;
    Ok(())
}

/// Retires the current key of this purpose.
pub(crate) fn retire(
    db: &mut Db,
    organization: OrganizationId,
    purpose: &str,
    now: Timestamp,
) -> Result<Option<Uuid>> {
    let id: Option<Id<KeyKind>> = each!(db, c => diesel::update(
            vault_keys::table
                .filter(vault_keys::org_id.eq(organization))
                .filter(vault_keys::purpose.eq(purpose))
                .filter(vault_keys::retired_at.is_null()),
        )
        .set(vault_keys::retired_at.eq(Some(now)))
        .returning(vault_keys::id)
        .get_result(c)
        .optional())?;
    Ok(id.map(Id::uuid))
}

type RetiredColumns = (
    OrganizationId,
    Id<KeyKind>,
    String,
    Option<Id<KeyKind>>,
    i64,
    Option<Timestamp>,
);

macro_rules! retired_columns {
    () => {
        (
            vault_keys::org_id,
            vault_keys::id,
            vault_keys::purpose,
            vault_keys::done_until,
            vault_keys::stuck,
            vault_keys::tried_at,
        )
    };
}

fn retired_row((org_id, id, purpose, done_until, stuck, tried_at): RetiredColumns) -> RetiredRow {
    RetiredRow {
        org_id,
        id: id.uuid(),
        purpose,
        done_until: done_until.map(Id::uuid),
        stuck,
        tried_at,
    }
}

/// The retired keys of all organisations, at most `limit`, those that were not tried in vain first.
pub(crate) fn retired(db: &mut Db, limit: i64) -> Result<Vec<RetiredRow>> {
    let rows: Vec<RetiredColumns> = each!(db, c => vault_keys::table
        .filter(vault_keys::retired_at.is_not_null())
        .order((vault_keys::stuck, vault_keys::org_id, vault_keys::id))
        .limit(limit)
        .select(retired_columns!())
        .load(c))?;
    Ok(rows.into_iter().map(retired_row).collect())
}

/// The retired keys of one organisation.
pub(crate) fn retired_of(db: &mut Db, organization: OrganizationId) -> Result<Vec<RetiredRow>> {
    let rows: Vec<RetiredColumns> = each!(db, c => vault_keys::table
        .filter(vault_keys::org_id.eq(organization))
        .filter(vault_keys::retired_at.is_not_null())
        .order(vault_keys::id)
        .select(retired_columns!())
        .load(c))?;
    Ok(rows.into_iter().map(retired_row).collect())
}

/// Waits until nobody uses the key any more who used it when it was retired, and holds it. `false`: it is gone.
pub(crate) fn hold_key(db: &mut Db, organization: OrganizationId, id: Uuid) -> Result<bool> {
    let row = one_key!(organization, id).select(vault_keys::id);
    let found: Option<Id<KeyKind>> = match db {
        Db::Pg(c) => row.for_update().get_result(&mut **c).optional()?,
        Db::Sqlite(c) => row.get_result(&mut **c).optional()?,
    };
    Ok(found.is_some())
}

/// Notes how far the work on a retired key has come.
pub(crate) fn note_progress(
    db: &mut Db,
    organization: OrganizationId,
    id: Uuid,
    done_until: Option<Uuid>,
    stuck: i64,
    tried_at: Option<Timestamp>,
) -> Result<()> {
    each!(db, c => diesel::update(one_key!(organization, id))
        .set((
            vault_keys::done_until.eq(done_until.map(Id::<KeyKind>::from_uuid)),
            vault_keys::stuck.eq(stuck),
            vault_keys::tried_at.eq(tried_at),
        ))
        .execute(c))?;
    Ok(())
}

/// Overwrites a wrapped key with zeroes, and removes its row: see `store::shred`.
pub(crate) fn remove_key(db: &mut Db, organization: OrganizationId, id: Uuid) -> Result<bool> {
    each!(db, c => diesel::update(one_key!(organization, id))
        .set(vault_keys::wrapped.eq(vec![0_u8; WRAPPED_LENGTH]))
        .execute(c))?;
    Ok(each!(db, c => diesel::delete(one_key!(organization, id)).execute(c))? == 1)
}
