//! Queries on what secrets were. No rules here; every one names the tenant.

use aim_core::{Ctx, OrganizationId, Timestamp};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use crate::{
    schema::{vault_history, vault_secrets, vault_value_digests},
    vault::{
        model::{SecretId, VersionState},
        store::{SecretRow, VersionRow},
    },
};

/// A moment of a secret.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_history, treat_none_as_default_value = false)]
pub(crate) struct MomentRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) secret_id: SecretId,
    pub(crate) at: Timestamp,
    pub(crate) change: i64,
    pub(crate) event: String,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) actor: String,
}

/// Notes how a secret stands after a change.
pub(crate) fn note(
    db: &mut Db,
    ctx: &Ctx,
    row: &SecretRow,
    versions: &[VersionRow],
    event: &str,
) -> Result<()> {
    let state = versions
        .iter()
        .find(|known| known.version == row.current_version)
        .map_or(VersionState::Destroyed.as_str(), |known| known.state.as_str());
    let moment = MomentRow {
        org_id: row.org_id,
        secret_id: row.id,
        at: row.updated_at,
        change: row.changes,
        event: event.to_owned(),
        version: row.current_version,
        state: state.to_owned(),
        expires_at: row.expires_at,
        actor: ctx.actor_text(),
    };
    each!(db, c => diesel::insert_into(vault_history::table).values(&moment).execute(c))?;
    Ok(())
}

/// How a secret stood at a moment.
pub(super) fn moment(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    at: Timestamp,
) -> Result<Option<MomentRow>> {
    Ok(each!(db, c => vault_history::table
        .filter(vault_history::org_id.eq(organization))
        .filter(vault_history::secret_id.eq(secret))
        .filter(vault_history::at.le(at))
        .order((vault_history::at.desc(), vault_history::change.desc()))
        .select(MomentRow::as_select())
        .first(c)
        .optional())?)
}

/// How a secret stood when a version of it was written, which was at `created_at`.
pub(crate) fn written(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    (version, created_at): (i64, Timestamp),
) -> Result<Option<MomentRow>> {
    Ok(each!(db, c => vault_history::table
        .filter(vault_history::org_id.eq(organization))
        .filter(vault_history::secret_id.eq(secret))
        .filter(vault_history::at.eq(created_at))
        .filter(vault_history::version.eq(version))
        .order(vault_history::change)
        .select(MomentRow::as_select())
        .first(c)
        .optional())?)
}

/// Secrets behind a path, by their paths; with `until`, those that were there by then.
pub(crate) fn secrets(
    db: &mut Db,
    organization: OrganizationId,
    prefix: &str,
    after: Option<&str>,
    until: Option<Timestamp>,
    limit: i64,
) -> Result<Vec<SecretRow>> {
    Ok(each!(db, c => {
        let mut query = vault_secrets::table
            .filter(vault_secrets::org_id.eq(organization))
            .filter(vault_secrets::path.ge(prefix.to_owned()))
            // No character of a path is as great as '~'.
            .filter(vault_secrets::path.lt(format!("{prefix}~")))
            .order(vault_secrets::path)
            .limit(limit)
            .select(SecretRow::as_select())
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(vault_secrets::path.gt(after.to_owned()));
        }
        if let Some(until) = until {
            query = query.filter(vault_secrets::created_at.le(until));
        }
        query.load(c)
    })?)
}

/// The digests of a version's values, by the names of their fields.
pub(super) fn digests(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    version: i64,
) -> Result<Vec<(String, Vec<u8>)>> {
    Ok(each!(db, c => vault_value_digests::table
        .filter(vault_value_digests::org_id.eq(organization))
        .filter(vault_value_digests::secret_id.eq(secret))
        .filter(vault_value_digests::version.eq(version))
        .select((vault_value_digests::field, vault_value_digests::digest))
        .load(c))?)
}
