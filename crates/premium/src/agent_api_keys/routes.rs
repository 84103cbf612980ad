//! Agent-scoped API keys over HTTP: extract, call, answer.

use actix_web::{HttpResponse, delete, get, post, web};
use aim_core::{PageRequest, id::AgentKind};
use aim_platform::{ApiResult, Authed, Body, PathId, PathIds, Problem, Query, ServiceConfig};

use super::{
    listing::{OrganizationKeyList, OrganizationKeysQuery},
    model::{AgentApiKeyKind, AgentApiKeyList, AgentApiKeyQuery, CreatedAgentApiKey, NewAgentApiKey},
    permission::{AgentApiKeysRead, AgentApiKeysWrite},
    recognition::{RecogniseToken, Recognition},
    rotation::{RotateAgentApiKey, RotatedAgentApiKey},
    service::AgentApiKeyService,
};
use crate::EDITION_MARKER;

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &AgentApiKeyService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_agent_api_keys)
        .service(post_agent_api_key)
        .service(delete_agent_api_key)
        .service(post_agent_api_key_rotation)
        .service(get_all_agent_api_keys)
        .service(post_recognition);
}

/// An agent's scoped API keys, the newest first; revoked and expired ones included.
#[utoipa::path(
    tag = "agent API keys",
    params(("id" = uuid::Uuid, Path, description = "The agent"), AgentApiKeyQuery),
    responses(
        (status = 200, description = "The keys", body = AgentApiKeyList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission agent_api_keys:read is missing; agents never have it", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/agents/{id}/api-keys")]
async fn get_agent_api_keys(
    authed: Authed<AgentApiKeysRead>,
    id: PathId<AgentKind>,
    query: Query<AgentApiKeyQuery>,
    service: web::Data<AgentApiKeyService>,
) -> ApiResult<web::Json<AgentApiKeyList>> {
    let AgentApiKeyQuery {
        limit,
        offset,
        cursor,
    } = query.0;
    let page = PageRequest::parse(limit, offset, cursor.as_deref())?;
    Ok(web::Json(service.list(&authed.ctx, id.0, page).await?))
}

/// Makes a key that acts for this agent with a part of its capabilities. The key is shown this once.
#[utoipa::path(
    tag = "agent API keys",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = NewAgentApiKey,
    responses(
        (status = 201, description = "The key", body = CreatedAgentApiKey),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission agent_api_keys:write is missing; agents never have it", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 409, description = "The agent is revoked", body = Problem),
        (status = 422, description = "A field is not accepted, or the agent lacks one of the capabilities", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/agents/{id}/api-keys")]
async fn post_agent_api_key(
    authed: Authed<AgentApiKeysWrite>,
    id: PathId<AgentKind>,
    body: Body<NewAgentApiKey>,
    service: web::Data<AgentApiKeyService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.create(&authed.ctx, id.0, body.0).await?))
}

/// Revokes a key: the next request with it is refused.
#[utoipa::path(
    tag = "agent API keys",
    params(
        ("id" = uuid::Uuid, Path, description = "The agent"),
        ("key_id" = uuid::Uuid, Path, description = "The key"),
    ),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission agent_api_keys:write is missing; agents never have it", body = Problem),
        (status = 404, description = "The agent has no such key", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[delete("/api/v1/agents/{id}/api-keys/{key_id}")]
async fn delete_agent_api_key(
    authed: Authed<AgentApiKeysWrite>,
    ids: PathIds<AgentKind, AgentApiKeyKind>,
    service: web::Data<AgentApiKeyService>,
) -> ApiResult<HttpResponse> {
    service.revoke(&authed.ctx, ids.0, ids.1).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Replaces a key: a new token with the same limits, shown this once. The old one is accepted until the end of the overlap.
#[utoipa::path(
    tag = "agent API keys",
    params(
        ("id" = uuid::Uuid, Path, description = "The agent"),
        ("key_id" = uuid::Uuid, Path, description = "The key"),
    ),
    request_body = RotateAgentApiKey,
    responses(
        (status = 201, description = "The new key, and until when the old one is accepted", body = RotatedAgentApiKey),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission agent_api_keys:write is missing; agents never have it", body = Problem),
        (status = 404, description = "The agent has no such key", body = Problem),
        (status = 409, description = "The key is revoked, expired or replaced already; or the agent is revoked", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/agents/{id}/api-keys/{key_id}/rotate")]
async fn post_agent_api_key_rotation(
    authed: Authed<AgentApiKeysWrite>,
    ids: PathIds<AgentKind, AgentApiKeyKind>,
    body: Body<RotateAgentApiKey>,
    service: web::Data<AgentApiKeyService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.rotate(&authed.ctx, ids.0, ids.1, body.0).await?))
}

/// The scoped API keys of all agents, the newest first; revoked and expired ones included.
#[utoipa::path(
    tag = "agent API keys",
    params(OrganizationKeysQuery),
    responses(
        (status = 200, description = "The keys", body = OrganizationKeyList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission agent_api_keys:read is missing; agents never have it", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/agent-api-keys")]
async fn get_all_agent_api_keys(
    authed: Authed<AgentApiKeysRead>,
    query: Query<OrganizationKeysQuery>,
    service: web::Data<AgentApiKeyService>,
) -> ApiResult<web::Json<OrganizationKeyList>> {
    Ok(web::Json(service.list_all(&authed.ctx, query.0).await?))
}

/// Tells whether a text that was found somewhere is a key of AIM's, and if it is an agent-scoped one of this organisation,
/// whose and what it is worth. The question is recorded, the text is not.
#[utoipa::path(
    tag = "agent API keys",
    request_body = RecogniseToken,
    responses(
        (status = 200, description = "What it is", body = Recognition),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission agent_api_keys:write is missing; agents never have it", body = Problem),
        (status = 422, description = "The text is empty or too long", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/agent-api-keys/recognise")]
async fn post_recognition(
    authed: Authed<AgentApiKeysWrite>,
    body: Body<RecogniseToken>,
    service: web::Data<AgentApiKeyService>,
) -> ApiResult<web::Json<Recognition>> {
    Ok(web::Json(service.recognise(&authed.ctx, body.0).await?))
}
