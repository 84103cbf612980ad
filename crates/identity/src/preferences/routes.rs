//! HTTP of preferences.

use actix_web::{get, put, web};
use aim_core::role::permission::SelfManage;
use aim_platform::{ApiResult, Authed, Body, Problem, ServiceConfig};

use super::{
    model::{NewPreference, PreferenceView},
    service::PreferenceService,
};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &PreferenceService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(get_preference);
    config.service(set_preference);
}

/// A preference of the caller's.
#[utoipa::path(
    tag = "users",
    params(("name" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The preference; its value is null when it is not set", body = PreferenceView),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
        (status = 422, description = "The name is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/users/me/preferences/{name}")]
async fn get_preference(
    authed: Authed<SelfManage>,
    name: web::Path<String>,
    service: web::Data<PreferenceService>,
) -> ApiResult<web::Json<PreferenceView>> {
    Ok(web::Json(service.get(&authed.ctx, &name).await?))
}

/// Remembers something for the caller; null forgets it.
#[utoipa::path(
    tag = "users",
    params(("name" = String, Path, description = "Its name: 1 to 64 lower-case letters, digits, dots, dashes and underscores")),
    request_body = NewPreference,
    responses(
        (status = 200, description = "The preference as it is now", body = PreferenceView),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
        (status = 409, description = "The user has too many", body = Problem),
        (status = 422, description = "The name or the value is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[put("/api/v1/users/me/preferences/{name}")]
async fn set_preference(
    authed: Authed<SelfManage>,
    name: web::Path<String>,
    body: Body<NewPreference>,
    service: web::Data<PreferenceService>,
) -> ApiResult<web::Json<PreferenceView>> {
    Ok(web::Json(service.set(&authed.ctx, &name, body.0.value).await?))
}
