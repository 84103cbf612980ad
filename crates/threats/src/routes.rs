//! Threat detection over HTTP: extract, call, answer.

use actix_web::{get, post, put, web};
use aim_core::role::permission::{ThreatPoliciesWrite, ThreatsRead, ThreatsReview};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig};

use crate::{
    model::{
        FindingKind, FindingList, FindingQuery, FindingView, HoneytokenList, PolicyList, PutHoneytokens,
        PutPolicies, ReviewFinding,
    },
    service::ThreatService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &ThreatService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(list_threats)
        // Before the one with an id, which would take their names for ids.
        .service(get_threat_policies)
        .service(put_threat_policies)
        .service(get_honeytokens)
        .service(put_honeytokens)
        .service(get_threat)
        .service(review_threat);
}

/// Findings, newest first.
#[utoipa::path(tag = "threats", params(FindingQuery), responses(
    (status = 200, description = "A page of findings", body = FindingList),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threats:read is missing; agents never have it", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/threats")]
async fn list_threats(
    authed: Authed<ThreatsRead>,
    filter: Query<FindingQuery>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<FindingList>> {
    Ok(web::Json(
        service
            .list(&authed.ctx, filter.0.parse(service.added())?)
            .await?,
    ))
}

/// One finding with its evidence.
#[utoipa::path(tag = "threats", params(("id" = uuid::Uuid, Path, description = "The finding")), responses(
    (status = 200, description = "The finding", body = FindingView),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threats:read is missing; agents never have it", body = Problem),
    (status = 404, description = "No such finding here", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/threats/{id}")]
async fn get_threat(
    authed: Authed<ThreatsRead>,
    id: PathId<FindingKind>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<FindingView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}

/// Mark a finding as false or handled. Either lifts the restriction that it led to; a false one keeps the
/// same subject quiet for a while.
#[utoipa::path(tag = "threats", params(("id" = uuid::Uuid, Path, description = "The finding")),
    request_body = ReviewFinding, responses(
    (status = 200, description = "The finding", body = FindingView),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threats:review is missing; agents never have it", body = Problem),
    (status = 404, description = "No such finding here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/threats/{id}/review")]
async fn review_threat(
    authed: Authed<ThreatsReview>,
    id: PathId<FindingKind>,
    review: Body<ReviewFinding>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<FindingView>> {
    Ok(web::Json(service.review(&authed.ctx, id.0, review.0).await?))
}

/// The detectors: their rules, their places in OWASP's and MITRE's catalogues, and what their findings lead to.
#[utoipa::path(tag = "threats", responses(
    (status = 200, description = "One line a detector", body = PolicyList),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threats:read is missing; agents never have it", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/threats/policies")]
async fn get_threat_policies(
    authed: Authed<ThreatsRead>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<PolicyList>> {
    Ok(web::Json(service.policies(&authed.ctx).await?))
}

/// Set what findings lead to, from the next one on. Detectors that are not named stay as they are.
#[utoipa::path(tag = "threats", request_body = PutPolicies, responses(
    (status = 200, description = "One line a detector", body = PolicyList),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threat_policies:write is missing; agents never have it", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[put("/api/v1/threats/policies")]
async fn put_threat_policies(
    authed: Authed<ThreatPoliciesWrite>,
    policies: Body<PutPolicies>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<PolicyList>> {
    Ok(web::Json(service.put_policies(&authed.ctx, policies.0).await?))
}

/// The organisation's honeytokens.
#[utoipa::path(tag = "threats", responses(
    (status = 200, description = "The honeytokens, by name", body = HoneytokenList),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threat_policies:write is missing: whoever may not set them may not see them", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/threats/honeytokens")]
async fn get_honeytokens(
    authed: Authed<ThreatPoliciesWrite>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<HoneytokenList>> {
    Ok(web::Json(service.honeytokens(&authed.ctx).await?))
}

/// Set the organisation's honeytokens; those that are not named are removed.
#[utoipa::path(tag = "threats", request_body = PutHoneytokens, responses(
    (status = 200, description = "The honeytokens, by name", body = HoneytokenList),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission threat_policies:write is missing; agents never have it", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[put("/api/v1/threats/honeytokens")]
async fn put_honeytokens(
    authed: Authed<ThreatPoliciesWrite>,
    honeytokens: Body<PutHoneytokens>,
    service: web::Data<ThreatService>,
) -> ApiResult<web::Json<HoneytokenList>> {
    Ok(web::Json(
        service.put_honeytokens(&authed.ctx, honeytokens.0).await?,
    ))
}
