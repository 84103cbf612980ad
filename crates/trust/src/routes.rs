//! Trust over HTTP: extract, call, answer.

use actix_web::{HttpResponse, delete, get, post, put, web};
use aim_core::{PageRequest, id::AgentKind, role::permission};
use aim_platform::{ApiResult, Authed, AuthedOrAgent, Body, PathId, PathIds, Problem, Query, ServiceConfig};

use crate::{
    model::{
        AdjustmentList, AdjustmentView, ListQuery, NewAdjustment, TrustBreakdown, TrustHistory,
        TrustScoreView,
    },
    policy::{NewTrustPolicy, TrustPolicyView},
    score::AdjustmentKind,
    service::TrustService,
    trends::{Trends, TrendsQuery},
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &TrustService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_trust_score)
        .service(get_trust_history)
        .service(get_trust_breakdown)
        .service(get_trust_trends)
        .service(get_trust_policy)
        .service(put_trust_policy)
        .service(get_trust_adjustments)
        .service(post_trust_adjustment)
        .service(delete_trust_adjustment);
}

impl ListQuery {
    fn page(&self) -> aim_core::Result<PageRequest> {
        PageRequest::parse(self.limit, self.offset, self.cursor.as_deref())
    }
}

/// An agent's trust score as it stands. An agent sees its own only.
#[utoipa::path(
    tag = "trust",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "The score", body = TrustScoreView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/agents/{id}/trust-score")]
async fn get_trust_score(
    authed: AuthedOrAgent<permission::TrustRead>,
    id: PathId<AgentKind>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<TrustScoreView>> {
    Ok(web::Json(service.score(&authed.ctx, id.0).await?))
}

/// How an agent's score came to be what it is: its changes with their causes, its days, and what happened.
#[utoipa::path(
    tag = "trust",
    params(("id" = uuid::Uuid, Path, description = "The agent"), ListQuery),
    responses(
        (status = 200, description = "The history", body = TrustHistory),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/agents/{id}/trust-score/history")]
async fn get_trust_history(
    authed: AuthedOrAgent<permission::TrustRead>,
    id: PathId<AgentKind>,
    query: Query<ListQuery>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<TrustHistory>> {
    Ok(web::Json(
        service.history(&authed.ctx, id.0, query.0.page()?).await?,
    ))
}

/// What an agent's score is made of: factors, weights, the events they cite, and every input, so that anybody can compute it again.
#[utoipa::path(
    tag = "trust",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "The breakdown", body = TrustBreakdown),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/trust-score/agents/{id}/breakdown")]
async fn get_trust_breakdown(
    authed: AuthedOrAgent<permission::TrustRead>,
    id: PathId<AgentKind>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<TrustBreakdown>> {
    Ok(web::Json(service.breakdown(&authed.ctx, id.0).await?))
}

/// How the organisation's trust moves: who rose and fell, and how the scores were spread.
#[utoipa::path(
    tag = "trust",
    params(TrendsQuery),
    responses(
        (status = 200, description = "The trends", body = Trends),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:read is missing", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/trust-score/trends")]
async fn get_trust_trends(
    authed: Authed<permission::TrustRead>,
    query: Query<TrendsQuery>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<Trends>> {
    Ok(web::Json(service.trends(&authed.ctx, query.0.check()?).await?))
}

/// What a low score leads to.
#[utoipa::path(
    tag = "trust",
    responses(
        (status = 200, description = "The policy", body = TrustPolicyView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:read is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/trust-score/policy")]
async fn get_trust_policy(
    authed: Authed<permission::TrustRead>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<TrustPolicyView>> {
    Ok(web::Json(service.policy(&authed.ctx).await?))
}

/// Set what a low score leads to: an alert, a restriction that decide() sees, a suspension. What is left out is switched off.
#[utoipa::path(
    tag = "trust",
    request_body = NewTrustPolicy,
    responses(
        (status = 200, description = "The policy", body = TrustPolicyView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:adjust is missing", body = Problem),
        (status = 409, description = "A policy of the restriction's name is there already", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[put("/api/v1/trust-score/policy")]
async fn put_trust_policy(
    authed: Authed<permission::TrustAdjust>,
    body: Body<NewTrustPolicy>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<TrustPolicyView>> {
    Ok(web::Json(service.set_policy(&authed.ctx, body.0).await?))
}

/// An agent's adjustments, newest first.
#[utoipa::path(
    tag = "trust",
    params(("id" = uuid::Uuid, Path, description = "The agent"), ListQuery),
    responses(
        (status = 200, description = "The adjustments", body = AdjustmentList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/agents/{id}/trust-score/adjustments")]
async fn get_trust_adjustments(
    authed: AuthedOrAgent<permission::TrustRead>,
    id: PathId<AgentKind>,
    query: Query<ListQuery>,
    service: web::Data<TrustService>,
) -> ApiResult<web::Json<AdjustmentList>> {
    Ok(web::Json(
        service.adjustments(&authed.ctx, id.0, query.0.page()?).await?,
    ))
}

/// Adjust an agent's score by hand, with a reason, until a moment.
#[utoipa::path(
    tag = "trust",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = NewAdjustment,
    responses(
        (status = 201, description = "The adjustment", body = AdjustmentView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:adjust is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 409, description = "Too many adjustments are in force", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/agents/{id}/trust-score/adjustments")]
async fn post_trust_adjustment(
    authed: Authed<permission::TrustAdjust>,
    id: PathId<AgentKind>,
    body: Body<NewAdjustment>,
    service: web::Data<TrustService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.adjust(&authed.ctx, id.0, body.0).await?))
}

/// Withdraw an adjustment before it ends by itself.
#[utoipa::path(
    tag = "trust",
    params(
        ("id" = uuid::Uuid, Path, description = "The agent"),
        ("adjustment_id" = uuid::Uuid, Path, description = "The adjustment"),
    ),
    responses(
        (status = 204, description = "Withdrawn"),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission trust:adjust is missing", body = Problem),
        (status = 404, description = "No such agent or adjustment", body = Problem),
        (status = 409, description = "The adjustment has ended already", body = Problem),
    ),
    security(("bearer" = []))
)]
#[delete("/api/v1/agents/{id}/trust-score/adjustments/{adjustment_id}")]
async fn delete_trust_adjustment(
    authed: Authed<permission::TrustAdjust>,
    ids: PathIds<AgentKind, AdjustmentKind>,
    service: web::Data<TrustService>,
) -> ApiResult<HttpResponse> {
    service.withdraw(&authed.ctx, ids.0, ids.1).await?;
    Ok(HttpResponse::NoContent().finish())
}
