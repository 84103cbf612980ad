//! Queries of the rotation: versions by the key that wraps their data keys, and secrets in the order in which they are gone
//! through. Every one names the tenant.

use aim_core::{Id, OrganizationId};
use aim_store::{Db, Result, each, fixed};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl,
    SelectableHelper,
    sql_types::{Binary, Nullable},
};
use uuid::Uuid;

use super::{
    key_store::KeyKind,
    known,
    model::SecretId,
    store::{SecretRow, VersionRow},
};
use crate::schema::{vault_secrets, vault_value_digests, vault_versions};

/// A version under a key that is retired.
#[derive(Debug, diesel::Queryable)]
pub(crate) struct WrappedRow {
    pub(crate) secret_id: SecretId,
    pub(crate) version: i64,
    pub(crate) path: String,
    pub(crate) wrapped_key: Vec<u8>,
    /// The ciphertext's first byte; nothing for a destroyed version.
    pub(crate) format: Option<Vec<u8>>,
}

/// Versions under `key` behind `after`, held until the transaction ends: nobody destroys one of them meanwhile.
pub(crate) fn wrapped_under(
    db: &mut Db,
    organization: OrganizationId,
    key: Uuid,
    after: Option<(SecretId, i64)>,
    limit: i64,
) -> Result<Vec<WrappedRow>> {
    let (secret, version) = after.unwrap_or((SecretId::from_uuid(Uuid::nil()), 0));
    macro_rules! rows {
        () => {
            vault_versions::table
                .inner_join(
                    vault_secrets::table.on(vault_secrets::org_id
                        .eq(vault_versions::org_id)
                        .and(vault_secrets::id.eq(vault_versions::secret_id))),
                )
                .filter(vault_versions::org_id.eq(organization))
                .filter(vault_versions::key_id.eq(Id::<KeyKind>::from_uuid(key)))
                .filter(vault_versions::secret_id.ge(secret))
                .filter(
                    vault_versions::secret_id
                        .gt(secret)
                        .or(vault_versions::version.gt(version)),
                )
                .order((vault_versions::secret_id, vault_versions::version))
                .limit(limit)
                .select((
                    vault_versions::secret_id,
                    vault_versions::version,
                    vault_secrets::path,
                    vault_versions::wrapped_key,
                    // The whole of it may have a mebibyte.
                    diesel::dsl::sql::<Nullable<Binary>>("substr(vault_versions.ciphertext, 1, 1)"),
                ))
        };
    }
    Ok(match db {
        Db::Pg(c) => rows!().for_update().load(&mut **c)?,
        Db::Sqlite(c) => rows!().load(&mut **c)?,
    })
}

/// Puts a version under another key; the ciphertext only if it was encrypted anew.
pub(crate) fn put_under(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    version: i64,
    key: Uuid,
    wrapped_key: &[u8],
    ciphertext: Option<&[u8]>,
) -> Result<()> {
    let key = Id::<KeyKind>::from_uuid(key);
    let row = vault_versions::table.find((organization, secret, version));
    each!(db, c => fixed!(diesel::update(row)
        .set((vault_versions::key_id.eq(key), vault_versions::wrapped_key.eq(wrapped_key))))
        .run(c))?;
    if let Some(ciphertext) = ciphertext {
        each!(db, c => fixed!(diesel::update(row)
            .set(vault_versions::ciphertext.eq(ciphertext)))
            .run(c))?;
    }
    known::changed(secret);
    Ok(())
}

/// How many versions are under a key.
pub(crate) fn count_under(db: &mut Db, organization: OrganizationId, key: Uuid) -> Result<i64> {
    Ok(each!(db, c => vault_versions::table
        .filter(vault_versions::org_id.eq(organization))
        .filter(vault_versions::key_id.eq(Id::<KeyKind>::from_uuid(key)))
        .count()
        .get_result(c))?)
}

/// Whether any version is under a key.
pub(crate) fn any_under(db: &mut Db, organization: OrganizationId, key: Uuid) -> Result<bool> {
    let one: Option<i64> = each!(db, c => vault_versions::table
        .filter(vault_versions::org_id.eq(organization))
        .filter(vault_versions::key_id.eq(Id::<KeyKind>::from_uuid(key)))
        .select(vault_versions::version)
        .first(c)
        .optional())?;
    Ok(one.is_some())
}

/// Secrets behind `after` by their ids, held until the transaction ends.
pub(crate) fn secrets_after(
    db: &mut Db,
    organization: OrganizationId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SecretRow>> {
    macro_rules! rows {
        () => {
            vault_secrets::table
                .filter(vault_secrets::org_id.eq(organization))
                .filter(vault_secrets::id.gt(SecretId::from_uuid(after.unwrap_or(Uuid::nil()))))
                .order(vault_secrets::id)
                .limit(limit)
                .select(SecretRow::as_select())
        };
    }
    Ok(match db {
        Db::Pg(c) => rows!().for_update().load(&mut **c)?,
        Db::Sqlite(c) => rows!().load(&mut **c)?,
    })
}

/// How many secrets are behind `after` by their ids.
pub(crate) fn count_after(db: &mut Db, organization: OrganizationId, after: Option<Uuid>) -> Result<i64> {
    Ok(each!(db, c => vault_secrets::table
        .filter(vault_secrets::org_id.eq(organization))
        .filter(vault_secrets::id.gt(SecretId::from_uuid(after.unwrap_or(Uuid::nil()))))
        .count()
        .get_result(c))?)
}

/// The head of a secret under another key. Nothing else of the secret changes.
pub(crate) fn set_head(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    head: &[u8],
) -> Result<()> {
    each!(db, c => fixed!(diesel::update(vault_secrets::table.find((organization, secret)))
        .set(vault_secrets::head.eq(head)))
        .run(c))?;
    known::changed(secret);
    Ok(())
}

/// Forgets the digests of a version's values.
pub(crate) fn forget_digests_of(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    version: &VersionRow,
) -> Result<()> {
    each!(db, c => diesel::delete(
            vault_value_digests::table
                .filter(vault_value_digests::org_id.eq(organization))
                .filter(vault_value_digests::secret_id.eq(secret))
                .filter(vault_value_digests::version.eq(version.version)),
        )
        .execute(c))?;
    Ok(())
}
