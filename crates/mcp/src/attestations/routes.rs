//! Attestations over HTTP: extract, call, answer.

use actix_web::{HttpResponse, get, post, web};
use aim_core::role::permission::McpRead;
use aim_platform::{ApiResult, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig, SignedAgent};

use super::{
    model::{AttestationList, Attested, NewAttestation, PageQuery},
    service::AttestationService,
};
use crate::servers::McpServerKind;

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &AttestationService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(list_mcp_attestations)
        .service(attest_mcp_server);
}

/// A server's attestations of all versions, the newest first: each agent's last word on each version.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server"), PageQuery), responses(
    (status = 200, description = "A page of attestations", body = AttestationList),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 422, description = "A parameter is out of range", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/mcp-servers/{id}/attestations")]
async fn list_mcp_attestations(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<McpServerKind>,
    query: Query<PageQuery>,
    service: web::Data<AttestationService>,
) -> ApiResult<web::Json<AttestationList>> {
    Ok(web::Json(service.list(&caller.ctx, id.0, query.0.page()?).await?))
}

/// An agent says, with a signed request, that a server that it is connected to offers just what the present manifest says.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), request_body = NewAttestation, responses(
    (status = 201, description = "It counts for 30 days, as long as the manifest stays", body = Attested),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The caller is no agent with a key of its own, or the agent is suspended", body = Problem),
    (status = 404, description = "Unknown, or another's, or the agent is not connected to it", body = Problem),
    (status = 409, description = "Another manifest counts, or the server is suspended or revoked", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("signature" = [])))]
#[post("/api/v1/mcp-servers/{id}/attestations")]
async fn attest_mcp_server(
    agent: SignedAgent,
    id: PathId<McpServerKind>,
    body: Body<NewAttestation>,
    service: web::Data<AttestationService>,
) -> ApiResult<HttpResponse> {
    let SignedAgent { ctx, nonce, scheme } = agent;
    let attested = service.attest(&ctx, id.0, body.0, nonce, scheme).await?;
    Ok(HttpResponse::Created().json(attested))
}
