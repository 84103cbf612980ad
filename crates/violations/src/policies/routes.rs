//! Policies over HTTP.

use actix_web::{HttpResponse, delete, get, post, web};
use aim_core::{id::PolicyKind, role::permission};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig};

use super::{
    model::{NewPolicy, PolicyFilter, PolicyList, PolicyView},
    service::PolicyService,
};

/// Registers the routes.
pub fn register(config: &mut ServiceConfig<'_>, service: &PolicyService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_policies);
    config.service(create_policy);
    config.service(delete_policy);
}

/// The organisation's policies, newest first.
#[utoipa::path(tag = "policies", params(PolicyFilter), responses(
    (status = 200, description = "A page of policies", body = PolicyList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/policies")]
async fn list_policies(
    authed: Authed<permission::PoliciesRead>,
    filter: Query<PolicyFilter>,
    service: web::Data<PolicyService>,
) -> ApiResult<web::Json<PolicyList>> {
    Ok(web::Json(service.list(&authed.ctx, filter.0).await?))
}

/// Make a policy. It counts for every agent from its next action on.
#[utoipa::path(tag = "policies", request_body = NewPolicy, responses(
    (status = 201, description = "The policy", body = PolicyView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 409, description = "The name is taken, or there are too many policies", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/policies")]
async fn create_policy(
    authed: Authed<permission::PoliciesWrite>,
    policy: Body<NewPolicy>,
    service: web::Data<PolicyService>,
) -> ApiResult<HttpResponse> {
    let view = service.create(&authed.ctx, policy.0).await?;
    Ok(HttpResponse::Created().json(view))
}

/// Remove a policy. The next action is decided without it.
#[utoipa::path(tag = "policies", params(("id" = uuid::Uuid, Path, description = "The policy")), responses(
    (status = 204, description = "Removed"),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such policy here", body = Problem),
), security(("bearer" = [])))]
#[delete("/api/v1/policies/{id}")]
async fn delete_policy(
    authed: Authed<permission::PoliciesWrite>,
    id: PathId<PolicyKind>,
    service: web::Data<PolicyService>,
) -> ApiResult<HttpResponse> {
    service.delete(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
