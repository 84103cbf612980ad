//! The verified action over HTTP. The status says the verdict too, so that a client which looks at
//! nothing else fails closed: 201 approved, 202 pending, 403 denied.

use actix_web::{HttpResponse, get, http::StatusCode, post, web};
use aim_core::{id::DecisionKind, role::permission};
use aim_platform::{
    ApiResult, Authed, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig, SignedAgent,
};

use super::{
    model::{
        ActionRequest, DecisionFilter, DecisionList, DecisionView, ResultReport, ResultView, ReviewRequest,
    },
    service::{Evidence, VerificationService},
};

/// Registers the route that every action comes by.
pub fn register_first(config: &mut ServiceConfig<'_>) {
    config.service(verify_action);
}

/// Registers the other routes.
pub fn register(config: &mut ServiceConfig<'_>, service: &VerificationService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_verifications);
    config.service(get_verification);
    config.service(get_evidence);
    config.service(report_result);
    config.service(approve_verification);
    config.service(reject_verification);
}

/// The HTTP status of a verdict.
#[must_use]
pub fn status_of(decision: &DecisionView) -> StatusCode {
    match decision.status.as_str() {
        "approved" => StatusCode::CREATED,
        "pending" => StatusCode::ACCEPTED,
        _ => StatusCode::FORBIDDEN,
    }
}

/// Ask whether an action may happen. The agent signs the request (RFC 9421).
#[utoipa::path(tag = "verifications", request_body = ActionRequest, responses(
    (status = 201, description = "Approved: the action may happen now", body = DecisionView),
    (status = 202, description = "Pending: a person must approve it first", body = DecisionView),
    (status = 403, description = "Denied; or the caller is no agent", body = DecisionView),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, or one that was used before", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
    (status = 503, description = "Not durable, so nothing was allowed", body = Problem),
), security(("signature" = [])))]
#[post("/api/v1/verifications")]
async fn verify_action(
    agent: SignedAgent,
    action: Body<ActionRequest>,
    service: web::Data<VerificationService>,
) -> ApiResult<HttpResponse> {
    let decision = service
        .verify(&agent.ctx, agent.nonce, agent.scheme, action.0)
        .await?;
    Ok(HttpResponse::build(status_of(&decision)).json(decision))
}

/// The organisation's decisions, newest first.
#[utoipa::path(tag = "verifications", params(DecisionFilter), responses(
    (status = 200, description = "A page of decisions", body = DecisionList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/verifications")]
async fn list_verifications(
    authed: Authed<permission::VerificationsRead>,
    filter: Query<DecisionFilter>,
    service: web::Data<VerificationService>,
) -> ApiResult<web::Json<DecisionList>> {
    Ok(web::Json(service.list(&authed.ctx, filter.0).await?))
}

/// One decision: its own agent and its organisation's people see it.
#[utoipa::path(tag = "verifications", params(("id" = String, Path, description = "The decision")), responses(
    (status = 200, description = "The decision as it stands", body = DecisionView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/verifications/{id}")]
async fn get_verification(
    authed: AuthedOrAgent<permission::VerificationsRead>,
    id: PathId<DecisionKind>,
    service: web::Data<VerificationService>,
) -> ApiResult<web::Json<DecisionView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}

/// The recorded snapshot, inputs and verdict: what an offline replay needs.
#[utoipa::path(tag = "verifications", params(("id" = String, Path, description = "The decision")), responses(
    (status = 200, description = "The canonical bytes", body = Evidence),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/verifications/{id}/evidence")]
async fn get_evidence(
    authed: Authed<permission::AuditRead>,
    id: PathId<DecisionKind>,
    service: web::Data<VerificationService>,
) -> ApiResult<web::Json<Evidence>> {
    Ok(web::Json(service.evidence(&authed.ctx, id.0).await?))
}

/// The agent tells how an approved action ended; the first report stays.
#[utoipa::path(tag = "verifications", params(("id" = String, Path, description = "The decision")),
    request_body = ResultReport, responses(
    (status = 201, description = "Kept", body = ResultView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "Reported already, or not approved", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[post("/api/v1/verifications/{id}/result")]
async fn report_result(
    authed: AuthedOrAgent<permission::AgentsWrite>,
    id: PathId<DecisionKind>,
    report: Body<ResultReport>,
    service: web::Data<VerificationService>,
) -> ApiResult<HttpResponse> {
    let kept = service.report_result(&authed.ctx, id.0, report.0).await?;
    Ok(HttpResponse::Created().json(kept))
}

/// Approve a pending action, repeating the digest of what was seen.
#[utoipa::path(tag = "verifications", params(("id" = String, Path, description = "The decision")),
    request_body = ReviewRequest, responses(
    (status = 200, description = "Approved", body = DecisionView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "Not pending, another digest, or denied by now", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/verifications/{id}/approve")]
async fn approve_verification(
    authed: Authed<permission::VerificationsReview>,
    id: PathId<DecisionKind>,
    review: Body<ReviewRequest>,
    service: web::Data<VerificationService>,
) -> ApiResult<web::Json<DecisionView>> {
    Ok(web::Json(
        service.review(&authed.ctx, id.0, true, review.0).await?,
    ))
}

/// Reject a pending action.
#[utoipa::path(tag = "verifications", params(("id" = String, Path, description = "The decision")),
    request_body = ReviewRequest, responses(
    (status = 200, description = "Rejected", body = DecisionView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "Not pending", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/verifications/{id}/reject")]
async fn reject_verification(
    authed: Authed<permission::VerificationsReview>,
    id: PathId<DecisionKind>,
    review: Body<ReviewRequest>,
    service: web::Data<VerificationService>,
) -> ApiResult<web::Json<DecisionView>> {
    Ok(web::Json(
        service.review(&authed.ctx, id.0, false, review.0).await?,
    ))
}
