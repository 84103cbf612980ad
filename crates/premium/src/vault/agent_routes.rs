//! What agents do with secrets besides reading them, over HTTP.

use actix_web::{HttpResponse, http::StatusCode, post, web};
use aim_platform::{ApiResult, Body, Problem, ServiceConfig, SignedAgent};
use aim_violations::verification::routes::status_of;

use super::{
    EDITION_MARKER,
    lists::{ListReply, ListRequest},
    service::VaultService,
    writes::{WriteReply, WriteRequest},
};

pub(super) fn register(config: &mut ServiceConfig<'_>) {
    config.service(post_vault_write).service(post_vault_list);
}

/// Write a secret as an agent. The agent signs the request (RFC 9421, with content-digest); it is the action `secret:write` on the
/// path, decided as `POST /api/v1/verifications` decides.
#[utoipa::path(
    tag = "vault",
    request_body = WriteRequest,
    responses(
        (status = 201, description = "Approved and written", body = WriteReply),
        (status = 202, description = "Pending: a person must approve it first; then send the same again with decision_id", body = WriteReply),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "No valid signature, or one that was used before", body = Problem),
        (status = 403, description = "Denied; or the caller is no agent that signed", body = WriteReply),
        (status = 404, description = "No such decision of the agent", body = Problem),
        (status = 409, description = "Another version is current than `secret.cas` names; the approval was taken up before, is too old, or would be a denial by now; or what is stored was changed outside AIM", body = Problem),
        (status = 413, description = "The body is larger than 1 MiB", body = Problem),
        (status = 422, description = "A field is not accepted, or the decision is about something else", body = Problem),
        (status = 503, description = "The vault is sealed, or the decision could not be made durable", body = Problem),
    ),
    security(("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/writes")]
async fn post_vault_write(
    agent: SignedAgent,
    body: Body<WriteRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let reply = service
        .write_as_agent(&agent.ctx, agent.nonce, agent.scheme, body.0)
        .await?;
    let status: StatusCode = status_of(&reply.decision);
    Ok(HttpResponse::build(status).json(reply))
}

/// List secrets as an agent: the action `secret:list` on the prefix, and then those that the agent may list or read, without
/// their values.
#[utoipa::path(
    tag = "vault",
    request_body = ListRequest,
    responses(
        (status = 201, description = "Approved: the secrets that the agent may know of", body = ListReply),
        (status = 202, description = "Pending: a person must approve it first", body = ListReply),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "No valid credentials, or a signature that was used before", body = Problem),
        (status = 403, description = "Denied; or the caller is no agent", body = ListReply),
        (status = 404, description = "No such decision of the agent", body = Problem),
        (status = 409, description = "The approval was taken up before, is too old, or would be a denial by now", body = Problem),
        (status = 422, description = "A field is not accepted, or the decision is about something else", body = Problem),
        (status = 503, description = "The decision could not be made durable", body = Problem),
    ),
    security(("signature" = []), ("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/lists")]
async fn post_vault_list(
    agent: SignedAgent,
    body: Body<ListRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let reply = service
        .list_as_agent(&agent.ctx, agent.nonce, agent.scheme, body.0)
        .await?;
    let status: StatusCode = status_of(&reply.decision);
    Ok(HttpResponse::build(status).json(reply))
}
