//! Connections over HTTP: extract, call, answer.

use actix_web::{delete, get, put, web};
use aim_core::{
    id::AgentKind,
    role::permission::{McpRead, McpWrite},
};
use aim_platform::{ApiResult, Authed, AuthedOrAgent, Body, PathId, PathIds, Problem, Query, ServiceConfig};

use super::{
    model::{Added, AgentServers, ConnectedAgents, Removed, ServerIds},
    service::ConnectionService,
};
use crate::{attestations::model::PageQuery, servers::McpServerKind};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &ConnectionService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(list_mcp_server_agents)
        .service(list_agent_mcp_servers)
        .service(connect_agent_mcp_servers)
        // Before the one whose last segment is an id.
        .service(disconnect_agent_mcp_servers)
        .service(disconnect_agent_mcp_server);
}

/// The agents that are connected to an MCP server.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server"), PageQuery), responses(
    (status = 200, description = "A page of agents", body = ConnectedAgents),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing; agents never have it", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 422, description = "A parameter is out of range", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/mcp-servers/{id}/agents")]
async fn list_mcp_server_agents(
    authed: Authed<McpRead>,
    id: PathId<McpServerKind>,
    query: Query<PageQuery>,
    service: web::Data<ConnectionService>,
) -> ApiResult<web::Json<ConnectedAgents>> {
    Ok(web::Json(
        service.of_server(&authed.ctx, id.0, query.0.page()?).await?,
    ))
}

/// The MCP servers that an agent is connected to, by name.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The agent")), responses(
    (status = 200, description = "All of them", body = AgentServers),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/agents/{id}/mcp-servers")]
async fn list_agent_mcp_servers(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<AgentKind>,
    service: web::Data<ConnectionService>,
) -> ApiResult<web::Json<AgentServers>> {
    Ok(web::Json(service.of_agent(&caller.ctx, id.0).await?))
}

/// Connects an agent to MCP servers: to all that are named, or to none.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The agent")), request_body = ServerIds, responses(
    (status = 200, description = "What the agent talks to now", body = Added),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:write is missing", body = Problem),
    (status = 404, description = "No such agent", body = Problem),
    (status = 422, description = "A server is unknown, or there are too many", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[put("/api/v1/agents/{id}/mcp-servers")]
async fn connect_agent_mcp_servers(
    caller: AuthedOrAgent<McpWrite>,
    id: PathId<AgentKind>,
    body: Body<ServerIds>,
    service: web::Data<ConnectionService>,
) -> ApiResult<web::Json<Added>> {
    Ok(web::Json(service.connect(&caller.ctx, id.0, body.0).await?))
}

/// Removes an agent's connections to MCP servers: all that are named, or none.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The agent")), request_body = ServerIds, responses(
    (status = 200, description = "What the agent talks to now", body = Removed),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:write is missing; agents never have it", body = Problem),
    (status = 404, description = "No such agent", body = Problem),
    (status = 422, description = "The agent is not connected to one of them", body = Problem),
), security(("bearer" = [])))]
#[delete("/api/v1/agents/{id}/mcp-servers/bulk")]
async fn disconnect_agent_mcp_servers(
    authed: Authed<McpWrite>,
    id: PathId<AgentKind>,
    body: Body<ServerIds>,
    service: web::Data<ConnectionService>,
) -> ApiResult<web::Json<Removed>> {
    Ok(web::Json(service.disconnect(&authed.ctx, id.0, body.0).await?))
}

/// Removes one of an agent's connections.
#[utoipa::path(tag = "MCP servers", params(
    ("id" = uuid::Uuid, Path, description = "The agent"),
    ("mcp_id" = uuid::Uuid, Path, description = "The server"),
), responses(
    (status = 200, description = "What the agent talks to now", body = Removed),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:write is missing; agents never have it", body = Problem),
    (status = 404, description = "No such agent, or it is not connected to such a server", body = Problem),
), security(("bearer" = [])))]
#[delete("/api/v1/agents/{id}/mcp-servers/{mcp_id}")]
async fn disconnect_agent_mcp_server(
    authed: Authed<McpWrite>,
    ids: PathIds<AgentKind, McpServerKind>,
    service: web::Data<ConnectionService>,
) -> ApiResult<web::Json<Removed>> {
    Ok(web::Json(
        service.disconnect_one(&authed.ctx, ids.0, ids.1).await?,
    ))
}
