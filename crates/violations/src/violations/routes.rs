//! Violations over HTTP: pages as JSON, the whole filtered set as CSV, and groups.

use actix_web::{HttpRequest, HttpResponse, get, web};
use aim_core::{
    AgentId, Ctx, Result,
    id::{AgentKind, ViolationKind},
    role::permission,
};
use aim_platform::{ApiResult, Authed, AuthedOrAgent, PathId, Problem, Query, ServiceConfig};

use super::{
    model::{GroupQuery, ViolationGroupList, ViolationList, ViolationQuery, ViolationView},
    service::ViolationService,
};
use crate::{
    export::{self, Format},
    parameters,
};

/// Registers the routes.
pub fn register(config: &mut ServiceConfig<'_>, service: &ViolationService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_agent_violation_groups);
    config.service(list_violation_groups);
    config.service(list_agent_violations);
    config.service(list_violations);
    config.service(get_violation);
}

/// What an agent tried and was denied, newest first; with `Accept: text/csv` or `format=csv` the whole
/// filtered set as a file.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The agent"), ViolationQuery), responses(
    (status = 200, description = "A page, or the whole filtered set as CSV",
        content((ViolationList = "application/json"), (String = "text/csv"))),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/agents/{id}/violations")]
async fn list_agent_violations(
    authed: AuthedOrAgent<permission::ViolationsRead>,
    id: PathId<AgentKind>,
    query: Query<ViolationQuery>,
    request: HttpRequest,
    service: web::Data<ViolationService>,
) -> ApiResult<HttpResponse> {
    Ok(answer(&service, authed.ctx, Some(id.0), query.0, &request).await?)
}

/// What the organisation's agents tried and were denied, newest first; with `Accept: text/csv` or
/// `format=csv` the whole filtered set as a file.
#[utoipa::path(tag = "violations", params(ViolationQuery), responses(
    (status = 200, description = "A page, or the whole filtered set as CSV",
        content((ViolationList = "application/json"), (String = "text/csv"))),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/violations")]
async fn list_violations(
    authed: Authed<permission::ViolationsRead>,
    query: Query<ViolationQuery>,
    request: HttpRequest,
    service: web::Data<ViolationService>,
) -> ApiResult<HttpResponse> {
    Ok(answer(&service, authed.ctx, None, query.0, &request).await?)
}

async fn answer(
    service: &ViolationService,
    ctx: Ctx,
    agent: Option<AgentId>,
    query: ViolationQuery,
    request: &HttpRequest,
) -> Result<HttpResponse> {
    let filter = query.filter(agent, ctx.now)?;
    match Format::wanted(request, query.format.as_deref(), &[Format::Json, Format::Csv])? {
        Format::Csv => {
            let service = service.clone();
            export::file(Format::Csv, "violations", move |before| {
                let (service, ctx, filter) = (service.clone(), ctx.clone(), filter.clone());
                async move {
                    let (rows, last) = service.piece(&ctx, filter, before).await?;
                    let records = rows.iter().map(ViolationView::csv_record);
                    let mut text = if before.is_none() {
                        export::csv([ViolationView::CSV_HEADER])?
                    } else {
                        Vec::new()
                    };
                    text.append(&mut export::csv(records)?);
                    Ok((text, last))
                }
            })
            .await
        }
        _ => {
            let page = parameters::page(
                query.limit.as_deref(),
                query.offset.as_deref(),
                query.cursor.as_deref(),
            )?;
            Ok(HttpResponse::Ok().json(service.list(&ctx, filter, page).await?))
        }
    }
}

/// An agent's violations with repeats put together: same capability, same primary reason.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The agent"), GroupQuery), responses(
    (status = 200, description = "A page of groups", body = ViolationGroupList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such agent here", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/agents/{id}/violations/groups")]
async fn list_agent_violation_groups(
    authed: AuthedOrAgent<permission::ViolationsRead>,
    id: PathId<AgentKind>,
    query: Query<GroupQuery>,
    service: web::Data<ViolationService>,
) -> ApiResult<web::Json<ViolationGroupList>> {
    Ok(web::Json(
        groups(&service, &authed.ctx, Some(id.0), &query.0).await?,
    ))
}

/// The organisation's violations with repeats put together: same agent, same capability, same primary
/// reason.
#[utoipa::path(tag = "violations", params(GroupQuery), responses(
    (status = 200, description = "A page of groups", body = ViolationGroupList),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/violations/groups")]
async fn list_violation_groups(
    authed: Authed<permission::ViolationsRead>,
    query: Query<GroupQuery>,
    service: web::Data<ViolationService>,
) -> ApiResult<web::Json<ViolationGroupList>> {
    Ok(web::Json(groups(&service, &authed.ctx, None, &query.0).await?))
}

async fn groups(
    service: &ViolationService,
    ctx: &Ctx,
    agent: Option<AgentId>,
    query: &GroupQuery,
) -> Result<ViolationGroupList> {
    let page = parameters::page(
        query.limit.as_deref(),
        query.offset.as_deref(),
        query.cursor.as_deref(),
    )?;
    service.groups(ctx, query.filter(agent, ctx.now)?, page).await
}

/// One violation with its evidence.
#[utoipa::path(tag = "violations", params(("id" = uuid::Uuid, Path, description = "The violation")), responses(
    (status = 200, description = "The violation", body = ViolationView),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "No such violation here", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/violations/{id}")]
async fn get_violation(
    authed: Authed<permission::ViolationsRead>,
    id: PathId<ViolationKind>,
    service: web::Data<ViolationService>,
) -> ApiResult<web::Json<ViolationView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}
