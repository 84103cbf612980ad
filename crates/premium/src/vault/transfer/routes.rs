//! Routes of import and export.

use actix_web::{HttpResponse, post, web};
use aim_platform::{ApiResult, Authed, Body, Problem, ServiceConfig};

use super::model::{ExportPage, ExportRequest, ImportReply, ImportRequest};
use crate::vault::{
    EDITION_MARKER,
    permission::{SecretsExport, SecretsWrite},
    service::VaultService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>) {
    config.service(post_vault_import).service(post_vault_export);
}

/// Write secrets from elsewhere: all of them in one transaction, or none. With `dry_run` only say what would be written.
#[utoipa::path(
    tag = "vault",
    request_body = ImportRequest,
    responses(
        (status = 200, description = "What was written, or would be", body = ImportReply),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 409, description = "A secret is there already, or has another version than `cas` names; or what is stored was changed outside AIM. Nothing was written", body = Problem),
        (status = 413, description = "The body is larger than 1 MiB", body = Problem),
        (status = 422, description = "A field is not accepted. Nothing was written", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/import")]
async fn post_vault_import(
    authed: Authed<SecretsWrite>,
    body: Body<ImportRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<ImportReply>> {
    Ok(web::Json(service.import(&authed.ctx, body.0).await?))
}

/// Export a page of secrets with their values, sealed to the recipient's key.
#[utoipa::path(
    tag = "vault",
    request_body = ExportRequest,
    responses(
        (status = 200, description = "A page, sealed", body = ExportPage),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:export is missing, or the person signed in more than an hour ago", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed, or the record could not be made durable", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/export")]
async fn post_vault_export(
    authed: Authed<SecretsExport>,
    body: Body<ExportRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let page = service.export(&authed.ctx, body.0).await?;
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(page))
}
