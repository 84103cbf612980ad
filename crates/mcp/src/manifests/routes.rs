//! Manifests over HTTP: extract, call, answer.

use actix_web::{HttpResponse, get, post, web};
use aim_core::{
    Error, PageRequest,
    role::permission::{McpRead, McpWrite},
};
use aim_platform::{ApiResult, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig};

use super::{
    document::Manifest,
    model::{CompareQuery, ManifestList, ManifestQuery, ManifestVersion, RecordedManifest},
    service::ManifestService,
};
use crate::servers::{McpServerId, McpServerKind};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &ManifestService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(list_mcp_manifests)
        .service(record_mcp_manifest)
        .service(get_mcp_manifest);
}

/// A server's manifests, the newest first, without their contents.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server"), ManifestQuery), responses(
    (status = 200, description = "A page of versions", body = ManifestList),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 422, description = "A parameter is out of range", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/mcp-servers/{id}/manifests")]
async fn list_mcp_manifests(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<McpServerKind>,
    query: Query<ManifestQuery>,
    service: web::Data<ManifestService>,
) -> ApiResult<web::Json<ManifestList>> {
    let page = PageRequest::parse(query.0.limit, query.0.offset, None)?;
    Ok(web::Json(service.list(&caller.ctx, id.0, page).await?))
}

/// Reports what a server offers. Only what differs from the version that counts makes a new one. An agent may report on
/// the servers that it is connected to.
#[utoipa::path(tag = "MCP servers", params(("id" = uuid::Uuid, Path, description = "The server")), request_body = Manifest, responses(
    (status = 200, description = "Nothing changed", body = RecordedManifest),
    (status = 201, description = "A new version", body = RecordedManifest),
    (status = 400, description = "The body is no JSON", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:write is missing", body = Problem),
    (status = 404, description = "Unknown, or another's, or the agent is not connected to it", body = Problem),
    (status = 409, description = "The server is revoked", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[post("/api/v1/mcp-servers/{id}/manifests")]
async fn record_mcp_manifest(
    caller: AuthedOrAgent<McpWrite>,
    id: PathId<McpServerKind>,
    body: Body<Manifest>,
    service: web::Data<ManifestService>,
) -> ApiResult<HttpResponse> {
    let recorded = service.record(&caller.ctx, id.0, body.0).await?;
    let mut answer = if recorded.changed {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(answer.json(recorded))
}

/// One version with its contents, and what changed since the one before, or since another one.
#[utoipa::path(tag = "MCP servers", params(
    ("id" = uuid::Uuid, Path, description = "The server"),
    ("version" = i64, Path, description = "The version, from 1", minimum = 1),
    CompareQuery,
), responses(
    (status = 200, description = "The version", body = ManifestVersion),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission mcp:read is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 422, description = "There is no such version to compare with", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/mcp-servers/{id}/manifests/{version}")]
async fn get_mcp_manifest(
    caller: AuthedOrAgent<McpRead>,
    place: web::Path<(String, String)>,
    query: Query<CompareQuery>,
    service: web::Data<ManifestService>,
) -> ApiResult<web::Json<ManifestVersion>> {
    let (id, version) = place.into_inner();
    let server: McpServerId = id.parse().map_err(|_| Error::not_found())?;
    let version: i64 = version.parse().map_err(|_| Error::not_found())?;
    Ok(web::Json(
        service.get(&caller.ctx, server, version, query.0.against).await?,
    ))
}
