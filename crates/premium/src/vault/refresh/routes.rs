//! Refreshing by hand.

use actix_web::{post, web};
use aim_platform::{ApiResult, Authed, Body, Problem, ServiceConfig};

use super::model::{RefreshReply, RefreshRequest};
use crate::vault::{EDITION_MARKER, permission::SecretsWrite, service::VaultService};

pub(crate) fn register(config: &mut ServiceConfig<'_>) {
    config.service(post_vault_refresh);
}

/// Refresh the access token of an OAuth secret now. Answers what came of it: a new version, or why there is none.
#[utoipa::path(
    tag = "vault",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "What came of it", body = RefreshReply),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such secret", body = Problem),
        (status = 409, description = "It is no OAuth secret that can be refreshed, or is being refreshed; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "The path is not canonical", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/refresh")]
async fn post_vault_refresh(
    authed: Authed<SecretsWrite>,
    body: Body<RefreshRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RefreshReply>> {
    Ok(web::Json(service.refresh(&authed.ctx, body.0).await?))
}
