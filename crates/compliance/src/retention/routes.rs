//! Retention over HTTP.

use actix_web::{HttpResponse, delete, get, post, put, web};
use aim_core::role::permission::{ComplianceRead, RetentionWrite};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, ServiceConfig};

use super::{
    model::{HoldKind, HoldList, HoldView, NewHold, RetentionSettings, RetentionView},
    service::RetentionService,
};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &RetentionService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_retention)
        .service(put_retention)
        .service(list_holds)
        .service(place_hold)
        .service(release_hold);
}

/// How long each class of data is kept, and how far that is carried out.
#[utoipa::path(tag = "compliance", responses(
    (status = 200, description = "The settings, and their progress", body = RetentionView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/retention")]
async fn get_retention(
    authed: Authed<ComplianceRead>,
    service: web::Data<RetentionService>,
) -> ApiResult<web::Json<RetentionView>> {
    Ok(web::Json(service.view(&authed.ctx).await?))
}

/// Sets how long each class of data is kept. What is due goes within the next minutes, and cannot be brought
/// back; the audit log's leaves stay in any case.
#[utoipa::path(tag = "compliance", request_body = RetentionSettings, responses(
    (status = 200, description = "The settings as they are now", body = RetentionView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[put("/api/v1/retention")]
async fn put_retention(
    authed: Authed<RetentionWrite>,
    body: Body<RetentionSettings>,
    service: web::Data<RetentionService>,
) -> ApiResult<web::Json<RetentionView>> {
    Ok(web::Json(service.change(&authed.ctx, body.0).await?))
}

/// The legal holds in force, newest first.
#[utoipa::path(tag = "compliance", responses(
    (status = 200, description = "The holds", body = HoldList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/retention/holds")]
async fn list_holds(
    authed: Authed<ComplianceRead>,
    service: web::Data<RetentionService>,
) -> ApiResult<web::Json<HoldList>> {
    Ok(web::Json(service.holds(&authed.ctx).await?))
}

/// Places a legal hold on an agent, or on everything of the organisation: nothing of it is trimmed until
/// the hold is released.
#[utoipa::path(tag = "compliance", request_body = NewHold, responses(
    (status = 201, description = "The hold", body = HoldView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/retention/holds")]
async fn place_hold(
    authed: Authed<RetentionWrite>,
    body: Body<NewHold>,
    service: web::Data<RetentionService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.hold(&authed.ctx, body.0).await?))
}

/// Releases a legal hold. What it held is trimmed as the settings have it.
#[utoipa::path(tag = "compliance", params(("id" = uuid::Uuid, Path, description = "The hold")), responses(
    (status = 204, description = "Released"),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such hold is in force", body = Problem),
), security(("bearer" = [])))]
#[delete("/api/v1/retention/holds/{id}")]
async fn release_hold(
    authed: Authed<RetentionWrite>,
    id: PathId<HoldKind>,
    service: web::Data<RetentionService>,
) -> ApiResult<HttpResponse> {
    service.release(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
