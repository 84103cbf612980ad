//! HTTP of users.

use actix_web::{HttpResponse, get, patch, post, web};
use aim_core::{
    PageRequest,
    id::UserKind,
    role::permission::{UsersRead, UsersWrite},
};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    model::{NewUser, UpdateUser, UserList, UserView},
    service::UserService,
};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &UserService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_users);
    config.service(create_user);
    config.service(get_user);
    config.service(update_user);
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// How many, 1 to 100; 20 when left out.
    limit: Option<i64>,
    /// How many to skip.
    offset: Option<i64>,
    /// Where to go on, as `next_cursor` said.
    cursor: Option<String>,
}

impl PageQuery {
    /// The page that is asked for.
    pub(crate) fn page(&self) -> aim_core::Result<PageRequest> {
        PageRequest::parse(self.limit, self.offset, self.cursor.as_deref())
    }
}

/// The organisation's users.
#[utoipa::path(
    tag = "users",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of users, newest first", body = UserList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission users:read is missing", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/users")]
async fn list_users(
    authed: Authed<UsersRead>,
    query: Query<PageQuery>,
    service: web::Data<UserService>,
) -> ApiResult<web::Json<UserList>> {
    Ok(web::Json(service.list(&authed.ctx, query.0.page()?).await?))
}

/// Makes a user.
#[utoipa::path(
    tag = "users",
    request_body = NewUser,
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission users:write is missing", body = Problem),
        (status = 409, description = "The e-mail address cannot be used", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/users")]
async fn create_user(
    authed: Authed<UsersWrite>,
    body: Body<NewUser>,
    service: web::Data<UserService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.create(&authed.ctx, body.0).await?))
}

/// One user.
#[utoipa::path(
    tag = "users",
    params(("id" = String, Path, description = "The user", format = Uuid)),
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission users:read is missing", body = Problem),
        (status = 404, description = "No such user in your organisation", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/users/{id}")]
async fn get_user(
    authed: Authed<UsersRead>,
    id: PathId<UserKind>,
    service: web::Data<UserService>,
) -> ApiResult<web::Json<UserView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}

/// Changes a user's role, name or status.
#[utoipa::path(
    tag = "users",
    params(("id" = String, Path, description = "The user", format = Uuid)),
    request_body = UpdateUser,
    responses(
        (status = 200, description = "The user as they are now", body = UserView),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission users:write is missing", body = Problem),
        (status = 404, description = "No such user in your organisation", body = Problem),
        (status = 409, description = "The last active administrator must stay one", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[patch("/api/v1/users/{id}")]
async fn update_user(
    authed: Authed<UsersWrite>,
    id: PathId<UserKind>,
    body: Body<UpdateUser>,
    service: web::Data<UserService>,
) -> ApiResult<web::Json<UserView>> {
    Ok(web::Json(service.update(&authed.ctx, id.0, body.0).await?))
}
