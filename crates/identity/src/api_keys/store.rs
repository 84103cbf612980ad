//! Queries on organisation API keys. Only the look-up by a key's digest goes without the tenant.

use aim_core::{ApiKeyId, OrganizationId, PageRequest, Role, Timestamp};
use aim_store::{Db, Error, Result, each, schema::api_keys};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::ApiKeyView;

/// A key, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = api_keys, treat_none_as_default_value = false)]
pub(crate) struct ApiKeyRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: ApiKeyId,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) prefix: String,
    pub(crate) token_digest: Vec<u8>,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) disabled_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
}

impl ApiKeyRow {
    pub(crate) fn role(&self) -> Result<Role> {
        Role::parse(&self.role)
            .ok_or_else(|| Error::Corrupt(format!("API key {}: unknown role {}", self.id, self.role)))
    }

    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.disabled_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }

    pub(crate) fn view(self) -> Result<ApiKeyView> {
        Ok(ApiKeyView {
            role: self.role()?,
            id: self.id,
            name: self.name,
            prefix: self.prefix,
            created_by: self.created_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            disabled_at: self.disabled_at,
            last_used_at: self.last_used_at,
        })
    }
}

/// Adds a key.
pub(crate) fn insert(db: &mut Db, row: &ApiKeyRow) -> Result<()> {
    each!(db, c => diesel::insert_into(api_keys::table).values(row).execute(c))?;
    Ok(())
}

/// The key. PostgreSQL locks the row, since whoever asks is about to change it.
pub(crate) fn find(db: &mut Db, organization: OrganizationId, key: ApiKeyId) -> Result<ApiKeyRow> {
    let row: Option<ApiKeyRow> = one_row!(
        db,
        true,
        api_keys::table
            .filter(api_keys::org_id.eq(organization))
            .filter(api_keys::id.eq(key))
            .select(ApiKeyRow::as_select())
    )?;
    row.ok_or_else(|| aim_core::Error::not_found().into())
}

/// The key of that text, in whichever organisation.
pub(crate) fn by_digest(db: &mut Db, digest: &[u8]) -> Result<Option<ApiKeyRow>> {
    Ok(each!(db, c => api_keys::table
        .filter(api_keys::token_digest.eq(digest))
        .select(ApiKeyRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Notes that the key was used.
pub(crate) fn touch(db: &mut Db, organization: OrganizationId, key: ApiKeyId, now: Timestamp) -> Result<()> {
    let mine = api_keys::table
        .filter(api_keys::org_id.eq(organization))
        .filter(api_keys::id.eq(key));
    each!(db, c => diesel::update(mine).set(api_keys::last_used_at.eq(Some(now))).execute(c))?;
    Ok(())
}

/// Disables the key.
pub(crate) fn disable(
    db: &mut Db,
    organization: OrganizationId,
    key: ApiKeyId,
    now: Timestamp,
) -> Result<()> {
    let mine = api_keys::table
        .filter(api_keys::org_id.eq(organization))
        .filter(api_keys::id.eq(key));
    each!(db, c => diesel::update(mine).set(api_keys::disabled_at.eq(Some(now))).execute(c))?;
    Ok(())
}

/// Removes the key.
pub(crate) fn delete(db: &mut Db, organization: OrganizationId, key: ApiKeyId) -> Result<()> {
    let mine = api_keys::table
        .filter(api_keys::org_id.eq(organization))
        .filter(api_keys::id.eq(key));
    each!(db, c => diesel::delete(mine).execute(c))?;
    Ok(())
}

/// A page of keys, newest first, one more than the page holds; and how many there are.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    page: &PageRequest,
) -> Result<(Vec<ApiKeyRow>, i64)> {
    let total =
        each!(db, c => api_keys::table.filter(api_keys::org_id.eq(organization)).count().get_result(c))?;
    let rows = each!(db, c => {
        let mut query = api_keys::table
            .filter(api_keys::org_id.eq(organization))
            .order(api_keys::id.desc())
            .limit(page.fetch())
            .offset(page.offset)
            .select(ApiKeyRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.cursor { query = query.filter(api_keys::id.lt(ApiKeyId::from_uuid(cursor.0))); }
        query.load(c)
    })?;
    Ok((rows, total))
}
