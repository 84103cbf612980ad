//! `/users` and `/users/{id}`: who may sign in, and as what.

use actix_web::web;
use aim_core::{
    Actor, Role,
    id::UserKind,
    role::permission::{UsersRead, UsersWrite},
};
use aim_platform::{
    PathId, Query,
    console::{Frame, PageResult, Viewing, ui, ui::Field},
};
use askama::Template;

use crate::{
    UserService,
    users::{UserList, UserStatus, UserView, routes::PageQuery},
};

/// A choice of roles.
pub(super) fn role_choice(most: Role, chosen: Role) -> Field {
    let choice = ui::select("role", "Role").value(chosen.as_str());
    Role::ALL
        .into_iter()
        .filter(|role| *role <= most)
        .fold(choice, |choice, role| {
            choice.option(role.as_str(), role_in_words(role))
        })
}

/// What a role may do, in a few words.
fn role_in_words(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Viewer: reads",
        Role::Member => "Member: registers agents, asks for capabilities",
        Role::Manager => "Manager: grants, suspends, approves, reads the audit log",
        Role::Admin => "Admin: manages users, policies and the organisation",
    }
}

#[derive(Template)]
#[template(path = "account/users.html")]
struct UsersPage<'a> {
    frame: &'a Frame,
    list: UserList,
    roles: Field,
}

pub(super) async fn list(
    viewing: Viewing<UsersRead>,
    query: Query<PageQuery>,
    service: web::Data<UserService>,
) -> PageResult {
    let list = service.list(&viewing.ctx, query.0.page()?).await?;
    let page = UsersPage {
        frame: &viewing.frame,
        list,
        roles: role_choice(Role::Admin, Role::Member),
    };
    viewing.page("Users", &page)
}

#[derive(Template)]
#[template(path = "account/user.html")]
struct UserPage<'a> {
    frame: &'a Frame,
    user: UserView,
    roles: Field,
    is_self: bool,
}

pub(super) async fn one(
    viewing: Viewing<UsersRead>,
    id: PathId<UserKind>,
    service: web::Data<UserService>,
) -> PageResult {
    let user = service.get(&viewing.ctx, id.0).await?;
    let title = user.name.clone();
    let page = UserPage {
        frame: &viewing.frame,
        roles: role_choice(Role::Admin, user.role),
        is_self: matches!(&viewing.ctx.actor, Actor::User { id, .. } if *id == user.id),
        user,
    };
    viewing.page(title, &page)
}
