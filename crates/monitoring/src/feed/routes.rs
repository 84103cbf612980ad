//! The feed over HTTP: extract, call, answer.

use actix_web::{HttpRequest, HttpResponse, get, http::header, web};
use aim_core::{Error, role::permission};
use aim_platform::{ApiResult, Authed, Problem, Query, ServiceConfig};

use super::{
    hub::Hub,
    model::{FeedPage, FeedQuery, StreamQuery},
    service::FeedService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &FeedService, hub: &Hub) {
    config
        .app_data(web::Data::new(service.clone()))
        .app_data(web::Data::new(hub.clone()))
        .service(get_event_stream)
        .service(get_events);
}

/// What happened lately: decisions and events, the newest first, without personal details.
#[utoipa::path(
    tag = "monitoring",
    params(FeedQuery),
    responses(
        (status = 200, description = "The events", body = FeedPage),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission events:read is missing", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/events")]
async fn get_events(
    authed: Authed<permission::EventsRead>,
    query: Query<FeedQuery>,
    service: web::Data<FeedService>,
) -> ApiResult<web::Json<FeedPage>> {
    Ok(web::Json(service.page(&authed.ctx, &query.0).await?))
}

/// What happens, as it happens: server-sent events. The `id` of an event is the index of its leaf; a client that
/// comes back with `Last-Event-ID` gets what it missed, up to 1,000 events. Besides plain messages (one item of the feed
/// each) there are the events `ready`, `more` (that many routine items were left out), `gap` (that much cannot be
/// replayed), and, as the last one, `lagged`, `ended` or `stopping`.
#[utoipa::path(
    tag = "monitoring",
    params(StreamQuery),
    responses(
        (status = 200, description = "The events, without an end", content_type = "text/event-stream", body = String),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission events:read is missing", body = Problem),
        (status = 422, description = "Last-Event-ID is no index", body = Problem),
        (status = 429, description = "This node has too many followers", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/events/stream")]
async fn get_event_stream(
    authed: Authed<permission::EventsRead>,
    query: Query<StreamQuery>,
    request: HttpRequest,
    hub: web::Data<Hub>,
) -> ApiResult<HttpResponse> {
    let last_seen = match request.headers().get("last-event-id") {
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| Error::field("Last-Event-ID", "this is the id of no event"))?,
        ),
        None => query.0.last_event_id,
    };
    let subscription = hub.subscribe(&authed.ctx, query.0.agent_id, last_seen).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies must not gather events up.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(subscription.into_stream()))
}
