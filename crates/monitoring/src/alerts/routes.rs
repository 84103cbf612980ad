//! Alerts over HTTP: extract, call, answer.

use actix_web::{get, post, put, web};
use aim_core::role::permission;
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig};

use super::{
    model::{Acknowledge, AlertCount, AlertList, AlertMarker, AlertQuery, AlertView, Assign, Resolve},
    rules::{ResetRule, RuleList, RuleView, SetRule},
    service::AlertService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &AlertService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_alerts)
        .service(get_alert_count)
        .service(get_alert)
        .service(post_alert_acknowledgement)
        .service(post_alert_resolution)
        .service(post_alert_assignment)
        .service(get_alert_rules)
        .service(put_alert_rule)
        .service(post_alert_rule_reset);
}

/// Alerts, the newest first.
#[utoipa::path(
    tag = "alerts",
    params(AlertQuery),
    responses(
        (status = 200, description = "The alerts", body = AlertList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:read is missing", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/alerts")]
async fn get_alerts(
    authed: Authed<permission::AlertsRead>,
    query: Query<AlertQuery>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<AlertList>> {
    Ok(web::Json(service.list(&authed.ctx, &query.0).await?))
}

/// How many alerts are open and acknowledged, and how bad they are.
#[utoipa::path(
    tag = "alerts",
    responses(
        (status = 200, description = "The numbers", body = AlertCount),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:read is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/alerts/count")]
async fn get_alert_count(
    authed: Authed<permission::AlertsRead>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<AlertCount>> {
    Ok(web::Json(service.count(&authed.ctx).await?))
}

/// One alert with its evidence.
#[utoipa::path(
    tag = "alerts",
    params(("id" = uuid::Uuid, Path, description = "The alert")),
    responses(
        (status = 200, description = "The alert", body = AlertView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:read is missing", body = Problem),
        (status = 404, description = "No such alert", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/alerts/{id}")]
async fn get_alert(
    authed: Authed<permission::AlertsRead>,
    id: PathId<AlertMarker>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<AlertView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}

/// Says that somebody is on it.
#[utoipa::path(
    tag = "alerts",
    params(("id" = uuid::Uuid, Path, description = "The alert")),
    request_body = Acknowledge,
    responses(
        (status = 200, description = "The alert as it is now", body = AlertView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:handle is missing", body = Problem),
        (status = 404, description = "No such alert", body = Problem),
        (status = 409, description = "It is not open", body = Problem),
        (status = 422, description = "The note is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/alerts/{id}/acknowledge")]
async fn post_alert_acknowledgement(
    authed: Authed<permission::AlertsHandle>,
    id: PathId<AlertMarker>,
    body: Body<Acknowledge>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<AlertView>> {
    Ok(web::Json(service.acknowledge(&authed.ctx, id.0, body.0).await?))
}

/// Says that it is dealt with. The same thing again will be a new alert.
#[utoipa::path(
    tag = "alerts",
    params(("id" = uuid::Uuid, Path, description = "The alert")),
    request_body = Resolve,
    responses(
        (status = 200, description = "The alert as it is now", body = AlertView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:handle is missing", body = Problem),
        (status = 404, description = "No such alert", body = Problem),
        (status = 409, description = "It is resolved already", body = Problem),
        (status = 422, description = "The note is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/alerts/{id}/resolve")]
async fn post_alert_resolution(
    authed: Authed<permission::AlertsHandle>,
    id: PathId<AlertMarker>,
    body: Body<Resolve>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<AlertView>> {
    Ok(web::Json(service.resolve(&authed.ctx, id.0, body.0).await?))
}

/// Says who takes care of it.
#[utoipa::path(
    tag = "alerts",
    params(("id" = uuid::Uuid, Path, description = "The alert")),
    request_body = Assign,
    responses(
        (status = 200, description = "The alert as it is now", body = AlertView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:handle is missing", body = Problem),
        (status = 404, description = "No such alert", body = Problem),
        (status = 409, description = "It is resolved", body = Problem),
        (status = 422, description = "No active user has this id", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/alerts/{id}/assign")]
async fn post_alert_assignment(
    authed: Authed<permission::AlertsHandle>,
    id: PathId<AlertMarker>,
    body: Body<Assign>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<AlertView>> {
    Ok(web::Json(service.assign(&authed.ctx, id.0, body.0).await?))
}

/// What raises alerts.
#[utoipa::path(
    tag = "alerts",
    responses(
        (status = 200, description = "A rule of each kind", body = RuleList),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alerts:read is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/alert-rules")]
async fn get_alert_rules(
    authed: Authed<permission::AlertsRead>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<RuleList>> {
    Ok(web::Json(service.rules(&authed.ctx).await?))
}

/// Sets the rule of one kind.
#[utoipa::path(
    tag = "alerts",
    request_body = SetRule,
    responses(
        (status = 200, description = "The rule as it is now", body = RuleView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alert_rules:write is missing", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[put("/api/v1/alert-rules")]
async fn put_alert_rule(
    authed: Authed<permission::AlertRulesWrite>,
    body: Body<SetRule>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<RuleView>> {
    Ok(web::Json(service.set_rule(&authed.ctx, body.0).await?))
}

/// Lets the defaults hold again for one kind.
#[utoipa::path(
    tag = "alerts",
    request_body = ResetRule,
    responses(
        (status = 200, description = "The rule as it is now", body = RuleView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission alert_rules:write is missing", body = Problem),
        (status = 422, description = "There is no such kind", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/alert-rules/reset")]
async fn post_alert_rule_reset(
    authed: Authed<permission::AlertRulesWrite>,
    body: Body<ResetRule>,
    service: web::Data<AlertService>,
) -> ApiResult<web::Json<RuleView>> {
    Ok(web::Json(service.reset_rule(&authed.ctx, body.0.kind).await?))
}
