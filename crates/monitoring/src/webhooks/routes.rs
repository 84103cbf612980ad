//! Webhooks over HTTP: extract, call, answer.

use actix_web::{HttpResponse, delete, get, post, put, web};
use aim_core::role::permission;
use aim_platform::{ApiResult, Authed, Body, PathId, PathIds, Problem, Query, ServiceConfig};

use super::{
    model::{
        DeliveryList, DeliveryMarker, DeliveryQuery, DeliveryView, NewWebhook, SetWebhook, WebhookList,
        WebhookMarker, WebhookView,
    },
    service::WebhookService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &WebhookService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_webhooks)
        .service(post_webhook)
        .service(get_webhook)
        .service(put_webhook)
        .service(delete_webhook)
        .service(post_webhook_test)
        .service(get_webhook_deliveries)
        .service(post_webhook_replay);
}

/// The organisation's webhooks, without their secrets.
#[utoipa::path(
    tag = "webhooks",
    responses(
        (status = 200, description = "The webhooks", body = WebhookList),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:read is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/webhooks")]
async fn get_webhooks(
    authed: Authed<permission::WebhooksRead>,
    service: web::Data<WebhookService>,
) -> ApiResult<web::Json<WebhookList>> {
    Ok(web::Json(service.list(&authed.ctx).await?))
}

/// Makes a webhook. Deliveries carry `X-AIM-Signature: t=<seconds>,v1=<HMAC-SHA256 of "<t>.<body>" in hex>` under the secret
/// in this answer, which is shown this once.
#[utoipa::path(
    tag = "webhooks",
    request_body = SetWebhook,
    responses(
        (status = 201, description = "The webhook and its secret", body = NewWebhook),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:write is missing", body = Problem),
        (status = 409, description = "The name is taken, or there are too many", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/webhooks")]
async fn post_webhook(
    authed: Authed<permission::WebhooksWrite>,
    body: Body<SetWebhook>,
    service: web::Data<WebhookService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.create(&authed.ctx, body.0).await?))
}

/// One webhook, without its secret.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = uuid::Uuid, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook", body = WebhookView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:read is missing", body = Problem),
        (status = 404, description = "No such webhook", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/webhooks/{id}")]
async fn get_webhook(
    authed: Authed<permission::WebhooksRead>,
    id: PathId<WebhookMarker>,
    service: web::Data<WebhookService>,
) -> ApiResult<web::Json<WebhookView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}

/// Changes a webhook; its form and its secret stay.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = uuid::Uuid, Path, description = "The webhook")),
    request_body = SetWebhook,
    responses(
        (status = 200, description = "The webhook as it is now", body = WebhookView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:write is missing", body = Problem),
        (status = 404, description = "No such webhook", body = Problem),
        (status = 409, description = "The name is taken", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[put("/api/v1/webhooks/{id}")]
async fn put_webhook(
    authed: Authed<permission::WebhooksWrite>,
    id: PathId<WebhookMarker>,
    body: Body<SetWebhook>,
    service: web::Data<WebhookService>,
) -> ApiResult<web::Json<WebhookView>> {
    Ok(web::Json(service.update(&authed.ctx, id.0, body.0).await?))
}

/// Removes a webhook, and what was and would have been delivered to it.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = uuid::Uuid, Path, description = "The webhook")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:write is missing", body = Problem),
        (status = 404, description = "No such webhook", body = Problem),
    ),
    security(("bearer" = []))
)]
#[delete("/api/v1/webhooks/{id}")]
async fn delete_webhook(
    authed: Authed<permission::WebhooksWrite>,
    id: PathId<WebhookMarker>,
    service: web::Data<WebhookService>,
) -> ApiResult<HttpResponse> {
    service.delete(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sends a test now, once, and says how it ended.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = uuid::Uuid, Path, description = "The webhook")),
    responses(
        (status = 200, description = "How the test ended; a receiver that failed is told here too", body = DeliveryView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:write is missing", body = Problem),
        (status = 404, description = "No such webhook", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/webhooks/{id}/test")]
async fn post_webhook_test(
    authed: Authed<permission::WebhooksWrite>,
    id: PathId<WebhookMarker>,
    service: web::Data<WebhookService>,
) -> ApiResult<web::Json<DeliveryView>> {
    Ok(web::Json(service.test(&authed.ctx, id.0).await?))
}

/// What was delivered, and what is to be: the newest first.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = uuid::Uuid, Path, description = "The webhook"), DeliveryQuery),
    responses(
        (status = 200, description = "The deliveries", body = DeliveryList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:read is missing", body = Problem),
        (status = 404, description = "No such webhook", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/webhooks/{id}/deliveries")]
async fn get_webhook_deliveries(
    authed: Authed<permission::WebhooksRead>,
    id: PathId<WebhookMarker>,
    query: Query<DeliveryQuery>,
    service: web::Data<WebhookService>,
) -> ApiResult<web::Json<DeliveryList>> {
    Ok(web::Json(service.deliveries(&authed.ctx, id.0, &query.0).await?))
}

/// Delivers something again: a new delivery with the same body.
#[utoipa::path(
    tag = "webhooks",
    params(
        ("id" = uuid::Uuid, Path, description = "The webhook"),
        ("delivery_id" = uuid::Uuid, Path, description = "The delivery"),
    ),
    responses(
        (status = 202, description = "The new delivery, which is sent within a second or two", body = DeliveryView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission webhooks:write is missing", body = Problem),
        (status = 404, description = "No such webhook or delivery", body = Problem),
        (status = 409, description = "It is still to be tried", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/webhooks/{id}/deliveries/{delivery_id}/replay")]
async fn post_webhook_replay(
    authed: Authed<permission::WebhooksWrite>,
    ids: PathIds<WebhookMarker, DeliveryMarker>,
    service: web::Data<WebhookService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Accepted().json(service.replay(&authed.ctx, ids.0, ids.1).await?))
}
