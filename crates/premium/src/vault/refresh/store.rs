//! Queries on what is to be refreshed. No rules here; every one names the tenant, but for the job's look at what is due.

use aim_core::{Id, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl,
    SelectableHelper,
};

use crate::{
    schema::{vault_refreshes, vault_secrets},
    vault::model::SecretId,
};

/// Marks ids of attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttemptKind {}

/// A secret that is refreshed.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = vault_refreshes, primary_key(org_id, secret_id), treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct RefreshRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) secret_id: SecretId,
    pub(crate) version: i64,
    pub(crate) next_at: Option<Timestamp>,
    pub(crate) failures: i64,
    pub(crate) last_error: Option<String>,
    pub(crate) refreshed_at: Option<Timestamp>,
    pub(crate) attempt_at: Option<Timestamp>,
    pub(crate) lost_at: Option<Timestamp>,
    pub(crate) attempt_id: Option<Id<AttemptKind>>,
}

impl RefreshRow {
    /// Of a secret that is not refreshed.
    pub(super) const fn none(organization: OrganizationId, secret: SecretId, version: i64) -> Self {
        Self {
            org_id: organization,
            secret_id: secret,
            version,
            next_at: None,
            failures: 0,
            last_error: None,
            refreshed_at: None,
            attempt_at: None,
            lost_at: None,
            attempt_id: None,
        }
    }
}

/// How the refresh of a secret stands.
pub(super) fn find(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
) -> Result<Option<RefreshRow>> {
    Ok(each!(db, c => vault_refreshes::table
        .find((organization, secret))
        .select(RefreshRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Notes when a new version is to be refreshed; what was of the version before is over.
pub(super) fn schedule(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    version: i64,
    next_at: Timestamp,
) -> Result<()> {
    let before = find(db, organization, secret)?;
    let row = RefreshRow {
        org_id: organization,
        secret_id: secret,
        version,
        next_at: Some(next_at),
        failures: 0,
        last_error: None,
        refreshed_at: before.as_ref().and_then(|before| before.refreshed_at),
        attempt_at: None,
        lost_at: None,
        attempt_id: None,
    };
    if before.is_some() {
        return save(db, &row);
    }
    each!(db, c => diesel::insert_into(vault_refreshes::table).values(&row).execute(c))?;
    Ok(())
}

/// Writes the row back.
pub(super) fn save(db: &mut Db, row: &RefreshRow) -> Result<()> {
    let mine = vault_refreshes::table
        .filter(vault_refreshes::org_id.eq(row.org_id))
        .filter(vault_refreshes::secret_id.eq(row.secret_id));
    each!(db, c => diesel::update(mine).set(row).execute(c))?;
    Ok(())
}

/// The secret is not refreshed any more.
pub(super) fn forget(db: &mut Db, organization: OrganizationId, secret: SecretId) -> Result<()> {
    each!(db, c => diesel::delete(
            vault_refreshes::table
                .filter(vault_refreshes::org_id.eq(organization))
                .filter(vault_refreshes::secret_id.eq(secret)),
        )
        .execute(c))?;
    Ok(())
}

/// What is due in all organisations, the oldest first.
pub(super) fn due(db: &mut Db, now: Timestamp, limit: i64) -> Result<Vec<(OrganizationId, String)>> {
    Ok(each!(db, c => vault_refreshes::table
        .inner_join(
            vault_secrets::table.on(vault_secrets::org_id
                .eq(vault_refreshes::org_id)
                .and(vault_secrets::id.eq(vault_refreshes::secret_id))),
        )
        .filter(vault_refreshes::next_at.le(now))
        .order(vault_refreshes::next_at)
        .limit(limit)
        .select((vault_refreshes::org_id, vault_secrets::path))
        .load(c))?)
}
