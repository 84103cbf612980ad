//! Routes about the past.

use actix_web::{get, post, web};
use aim_platform::{ApiResult, Authed, Body, Problem, Query, ServiceConfig};

use super::model::{AtList, AtQuery, DiffQuery, RestoreReply, RestoreRequest, VersionDiff};
use crate::vault::{
    EDITION_MARKER,
    permission::{SecretsRead, SecretsWrite},
    service::VaultService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>) {
    config
        .service(get_vault_diff)
        .service(get_vault_at)
        .service(post_vault_restore);
}

/// What is different between two versions of a secret: kind, fields, end; nothing of the values.
#[utoipa::path(
    tag = "vault",
    params(DiffQuery),
    responses(
        (status = 200, description = "The difference", body = VersionDiff),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 404, description = "No such secret or version", body = Problem),
        (status = 409, description = "What is stored was changed outside AIM", body = Problem),
        (status = 422, description = "The path is not canonical", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/diff")]
async fn get_vault_diff(
    authed: Authed<SecretsRead>,
    query: Query<DiffQuery>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VersionDiff>> {
    Ok(web::Json(service.diff(&authed.ctx, query.0).await?))
}

/// Secrets as they stood at a moment, by their paths.
#[utoipa::path(
    tag = "vault",
    params(AtQuery),
    responses(
        (status = 200, description = "A page of what there was", body = AtList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/at")]
async fn get_vault_at(
    authed: Authed<SecretsRead>,
    query: Query<AtQuery>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<AtList>> {
    Ok(web::Json(service.at(&authed.ctx, query.0).await?))
}

/// Take the secrets of a prefix back to a moment: values of then become new versions, one transaction for each secret. The
/// answer tells what was done and what could not be.
#[utoipa::path(
    tag = "vault",
    request_body = RestoreRequest,
    responses(
        (status = 200, description = "What was done with each secret", body = RestoreReply),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/restore")]
async fn post_vault_restore(
    authed: Authed<SecretsWrite>,
    body: Body<RestoreRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RestoreReply>> {
    Ok(web::Json(service.restore(&authed.ctx, body.0).await?))
}
