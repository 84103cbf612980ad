//! The access audit over HTTP: extract, call, answer.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, put, web};
use aim_core::Error;
use aim_platform::{ApiResult, Authed, Body, Problem, Query, ServiceConfig};
use aim_violations::export::{self, Format};

use super::{
    EDITION_MARKER,
    honeytokens::{HoneytokenSecrets, PostHoneytokens},
    model::{
        AccessList, AccessQuery, AccessSummary, BroadList, BroadQuery, SummaryQuery, UnusedList, UnusedQuery,
    },
    permission::{HoneytokensWrite, SecretsAudit},
    service::AccessService,
    settings::{Thresholds, ThresholdsView},
};
use crate::vault::path::SecretPath;

pub(super) fn register(config: &mut ServiceConfig<'_>, service: &AccessService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(list_accesses)
        .service(get_access_summary)
        .service(list_unused_secrets)
        .service(list_broad_grants)
        .service(get_access_thresholds)
        .service(put_access_thresholds)
        .service(list_honeytoken_secrets)
        .service(post_honeytoken_secrets)
        .service(delete_honeytoken_secret);
}

/// Who asked for which secret, newest first: when, from where, by which grant, and how it was handed over. At most a second
/// behind. With `Accept: text/csv` (or `format=csv`) the whole filtered set as a file.
#[utoipa::path(
    tag = "vault",
    params(AccessQuery),
    responses(
        (status = 200, description = "A page, or the whole filtered set",
            content((AccessList = "application/json"), (String = "text/csv"))),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:audit is missing; agents never have it", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/access")]
async fn list_accesses(
    authed: Authed<SecretsAudit>,
    query: Query<AccessQuery>,
    request: HttpRequest,
    service: web::Data<AccessService>,
) -> ApiResult<HttpResponse> {
    let (ctx, query) = (authed.ctx, query.0);
    let format = Format::wanted(&request, query.format.as_deref(), &[Format::Json, Format::Csv])?;
    if format == Format::Json {
        return Ok(HttpResponse::Ok().json(service.list(&ctx, &query).await?));
    }
    let (service, filter) = (service.get_ref().clone(), query.parse()?);
    let answer = export::file(format, "secret-accesses", move |before| {
        let (service, ctx, filter) = (service.clone(), ctx.clone(), filter.clone());
        async move { service.piece(&ctx, filter, before).await }
    });
    Ok(answer.await?)
}

/// How often a secret was asked for, or an agent asked for secrets: over time, and by whom or which.
#[utoipa::path(
    tag = "vault",
    params(SummaryQuery),
    responses(
        (status = 200, description = "The numbers", body = AccessSummary),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:audit is missing; agents never have it", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/access/summary")]
async fn get_access_summary(
    authed: Authed<SecretsAudit>,
    query: Query<SummaryQuery>,
    service: web::Data<AccessService>,
) -> ApiResult<web::Json<AccessSummary>> {
    Ok(web::Json(service.summary(&authed.ctx, &query.0).await?))
}

/// Secrets that nobody has read for so many days, by their paths. Honeytokens are left out.
#[utoipa::path(
    tag = "vault",
    params(UnusedQuery),
    responses(
        (status = 200, description = "A page of secrets", body = UnusedList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:audit is missing; agents never have it", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/access/unused")]
async fn list_unused_secrets(
    authed: Authed<SecretsAudit>,
    query: Query<UnusedQuery>,
    service: web::Data<AccessService>,
) -> ApiResult<web::Json<UnusedList>> {
    Ok(web::Json(service.unused(&authed.ctx, &query.0).await?))
}

/// Grants of `secret:read` that cover far more secrets than the agent read, with what would have been enough.
#[utoipa::path(
    tag = "vault",
    params(BroadQuery),
    responses(
        (status = 200, description = "A page of grants", body = BroadList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:audit is missing; agents never have it", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/access/broad-grants")]
async fn list_broad_grants(
    authed: Authed<SecretsAudit>,
    query: Query<BroadQuery>,
    service: web::Data<AccessService>,
) -> ApiResult<web::Json<BroadList>> {
    Ok(web::Json(service.broad(&authed.ctx, &query.0).await?))
}

/// When reads of secrets are out of the ordinary.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "The thresholds", body = ThresholdsView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:audit is missing; agents never have it", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/access/thresholds")]
async fn get_access_thresholds(
    authed: Authed<SecretsAudit>,
    service: web::Data<AccessService>,
) -> ApiResult<web::Json<ThresholdsView>> {
    Ok(web::Json(service.thresholds(&authed.ctx).await?))
}

/// Set the thresholds, from the next access on. What is left out is the usual again.
#[utoipa::path(
    tag = "vault",
    request_body = Thresholds,
    responses(
        (status = 200, description = "The thresholds", body = ThresholdsView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission honeytokens:write is missing; agents never have it", body = Problem),
        (status = 422, description = "A threshold is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[put("/api/v1/vault/access/thresholds")]
async fn put_access_thresholds(
    authed: Authed<HoneytokensWrite>,
    body: Body<Thresholds>,
    service: web::Data<AccessService>,
) -> ApiResult<web::Json<ThresholdsView>> {
    Ok(web::Json(service.put_thresholds(&authed.ctx, body.0).await?))
}

/// The secrets that exist only to be noticed.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "The honeytokens", body = HoneytokenSecrets),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission honeytokens:write is missing; agents never have it", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/honeytokens")]
async fn list_honeytoken_secrets(
    authed: Authed<HoneytokensWrite>,
    service: web::Data<AccessService>,
) -> ApiResult<web::Json<HoneytokenSecrets>> {
    Ok(web::Json(service.honeytokens(&authed.ctx).await?))
}

/// Seed fakes that look real at these paths, or mark the secrets that are there. Whoever touches one is found at once. They are
/// made one after the other: those before one that is refused stay.
#[utoipa::path(
    tag = "vault",
    request_body = PostHoneytokens,
    responses(
        (status = 201, description = "All honeytokens", body = HoneytokenSecrets),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission honeytokens:write is missing; agents never have it", body = Problem),
        (status = 409, description = "At the path is a secret, or none to be marked, or a honeytoken; or there are too many", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/honeytokens")]
async fn post_honeytoken_secrets(
    authed: Authed<HoneytokensWrite>,
    body: Body<PostHoneytokens>,
    service: web::Data<AccessService>,
) -> ApiResult<HttpResponse> {
    let all = service.add_honeytokens(&authed.ctx, body.0).await?;
    Ok(HttpResponse::Created().json(all))
}

/// Make a path ordinary again. The secret stays.
#[utoipa::path(
    tag = "vault",
    params(("path" = String, Path, description = "The path, slashes included")),
    responses(
        (status = 204, description = "It is no honeytoken any more"),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission honeytokens:write is missing; agents never have it", body = Problem),
        (status = 404, description = "No such honeytoken", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[delete("/api/v1/vault/honeytokens/{path:.*}")]
async fn delete_honeytoken_secret(
    authed: Authed<HoneytokensWrite>,
    path: web::Path<String>,
    service: web::Data<AccessService>,
) -> ApiResult<HttpResponse> {
    // As of a secret's path: what stands encoded by now is a slash or no character of a path.
    let text = path.replace("%2F", "/").replace("%2f", "/");
    let path = SecretPath::parse(&text).map_err(|_| Error::not_found())?;
    service.remove_honeytoken(&authed.ctx, &path).await?;
    Ok(HttpResponse::NoContent().finish())
}
