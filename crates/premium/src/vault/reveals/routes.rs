//! Reveals over HTTP: extract, call, answer.

use actix_web::{HttpResponse, get, post, put, web};
use aim_platform::{ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig};

use super::model::{
    AnswerReveal, AskReveal, RevealKind, RevealList, RevealQuery, RevealReply, RevealSettings, RevealView,
    SetRevealMode, TakeReveal,
};
use crate::vault::{
    EDITION_MARKER, VaultService,
    permission::{SecretsRead, SecretsReveal, VaultRevealMode},
};

pub(crate) fn register(config: &mut ServiceConfig<'_>) {
    config
        .service(get_reveal_settings)
        .service(put_reveal_settings)
        .service(post_reveal)
        .service(list_reveals)
        .service(get_reveal)
        .service(post_reveal_approve)
        .service(post_reveal_reject)
        .service(post_reveal_take);
}

/// What holds a value must not be kept by anything on its way.
fn unkept(status: actix_web::http::StatusCode, reply: &RevealReply) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header(("cache-control", "no-store"))
        .insert_header(("pragma", "no-cache"));
    if reply.fields.is_some() {
        // A connection that goes on would hold the values in its buffer until the next answer: the client is asked to end it.
        answer.force_close();
    }
    answer.json(reply)
}

/// Whether people may see values.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "The settings", body = RevealSettings),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/reveal-settings")]
async fn get_reveal_settings(
    authed: Authed<SecretsRead>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RevealSettings>> {
    Ok(web::Json(service.reveal_settings(&authed.ctx).await?))
}

/// Set whether people may see values: off, with a reason, or with a second person's approval too.
#[utoipa::path(
    tag = "vault",
    request_body = SetRevealMode,
    responses(
        (status = 200, description = "The settings", body = RevealSettings),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission vault:reveal_mode is missing, the caller is no person, or signed in more than an hour ago", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[put("/api/v1/vault/reveal-settings")]
async fn put_reveal_settings(
    authed: Authed<VaultRevealMode>,
    body: Body<SetRevealMode>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RevealSettings>> {
    Ok(web::Json(service.set_reveal_mode(&authed.ctx, body.0).await?))
}

/// See a value, with a reason. Where the organisation has it so, a second person must approve first.
#[utoipa::path(
    tag = "vault",
    request_body = AskReveal,
    responses(
        (status = 200, description = "The value, this once", body = RevealReply),
        (status = 202, description = "A second person must approve; then take it", body = RevealReply),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:reveal is missing, the caller is no person, or signed in more than an hour ago", body = Problem),
        (status = 404, description = "There is no such secret or version, or it is deleted, destroyed or expired", body = Problem),
        (status = 409, description = "The organisation shows values to nobody; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 429, description = "This person asked too often within an hour", body = Problem),
        (status = 503, description = "The vault is sealed, or the record could not be made durable", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/reveal")]
async fn post_reveal(
    authed: Authed<SecretsReveal>,
    body: Body<AskReveal>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let reply = service.reveal(&authed.ctx, body.0).await?;
    let status = match reply.secret {
        Some(_) => actix_web::http::StatusCode::OK,
        None => actix_web::http::StatusCode::ACCEPTED,
    };
    Ok(unkept(status, &reply))
}

/// Values that were shown to people or asked for, without the values, the newest first.
#[utoipa::path(
    tag = "vault",
    params(RevealQuery),
    responses(
        (status = 200, description = "A page of reveals", body = RevealList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:reveal is missing", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/reveals")]
async fn list_reveals(
    authed: Authed<SecretsReveal>,
    query: Query<RevealQuery>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RevealList>> {
    Ok(web::Json(service.list_reveals(&authed.ctx, query.0).await?))
}

/// A reveal without its value.
#[utoipa::path(
    tag = "vault",
    params(("id" = uuid::Uuid, Path, description = "The reveal")),
    responses(
        (status = 200, description = "The reveal", body = RevealView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:reveal is missing", body = Problem),
        (status = 404, description = "No such reveal", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/reveals/{id}")]
async fn get_reveal(
    authed: Authed<SecretsReveal>,
    id: PathId<RevealKind>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RevealView>> {
    Ok(web::Json(service.get_reveal(&authed.ctx, id.0).await?))
}

/// Approve that somebody else sees a value.
#[utoipa::path(
    tag = "vault",
    params(("id" = uuid::Uuid, Path, description = "The reveal")),
    request_body = AnswerReveal,
    responses(
        (status = 200, description = "Approved: whoever asked can take it within 15 minutes", body = RevealView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:reveal is missing, the caller asked for it, is no person, or signed in more than an hour ago", body = Problem),
        (status = 404, description = "No such reveal", body = Problem),
        (status = 409, description = "It is not pending any more", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/reveals/{id}/approve")]
async fn post_reveal_approve(
    authed: Authed<SecretsReveal>,
    id: PathId<RevealKind>,
    body: Body<AnswerReveal>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RevealView>> {
    Ok(web::Json(
        service.answer_reveal(&authed.ctx, id.0, true, body.0).await?,
    ))
}

/// Refuse that somebody else sees a value.
#[utoipa::path(
    tag = "vault",
    params(("id" = uuid::Uuid, Path, description = "The reveal")),
    request_body = AnswerReveal,
    responses(
        (status = 200, description = "Rejected", body = RevealView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:reveal is missing, the caller asked for it, is no person, or signed in more than an hour ago", body = Problem),
        (status = 404, description = "No such reveal", body = Problem),
        (status = 409, description = "It is not pending any more", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/reveals/{id}/reject")]
async fn post_reveal_reject(
    authed: Authed<SecretsReveal>,
    id: PathId<RevealKind>,
    body: Body<AnswerReveal>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<RevealView>> {
    Ok(web::Json(
        service.answer_reveal(&authed.ctx, id.0, false, body.0).await?,
    ))
}

/// Take an approved value: once, by whoever asked for it.
#[utoipa::path(
    tag = "vault",
    params(("id" = uuid::Uuid, Path, description = "The reveal")),
    request_body = TakeReveal,
    responses(
        (status = 200, description = "The value, this once", body = RevealReply),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:reveal is missing, somebody else asked for it, or the caller signed in more than an hour ago", body = Problem),
        (status = 404, description = "No such reveal; or the version is not there any more", body = Problem),
        (status = 409, description = "It is not approved, was taken before or is too old; or values are shown to nobody by now", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed, or the record could not be made durable", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/reveals/{id}/take")]
async fn post_reveal_take(
    authed: Authed<SecretsReveal>,
    id: PathId<RevealKind>,
    body: Body<TakeReveal>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let reply = service.take_reveal(&authed.ctx, id.0, body.0).await?;
    Ok(unkept(actix_web::http::StatusCode::OK, &reply))
}
