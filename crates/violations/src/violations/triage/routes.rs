//! Triage over HTTP: of one violation, and of all repeats of one.

use actix_web::{post, web};
use aim_core::{id::ViolationKind, role::permission};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, ServiceConfig};

use super::{
    model::{
        Act, GroupNote, GroupReopening, GroupResolution, GroupSuppression, Note, Resolution, Suppression, key,
    },
    service::TriageService,
};
use crate::violations::{ViolationView, model::ViolationGroupView};

/// Registers the routes.
pub fn register(config: &mut ServiceConfig<'_>, service: &TriageService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(acknowledge_violation);
    config.service(resolve_violation);
    config.service(suppress_violation);
    config.service(reopen_violation);
    config.service(acknowledge_violation_group);
    config.service(resolve_violation_group);
    config.service(suppress_violation_group);
    config.service(reopen_violation_group);
}

/// Say that somebody has seen this violation.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The violation")), request_body = Note, responses(
    (status = 200, description = "The violation as it is now", body = ViolationView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such violation here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violations/{id}/acknowledge")]
async fn acknowledge_violation(
    authed: Authed<permission::ViolationsTriage>,
    id: PathId<ViolationKind>,
    body: Body<Note>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationView>> {
    let act = Act::acknowledge(body.0.reason.as_deref())?;
    Ok(web::Json(service.act(&authed.ctx, id.0, act).await?))
}

/// Say that this violation has been dealt with, and how.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The violation")), request_body = Resolution, responses(
    (status = 200, description = "The violation as it is now", body = ViolationView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such violation here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violations/{id}/resolve")]
async fn resolve_violation(
    authed: Authed<permission::ViolationsTriage>,
    id: PathId<ViolationKind>,
    body: Body<Resolution>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationView>> {
    let act = Act::resolve(&body.0.reason)?;
    Ok(web::Json(service.act(&authed.ctx, id.0, act).await?))
}

/// Do not show this violation as open until then.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The violation")), request_body = Suppression, responses(
    (status = 200, description = "The violation as it is now", body = ViolationView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such violation here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violations/{id}/suppress")]
async fn suppress_violation(
    authed: Authed<permission::ViolationsTriage>,
    id: PathId<ViolationKind>,
    body: Body<Suppression>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationView>> {
    let act = Act::suppress(&authed.ctx, &body.0.reason, body.0.until)?;
    Ok(web::Json(service.act(&authed.ctx, id.0, act).await?))
}

/// Take back what was said of this violation, and of its repeats as far as it is concerned.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The violation")), request_body = Note, responses(
    (status = 200, description = "The violation as it is now", body = ViolationView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such violation here", body = Problem),
    (status = 409, description = "It is open already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violations/{id}/reopen")]
async fn reopen_violation(
    authed: Authed<permission::ViolationsTriage>,
    id: PathId<ViolationKind>,
    body: Body<Note>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationView>> {
    let act = Act::reopen(body.0.reason.as_deref())?;
    Ok(web::Json(service.act(&authed.ctx, id.0, act).await?))
}

/// Say that somebody has seen these repeats. The next one is open again.
#[utoipa::path(tag = "violations", request_body = GroupNote, responses(
    (status = 200, description = "The repeats as they are now", body = ViolationGroupView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such repeats here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violation-groups/acknowledge")]
async fn acknowledge_violation_group(
    authed: Authed<permission::ViolationsTriage>,
    body: Body<GroupNote>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationGroupView>> {
    let body = body.0;
    let key = key(
        &authed.ctx,
        body.agent_id,
        &body.attempted_capability,
        &body.reason_code,
    )?;
    let act = Act::acknowledge(body.reason.as_deref())?;
    Ok(web::Json(
        service.act_on_group(&authed.ctx, key, act, body.through).await?,
    ))
}

/// Say that these repeats have been dealt with, and how. The next one is open again.
#[utoipa::path(tag = "violations", request_body = GroupResolution, responses(
    (status = 200, description = "The repeats as they are now", body = ViolationGroupView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such repeats here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violation-groups/resolve")]
async fn resolve_violation_group(
    authed: Authed<permission::ViolationsTriage>,
    body: Body<GroupResolution>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationGroupView>> {
    let body = body.0;
    let key = key(
        &authed.ctx,
        body.agent_id,
        &body.attempted_capability,
        &body.reason_code,
    )?;
    let act = Act::resolve(&body.reason)?;
    Ok(web::Json(
        service.act_on_group(&authed.ctx, key, act, body.through).await?,
    ))
}

/// Do not show these repeats, and those to come, as open until then.
#[utoipa::path(tag = "violations", request_body = GroupSuppression, responses(
    (status = 200, description = "The repeats as they are now", body = ViolationGroupView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such repeats here", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violation-groups/suppress")]
async fn suppress_violation_group(
    authed: Authed<permission::ViolationsTriage>,
    body: Body<GroupSuppression>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationGroupView>> {
    let body = body.0;
    let key = key(
        &authed.ctx,
        body.agent_id,
        &body.attempted_capability,
        &body.reason_code,
    )?;
    let act = Act::suppress(&authed.ctx, &body.reason, body.until)?;
    Ok(web::Json(
        service.act_on_group(&authed.ctx, key, act, None).await?,
    ))
}

/// Take back what was said of these repeats and of each of them.
#[utoipa::path(tag = "violations", request_body = GroupReopening, responses(
    (status = 200, description = "The repeats as they are now", body = ViolationGroupView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such repeats here", body = Problem),
    (status = 409, description = "They are open already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/violation-groups/reopen")]
async fn reopen_violation_group(
    authed: Authed<permission::ViolationsTriage>,
    body: Body<GroupReopening>,
    service: web::Data<TriageService>,
) -> ApiResult<web::Json<ViolationGroupView>> {
    let body = body.0;
    let key = key(
        &authed.ctx,
        body.agent_id,
        &body.attempted_capability,
        &body.reason_code,
    )?;
    let act = Act::reopen(body.reason.as_deref())?;
    Ok(web::Json(
        service.act_on_group(&authed.ctx, key, act, None).await?,
    ))
}
