//! `/api-keys`: the organisation's keys; a new one is shown once.

use actix_web::web;
use aim_core::{
    Role, Timestamp,
    role::permission::{ApiKeysRead, ApiKeysWrite},
};
use aim_platform::{
    Query,
    console::{Frame, Names, PageResult, Viewing, ui, ui::Field},
};
use askama::Template;

use super::users::role_choice;
use crate::{
    ApiKeyService,
    api_keys::{ApiKeyList, ApiKeyView},
    users::routes::PageQuery,
};

#[derive(Template)]
#[template(path = "account/api_keys.html")]
struct ApiKeysPage<'a> {
    frame: &'a Frame,
    list: ApiKeyList,
    names: Names,
    roles: Field,
}

impl ApiKeysPage<'_> {
    /// `active`, `disabled` or `expired`.
    fn state(&self, key: &ApiKeyView) -> &'static str {
        let over = |at: Option<Timestamp>| at.is_some_and(|at| at <= self.frame.now);
        if key.disabled_at.is_some() {
            "disabled"
        } else if over(key.expires_at) {
            "expired"
        } else {
            "active"
        }
    }

    /// Nobody ends a key that may do more than they.
    fn may_change(&self, key: &ApiKeyView) -> bool {
        self.frame.can::<ApiKeysWrite>() && self.frame.role.is_some_and(|role| role >= key.role)
    }
}

pub(super) async fn list(
    viewing: Viewing<ApiKeysRead>,
    query: Query<PageQuery>,
    service: web::Data<ApiKeyService>,
) -> PageResult {
    let list = service.list(&viewing.ctx, query.0.page()?).await?;
    let makers = list.api_keys.iter().map(|key| key.created_by.clone());
    let names = viewing.names(makers).await;
    let page = ApiKeysPage {
        frame: &viewing.frame,
        list,
        names,
        roles: role_choice(viewing.frame.role.unwrap_or(Role::Viewer), Role::Member),
    };
    viewing.page("API keys", &page)
}
