//! `/profile`: one's own account, password and sessions.

use actix_web::web;
use aim_core::role::permission::SelfManage;
use aim_platform::{
    Query,
    console::{Frame, PageResult, Panel, Viewing, ui},
};
use askama::Template;

use crate::{
    SessionService,
    sessions::{SessionList, SignedInUser},
    users::routes::PageQuery,
};

#[derive(Template)]
#[template(path = "account/profile.html")]
struct ProfilePage<'a> {
    frame: &'a Frame,
    user: SignedInUser,
    sessions: Panel<SessionList>,
}

pub(super) async fn profile(
    viewing: Viewing<SelfManage>,
    query: Query<PageQuery>,
    service: web::Data<SessionService>,
) -> PageResult {
    let user = service.me(&viewing.ctx).await?;
    let sessions = Panel::load("Sessions", &viewing, service.list(&viewing.ctx, query.0.page()?)).await;
    let page = ProfilePage {
        frame: &viewing.frame,
        user,
        sessions,
    };
    viewing.page("Profile", &page)
}
