//! The key vault over HTTP: extract, call, answer.

use actix_web::{HttpResponse, get, post, web};
use aim_core::{PageRequest, id::AgentKind, role::permission};
use aim_platform::{ApiResult, Authed, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig};

use crate::{
    challenge::ChallengeView,
    model::{
        KeyFormats, KeyHistory, KeyVaultView, KeyWarnings, ListQuery, ReplaceKey, RevokeKeys, RotateKey,
    },
    service::KeyVaultService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &KeyVaultService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_key_vault)
        .service(get_key_formats)
        .service(get_key_history)
        .service(post_key_challenge)
        .service(post_key_rotation)
        .service(post_key_replacement)
        .service(post_key_revocation)
        .service(get_key_warnings);
}

/// An agent's key as it stands. An agent sees its own only.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "The key", body = KeyVaultView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/agents/{id}/key-vault")]
async fn get_key_vault(
    authed: AuthedOrAgent<permission::KeysRead>,
    id: PathId<AgentKind>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyVaultView>> {
    Ok(web::Json(service.view(&authed.ctx, id.0).await?))
}

/// An agent's current public key in the forms that other systems ask for: SPKI and raw base64, PEM, JWK,
/// multibase.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "The key in each form", body = KeyFormats),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 409, description = "The agent has no current key", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/agents/{id}/key-vault/formats")]
async fn get_key_formats(
    authed: AuthedOrAgent<permission::KeysRead>,
    id: PathId<AgentKind>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyFormats>> {
    Ok(web::Json(service.formats(&authed.ctx, id.0).await?))
}

/// Every key an agent ever had, the latest first.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "The keys", body = KeyHistory),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/agents/{id}/key-vault/history")]
async fn get_key_history(
    authed: AuthedOrAgent<permission::KeysRead>,
    id: PathId<AgentKind>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyHistory>> {
    Ok(web::Json(service.history(&authed.ctx, id.0).await?))
}

/// A challenge to be signed for a rotation or a replacement; good for one use within five minutes.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    responses(
        (status = 201, description = "The challenge", body = ChallengeView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:rotate is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/agents/{id}/key-vault/challenges")]
async fn post_key_challenge(
    authed: AuthedOrAgent<permission::KeysRotate>,
    id: PathId<AgentKind>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.challenge(&authed.ctx, id.0).await?))
}

/// Rotates the key: the new one proves possession, the current one signs it in. The previous key works
/// until its grace period ends.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = RotateKey,
    responses(
        (status = 200, description = "The key vault after the rotation", body = KeyVaultView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:rotate is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 409, description = "The key was registered before, was changed meanwhile, or cannot be rotated now", body = Problem),
        (status = 422, description = "A field, the challenge or a signature is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/agents/{id}/key-vault/rotate")]
async fn post_key_rotation(
    authed: AuthedOrAgent<permission::KeysRotate>,
    id: PathId<AgentKind>,
    body: Body<RotateKey>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyVaultView>> {
    Ok(web::Json(service.rotate(&authed.ctx, id.0, body.0).await?))
}

/// Installs a new key without the old one's signature, and revokes all earlier keys at once.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = ReplaceKey,
    responses(
        (status = 200, description = "The key vault after the replacement", body = KeyVaultView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:revoke is missing; agents never have it", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 409, description = "The key was registered before, or the agent is revoked", body = Problem),
        (status = 422, description = "A field, the challenge or the proof is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/agents/{id}/key-vault/replace")]
async fn post_key_replacement(
    authed: Authed<permission::KeysRevoke>,
    id: PathId<AgentKind>,
    body: Body<ReplaceKey>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyVaultView>> {
    Ok(web::Json(service.replace(&authed.ctx, id.0, body.0).await?))
}

/// Revokes one key or all of them in an emergency: the next request signed by them is refused.
#[utoipa::path(
    tag = "key vault",
    params(("id" = uuid::Uuid, Path, description = "The agent")),
    request_body = RevokeKeys,
    responses(
        (status = 200, description = "The key vault after the revocation", body = KeyVaultView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:revoke is missing; agents never have it", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 409, description = "Nothing is left to revoke", body = Problem),
        (status = 422, description = "A field is not accepted, or the agent has no such key", body = Problem),
    ),
    security(("bearer" = []))
)]
#[post("/api/v1/agents/{id}/key-vault/revoke")]
async fn post_key_revocation(
    authed: Authed<permission::KeysRevoke>,
    id: PathId<AgentKind>,
    body: Body<RevokeKeys>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyVaultView>> {
    Ok(web::Json(service.revoke(&authed.ctx, id.0, body.0).await?))
}

/// Current keys that expire soon, the most urgent first: warnings are given 30, 14, 7 and 1 days ahead.
#[utoipa::path(
    tag = "key vault",
    params(ListQuery),
    responses(
        (status = 200, description = "The warnings", body = KeyWarnings),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission keys:read is missing", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/key-warnings")]
async fn get_key_warnings(
    authed: Authed<permission::KeysRead>,
    query: Query<ListQuery>,
    service: web::Data<KeyVaultService>,
) -> ApiResult<web::Json<KeyWarnings>> {
    let ListQuery {
        limit,
        offset,
        cursor,
    } = query.0;
    let page = PageRequest::parse(limit, offset, cursor.as_deref())?;
    Ok(web::Json(service.warnings(&authed.ctx, page).await?))
}
