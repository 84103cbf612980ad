//! HTTP of organisation API keys.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use aim_core::{
    ApiKeyId, Role, Timestamp,
    id::ApiKeyKind,
    role::permission::{ApiKeysRead, ApiKeysWrite},
};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    model::{ApiKeyDisabled, ApiKeyList, NewApiKey},
    service::ApiKeyService,
};
use crate::users::routes::PageQuery;

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &ApiKeyService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_api_keys);
    config.service(create_api_key);
    config.service(disable_api_key);
    config.service(delete_api_key);
}

/// A key just made.
#[derive(Serialize, ToSchema)]
struct IssuedApiKeyAnswer {
    /// The key's id.
    id: ApiKeyId,
    /// The key. It is shown once.
    #[schema(example = "aim_live_…")]
    api_key: String,
    /// What it is for.
    name: String,
    /// What it may do.
    role: Role,
    /// The beginning of its text, as lists show it.
    prefix: String,
    /// The first instant at which it is refused for its age.
    expires_at: Option<Timestamp>,
    /// When it was made.
    created_at: Timestamp,
}

/// The organisation's API keys.
#[utoipa::path(
    tag = "api-keys",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of keys, newest first", body = ApiKeyList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission api_keys:read is missing", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/api-keys")]
async fn list_api_keys(
    authed: Authed<ApiKeysRead>,
    query: Query<PageQuery>,
    service: web::Data<ApiKeyService>,
) -> ApiResult<web::Json<ApiKeyList>> {
    Ok(web::Json(service.list(&authed.ctx, query.0.page()?).await?))
}

/// Makes an API key.
#[utoipa::path(
    tag = "api-keys",
    request_body = NewApiKey,
    responses(
        (status = 201, description = "The key, shown once", body = IssuedApiKeyAnswer),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission is missing, or the role is above your own", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/api-keys")]
async fn create_api_key(
    authed: Authed<ApiKeysWrite>,
    body: Body<NewApiKey>,
    service: web::Data<ApiKeyService>,
) -> ApiResult<HttpResponse> {
    let issued = service.create(&authed.ctx, body.0).await?;
    Ok(HttpResponse::Created().json(IssuedApiKeyAnswer {
        id: issued.view.id,
        api_key: issued.api_key.expose().to_owned(),
        name: issued.view.name,
        role: issued.view.role,
        prefix: issued.view.prefix,
        expires_at: issued.view.expires_at,
        created_at: issued.view.created_at,
    }))
}

/// Disables an API key for good.
#[utoipa::path(
    tag = "api-keys",
    params(("id" = String, Path, description = "The key", format = Uuid)),
    responses(
        (status = 200, description = "It is disabled", body = ApiKeyDisabled),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission is missing, or the key is above your own role", body = Problem),
        (status = 404, description = "No such key in your organisation", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[patch("/api/v1/api-keys/{id}/disable")]
async fn disable_api_key(
    authed: Authed<ApiKeysWrite>,
    id: PathId<ApiKeyKind>,
    service: web::Data<ApiKeyService>,
) -> ApiResult<web::Json<ApiKeyDisabled>> {
    Ok(web::Json(service.disable(&authed.ctx, id.0).await?))
}

/// Removes an API key, in whatever state.
#[utoipa::path(
    tag = "api-keys",
    params(("id" = String, Path, description = "The key", format = Uuid)),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission is missing, or the key is above your own role", body = Problem),
        (status = 404, description = "No such key in your organisation", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[delete("/api/v1/api-keys/{id}")]
async fn delete_api_key(
    authed: Authed<ApiKeysWrite>,
    id: PathId<ApiKeyKind>,
    service: web::Data<ApiKeyService>,
) -> ApiResult<HttpResponse> {
    service.delete(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
