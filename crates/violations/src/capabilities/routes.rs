//! Capabilities and requests for them over HTTP.

use actix_web::{HttpResponse, delete, get, post, web};
use aim_core::{
    id::{AgentKind, CapabilityRequestKind, GrantKind},
    role::permission,
};
use aim_platform::{ApiResult, Authed, AuthedOrAgent, Body, PathId, PathIds, Problem, Query, ServiceConfig};

use super::{
    model::{
        AgentRequestFilter, Approval, CapabilityRequestFilter, CapabilityRequestList, CapabilityRequestView,
        GrantFilter, GrantList, GrantView, NewCapabilityRequest, NewGrant, Rejection,
    },
    service::CapabilityService,
};

/// Registers the routes.
pub fn register(config: &mut ServiceConfig<'_>, service: &CapabilityService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_capabilities);
    config.service(grant_capability);
    config.service(revoke_capability);
    config.service(list_agent_capability_requests);
    config.service(request_capability);
    config.service(list_capability_requests);
    config.service(get_capability_request);
    config.service(approve_capability_request);
    config.service(reject_capability_request);
}

/// What an agent may do: its grants, oldest first.
#[utoipa::path(tag = "capabilities", params(("id" = uuid::Uuid, Path, description = "The agent"), GrantFilter), responses(
    (status = 200, description = "The agent's grants", body = GrantList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/agents/{id}/capabilities")]
async fn list_capabilities(
    authed: AuthedOrAgent<permission::CapabilitiesRead>,
    id: PathId<AgentKind>,
    filter: Query<GrantFilter>,
    service: web::Data<CapabilityService>,
) -> ApiResult<web::Json<GrantList>> {
    let (ended_too, unused) = (filter.0.ended_too()?, filter.0.unused_days()?);
    let mut list = service.grants(&authed.ctx, id.0, ended_too).await?;
    if let Some(days) = unused {
        list.keep_unused(days);
    }
    Ok(web::Json(list))
}

/// Grant a capability to an agent, or deny it one. It counts from the agent's next action on.
#[utoipa::path(tag = "capabilities", params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = NewGrant, responses(
    (status = 201, description = "The grant", body = GrantView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 409, description = "The agent holds the same grant already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/agents/{id}/capabilities")]
async fn grant_capability(
    authed: Authed<permission::CapabilitiesGrant>,
    id: PathId<AgentKind>,
    grant: Body<NewGrant>,
    service: web::Data<CapabilityService>,
) -> ApiResult<HttpResponse> {
    let view = service.grant(&authed.ctx, id.0, grant.0).await?;
    Ok(HttpResponse::Created().json(view))
}

/// Withdraw a grant. The agent's next action is decided without it, on every node.
#[utoipa::path(tag = "capabilities", params(
    ("id" = uuid::Uuid, Path, description = "The agent"),
    ("capability_id" = uuid::Uuid, Path, description = "The grant"),
), responses(
    (status = 204, description = "Withdrawn"),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such grant here, or it was withdrawn before", body = Problem),
), security(("bearer" = [])))]
#[delete("/api/v1/agents/{id}/capabilities/{capability_id}")]
async fn revoke_capability(
    authed: Authed<permission::CapabilitiesGrant>,
    ids: PathIds<AgentKind, GrantKind>,
    service: web::Data<CapabilityService>,
) -> ApiResult<HttpResponse> {
    service.revoke(&authed.ctx, ids.0, ids.1).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What an agent asked for, newest first.
#[utoipa::path(tag = "capabilities",
    params(("id" = uuid::Uuid, Path, description = "The agent"), AgentRequestFilter), responses(
    (status = 200, description = "A page of requests", body = CapabilityRequestList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/agents/{id}/capability-requests")]
async fn list_agent_capability_requests(
    authed: AuthedOrAgent<permission::CapabilitiesRead>,
    id: PathId<AgentKind>,
    filter: Query<AgentRequestFilter>,
    service: web::Data<CapabilityService>,
) -> ApiResult<web::Json<CapabilityRequestList>> {
    Ok(web::Json(
        service.request_page(&authed.ctx, filter.0.of_agent(id.0)).await?,
    ))
}

/// Ask for a capability: the agent itself, or somebody on its behalf. A manager reviews it.
#[utoipa::path(tag = "capabilities", params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = NewCapabilityRequest, responses(
    (status = 201, description = "The request, pending", body = CapabilityRequestView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 409, description = "The same is pending or granted already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[post("/api/v1/agents/{id}/capability-requests")]
async fn request_capability(
    authed: AuthedOrAgent<permission::CapabilitiesRequest>,
    id: PathId<AgentKind>,
    request: Body<NewCapabilityRequest>,
    service: web::Data<CapabilityService>,
) -> ApiResult<HttpResponse> {
    let view = service.request(&authed.ctx, id.0, request.0).await?;
    Ok(HttpResponse::Created().json(view))
}

/// The organisation's capability requests, newest first.
#[utoipa::path(tag = "capabilities", params(CapabilityRequestFilter), responses(
    (status = 200, description = "A page of requests", body = CapabilityRequestList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/capability-requests")]
async fn list_capability_requests(
    authed: Authed<permission::CapabilitiesRead>,
    filter: Query<CapabilityRequestFilter>,
    service: web::Data<CapabilityService>,
) -> ApiResult<web::Json<CapabilityRequestList>> {
    Ok(web::Json(service.request_page(&authed.ctx, filter.0).await?))
}

/// One capability request.
#[utoipa::path(tag = "capabilities", params(("id" = uuid::Uuid, Path, description = "The request")), responses(
    (status = 200, description = "The request", body = CapabilityRequestView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such request here", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/capability-requests/{id}")]
async fn get_capability_request(
    authed: AuthedOrAgent<permission::CapabilitiesRead>,
    id: PathId<CapabilityRequestKind>,
    service: web::Data<CapabilityService>,
) -> ApiResult<web::Json<CapabilityRequestView>> {
    Ok(web::Json(service.find_request(&authed.ctx, id.0).await?))
}

/// Approve exactly what is asked: repeat the request's digest. The grant is made at once.
#[utoipa::path(tag = "capabilities", params(("id" = uuid::Uuid, Path, description = "The request")),
    request_body = Approval, responses(
    (status = 200, description = "The request, approved", body = CapabilityRequestView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such request here", body = Problem),
    (status = 409, description = "Another digest, no longer pending, or granted meanwhile", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/capability-requests/{id}/approve")]
async fn approve_capability_request(
    authed: Authed<permission::CapabilitiesReview>,
    id: PathId<CapabilityRequestKind>,
    approval: Body<Approval>,
    service: web::Data<CapabilityService>,
) -> ApiResult<web::Json<CapabilityRequestView>> {
    Ok(web::Json(service.approve(&authed.ctx, id.0, approval.0).await?))
}

/// Reject a capability request, and say why.
#[utoipa::path(tag = "capabilities", params(("id" = uuid::Uuid, Path, description = "The request")),
    request_body = Rejection, responses(
    (status = 200, description = "The request, rejected", body = CapabilityRequestView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such request here", body = Problem),
    (status = 409, description = "No longer pending", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/capability-requests/{id}/reject")]
async fn reject_capability_request(
    authed: Authed<permission::CapabilitiesReview>,
    id: PathId<CapabilityRequestKind>,
    rejection: Body<Rejection>,
    service: web::Data<CapabilityService>,
) -> ApiResult<web::Json<CapabilityRequestView>> {
    Ok(web::Json(service.reject(&authed.ctx, id.0, rejection.0).await?))
}
