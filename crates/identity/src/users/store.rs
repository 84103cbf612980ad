//! Queries on users. No rules here; every one names the tenant, but for the look-up at sign-in.

use aim_core::{Code, OrganizationId, PageRequest, Role, Timestamp, UserId};
use aim_store::{Db, Error, Result, ResultExt, each, schema::users};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::{UserStatus, UserView};

/// A user, as the row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = users, primary_key(org_id, id), treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct UserRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) password_hash: String,
    pub(crate) status: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) last_login_at: Option<Timestamp>,
}

impl UserRow {
    pub(crate) fn role(&self) -> Result<Role> {
        Role::parse(&self.role)
            .ok_or_else(|| Error::Corrupt(format!("user {}: unknown role {}", self.id, self.role)))
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == UserStatus::Active.as_str()
    }

    pub(crate) fn view(self) -> Result<UserView> {
        Ok(UserView {
            role: self.role()?,
            status: UserStatus::parse(&self.status)
                .ok_or_else(|| Error::Corrupt(format!("user {}: unknown status {}", self.id, self.status)))?,
            id: self.id,
            organization_id: self.org_id,
            email: self.email,
            name: self.name,
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_login_at: self.last_login_at,
        })
    }
}

/// Adds a user. An address that is in use anywhere is refused without saying where.
pub(crate) fn insert(db: &mut Db, row: &UserRow) -> Result<()> {
    each!(db, c => diesel::insert_into(users::table).values(row).execute(c)).on_unique(|| {
        aim_core::Error::new(
            Code::Conflict,
            "this e-mail address cannot be used; choose another one",
        )
        .at("email")
    })?;
    Ok(())
}

/// Writes the row back.
pub(crate) fn save(db: &mut Db, row: &UserRow) -> Result<()> {
    let mine = users::table
        .filter(users::org_id.eq(row.org_id))
        .filter(users::id.eq(row.id));
    each!(db, c => diesel::update(mine).set(row).execute(c))?;
    Ok(())
}

/// The user. Where it is about to change, PostgreSQL locks the row.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    to_change: bool,
) -> Result<UserRow> {
    let row: Option<UserRow> = one_row!(
        db,
        to_change,
        users::table
            .filter(users::org_id.eq(organization))
            .filter(users::id.eq(user))
            .select(UserRow::as_select())
    )?;
    row.ok_or_else(|| aim_core::Error::not_found().into())
}

/// Whoever has that address, in whichever organisation: for sign-in, before the tenant is known.
pub(crate) fn by_email(db: &mut Db, email: &str) -> Result<Option<UserRow>> {
    Ok(each!(db, c => users::table
        .filter(users::email.eq(email))
        .select(UserRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The active administrators. PostgreSQL locks them all, in one order, so that of two who leave at
/// once one sees the other gone.
pub(crate) fn active_admins(db: &mut Db, organization: OrganizationId) -> Result<Vec<UserId>> {
    let query = users::table
        .filter(users::org_id.eq(organization))
        .filter(users::role.eq(Role::Admin.as_str()))
        .filter(users::status.eq(UserStatus::Active.as_str()))
        .order(users::id)
        .select(users::id);
    Ok(match db {
        Db::Pg(c) => query.for_update().load(&mut **c),
        Db::Sqlite(c) => query.load(&mut **c),
    }?)
}

/// A page of the organisation's users, newest first, one more than the page holds; and how many there are.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    page: &PageRequest,
) -> Result<(Vec<UserRow>, i64)> {
    let total = each!(db, c => users::table.filter(users::org_id.eq(organization)).count().get_result(c))?;
    let rows = each!(db, c => {
        let mut query = users::table
            .filter(users::org_id.eq(organization))
            .order(users::id.desc())
            .limit(page.fetch())
            .offset(page.offset)
            .select(UserRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.cursor { query = query.filter(users::id.lt(UserId::from_uuid(cursor.0))); }
        query.load(c)
    })?;
    Ok((rows, total))
}
