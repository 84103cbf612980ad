//! Queries on the vault's keys. No rules here; every one names the tenant, but for the root key's.

use aim_core::{Id, Json, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};
use uuid::Uuid;

use crate::schema::{vault_keys, vault_roots};

/// The only row of its table.
const SLOT: i64 = 1;

/// Marks ids of organisations' keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyKind {}

/// What is known of the root key.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = vault_roots)]
pub(crate) struct RootRow {
    pub(crate) root_key_id: String,
    pub(crate) provider: String,
    pub(crate) parameters: Json,
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
}

/// The root key that the installation has agreed on.
pub(crate) fn root(db: &mut Db) -> Result<Option<RootRow>> {
    Ok(each!(db, c => vault_roots::table
        .find(SLOT)
        .select(RootRow::as_select())
        .first(c)
        .optional())?)
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

type KeyColumns = (Id<KeyKind>, String, String, Vec<u8>, Timestamp, Option<Timestamp>);

/// The organisation's keys.
pub(crate) fn keys(db: &mut Db, organization: OrganizationId) -> Result<Vec<KeyRow>> {
    let rows: Vec<KeyColumns> = each!(db, c => vault_keys::table
        .filter(vault_keys::org_id.eq(organization))
        .order(vault_keys::id)
        .select((
            vault_keys::id,
            vault_keys::purpose,
            vault_keys::root_key_id,
            vault_keys::wrapped,
            vault_keys::created_at,
            vault_keys::retired_at,
        ))
        .load(c))?;
    let row = |(id, purpose, root_key_id, wrapped, created_at, retired_at): KeyColumns| KeyRow {
        org_id: organization,
        id: id.uuid(),
        purpose,
        root_key_id,
        wrapped,
        created_at,
        retired_at,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Adds a key, unless there is one for its purpose.
pub(crate) fn add_key(db: &mut Db, row: &KeyRow) -> Result<()> {
    each!(db, c => diesel::insert_into(vault_keys::table)
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
    Ok(())
}
