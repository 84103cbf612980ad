//! The registry over HTTP: extract, call, answer.

use actix_web::{HttpResponse, delete, get, post, put, web};
use aim_core::role::permission::{McpRead, McpVerify, McpWrite};
use aim_platform::{ApiResult, Authed, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig};

use super::{
    challenge::VerificationView,
    model::{McpServerKind, NewServer, Reason, ServerList, ServerQuery, ServerView, UpdateServer},
    service::ServerService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &ServerService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(list_mcp_servers)
        .service(create_mcp_server)
        .service(get_mcp_server)
        .service(update_mcp_server)
        .service(delete_mcp_server)
        .service(suspend_mcp_server)
        .service(reactivate_mcp_server)
        .service(revoke_mcp_server)
        .service(verify_mcp_server);
}

/// The organisation's MCP servers.
#[utoipa::path(tag = "MCP servers", params(ServerQuery), responses(
    (status = 200, description = "A page of servers", body = ServerList),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing; agents never have it", body = Problem),
    (status = 422, description = "A parameter is out of range", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/mcp-servers")]
async fn list_mcp_servers(
    authed: Authed<McpRead>,
    query: Query<ServerQuery>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<ServerList>> {
    Ok(web::Json(service.list(&authed.ctx, query.0.filter()?).await?))
}

/// Registers an MCP server. It is pending until it answers a challenge.
#[utoipa::path(tag = "MCP servers", request_body = NewServer, responses(
    (status = 201, description = "It is registered", body = ServerView),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:write is missing; agents never have it", body = Problem),
    (status = 409, description = "The address is registered already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/mcp-servers")]
async fn create_mcp_server(
    authed: Authed<McpWrite>,
    body: Body<NewServer>,
    service: web::Data<ServerService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.register(&authed.ctx, body.0).await?))
}

/// One MCP server. An agent sees those that it is connected to.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), responses(
    (status = 200, description = "The server", body = ServerView),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/mcp-servers/{id}")]
async fn get_mcp_server(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<McpServerKind>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<ServerView>> {
    Ok(web::Json(service.get(&caller.ctx, id.0).await?))
}

/// Changes what is kept about an MCP server. Another address or key takes its verification away.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), request_body = UpdateServer, responses(
    (status = 200, description = "The server", body = ServerView),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:write is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "The address is taken, or the server is revoked", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[put("/api/v1/mcp-servers/{id}")]
async fn update_mcp_server(
    authed: Authed<McpWrite>,
    id: PathId<McpServerKind>,
    body: Body<UpdateServer>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<ServerView>> {
    Ok(web::Json(service.update(&authed.ctx, id.0, body.0).await?))
}

/// Deletes an MCP server: its address is free again, and no agent is connected to it any more.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), responses(
    (status = 204, description = "It is deleted"),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:verify is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("bearer" = [])))]
#[delete("/api/v1/mcp-servers/{id}")]
async fn delete_mcp_server(
    authed: Authed<McpVerify>,
    id: PathId<McpServerKind>,
    service: web::Data<ServerService>,
) -> ApiResult<HttpResponse> {
    service.delete(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Stops an MCP server: it is neither attested nor verified until somebody reactivates it.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), request_body = Reason, responses(
    (status = 200, description = "It is suspended", body = ServerView),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:verify is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "It is suspended or revoked already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/mcp-servers/{id}/suspend")]
async fn suspend_mcp_server(
    authed: Authed<McpVerify>,
    id: PathId<McpServerKind>,
    body: Body<Reason>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<ServerView>> {
    Ok(web::Json(
        service.suspend(&authed.ctx, id.0, &body.0.reason).await?,
    ))
}

/// Lets a suspended MCP server go on. It is pending, and has to be verified anew.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), responses(
    (status = 200, description = "It is pending", body = ServerView),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:verify is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "It is not suspended", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/mcp-servers/{id}/reactivate")]
async fn reactivate_mcp_server(
    authed: Authed<McpVerify>,
    id: PathId<McpServerKind>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<ServerView>> {
    Ok(web::Json(service.reactivate(&authed.ctx, id.0).await?))
}

/// Gives an MCP server up for good. Its address stays taken until the entry is deleted.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), request_body = Reason, responses(
    (status = 200, description = "It is revoked", body = ServerView),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:verify is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "It is revoked already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/mcp-servers/{id}/revoke")]
async fn revoke_mcp_server(
    authed: Authed<McpVerify>,
    id: PathId<McpServerKind>,
    body: Body<Reason>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<ServerView>> {
    Ok(web::Json(
        service.revoke(&authed.ctx, id.0, &body.0.reason).await?,
    ))
}

/// Sends an MCP server a challenge, which it must answer with its registered key
/// (`GET <origin>/.well-known/aim-mcp-challenge?server_id=…&challenge=…`).
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), responses(
    (status = 200, description = "What the challenge came to; `verified` tells", body = VerificationView),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:verify is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "It is suspended or revoked, or has no key or no web address", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/mcp-servers/{id}/verify")]
async fn verify_mcp_server(
    authed: Authed<McpVerify>,
    id: PathId<McpServerKind>,
    service: web::Data<ServerService>,
) -> ApiResult<web::Json<VerificationView>> {
    Ok(web::Json(service.verify(&authed.ctx, id.0).await?))
}
