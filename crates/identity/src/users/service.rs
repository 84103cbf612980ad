//! Use cases of users, one transaction each.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, PageRequest, Result, Role, UserId};
use aim_platform::{Kernel, console::Viewer};
use serde_json::json;

use super::{
    model::{NewUser, UpdateUser, UserList, UserStatus, UserView, check_email, check_user_name},
    store::{self, UserRow},
};
use crate::{
    organizations::store as organizations, passwords::Passwords, preferences::store as preferences, sessions,
};

/// Makes, shows and changes users.
#[derive(Clone)]
pub struct UserService {
    kernel: Kernel,
    passwords: Passwords,
}

impl UserService {
    pub(crate) fn new(kernel: &Kernel, passwords: &Passwords) -> Self {
        Self {
            kernel: kernel.clone(),
            passwords: passwords.clone(),
        }
    }

    /// Makes a user of the caller's organisation.
    ///
    /// # Errors
    /// `request.field_invalid` by field; `resource.conflict` at `email` when the address is in use anywhere.
    pub async fn create(&self, ctx: &Ctx, new: NewUser) -> Result<UserView> {
        let email = check_email(&new.email)?;
        let name = check_user_name("name", &new.name)?;
        let password_hash = self.passwords.hash_new(&new.password, "password").await?;
        let row = UserRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            email,
            name,
            role: new.role.as_str().to_owned(),
            password_hash,
            status: UserStatus::Active.as_str().to_owned(),
            created_at: ctx.now,
            updated_at: ctx.now,
            last_login_at: None,
        };
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                store::insert(db, &row)?;
                let entry = Entry::event(&ctx, "user.created")
                    .target("user", row.id)
                    .facts(json!({ "role": row.role }))
                    .details(json!({ "email": row.email, "name": row.name }));
                aim_audit::append(db, vec![entry])?;
                row.clone().view()
            })
            .await
    }

    /// One user.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get(&self, ctx: &Ctx, user: UserId) -> Result<UserView> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                store::find(db, organization, user, false)?.view()
            })
            .await
    }

    /// Who looks at the console: the caller, their organisation's name and their preferences.
    ///
    /// # Errors
    /// `auth.forbidden` for callers that are no users.
    pub async fn viewer(&self, ctx: &Ctx) -> Result<Viewer> {
        let (user, _) = sessions::own_session(ctx)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let row = store::find(db, organization, user, false)?;
                Ok(Viewer {
                    name: row.name,
                    email: row.email,
                    organization: organizations::name(db, organization)?,
                    preferences: preferences::all(db, organization, user)?,
                })
            })
            .await
    }

    /// A page of the organisation's users, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, ctx: &Ctx, page: PageRequest) -> Result<UserList> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let (rows, total) = store::page(db, organization, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let users = rows
                    .into_iter()
                    .map(UserRow::view)
                    .collect::<aim_store::Result<_>>()?;
                Ok(UserList {
                    users,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Changes a user. A new role counts from the user's next request on; deactivation ends every session.
    ///
    /// # Errors
    /// `resource.not_found`, `request.field_invalid` at `name`, and `resource.state` when the
    /// organisation would be left without an active administrator.
    pub async fn update(&self, ctx: &Ctx, user: UserId, update: UpdateUser) -> Result<UserView> {
        let name = update
            .name
            .as_deref()
            .map(|name| check_user_name("name", name))
            .transpose()?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let ends_admin = update.role.is_some_and(|role| role != Role::Admin)
                    || update.status == Some(UserStatus::Deactivated);
                if ends_admin && store::active_admins(db, ctx.organization)? == [user] {
                    return Err(Error::new(
                        Code::StateConflict,
                        "this is the last active administrator; make another user one first",
                    )
                    .into());
                }
                let before = store::find(db, ctx.organization, user, true)?;
                let mut row = before.clone();
                row.name = name.clone().unwrap_or(row.name);
                row.role = update.role.map_or(row.role, |role| role.as_str().to_owned());
                row.status = update
                    .status
                    .map_or(row.status, |status| status.as_str().to_owned());
                row.updated_at = ctx.now;
                store::save(db, &row)?;
                let ended = if update.status == Some(UserStatus::Deactivated) {
                    sessions::store::revoke_all(db, ctx.organization, user, None, ctx.now)?
                } else {
                    0
                };
                let mut facts = serde_json::Map::new();
                if row.role != before.role {
                    facts.insert("role".to_owned(), json!({ "from": before.role, "to": row.role }));
                }
                if row.status != before.status {
                    facts.insert(
                        "status".to_owned(),
                        json!({ "from": before.status, "to": row.status }),
                    );
                }
                if ended > 0 {
                    facts.insert("sessions_ended".to_owned(), json!(ended));
                }
                let entry = Entry::event(&ctx, "user.updated")
                    .target("user", user)
                    .facts(facts.into())
                    .details(json!({ "email": row.email, "name": row.name }));
                aim_audit::append(db, vec![entry])?;
                row.view()
            })
            .await
    }
}
