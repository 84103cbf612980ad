//! The vault over HTTP: extract, call, answer.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, delete, dev::Payload, get, http::StatusCode, post, put, web,
};
use aim_core::Error;
use aim_platform::{ApiError, ApiResult, Authed, Body, Problem, Query, ServiceConfig, SignedAgent};

use super::{
    EDITION_MARKER,
    model::{
        DeleteQuery, FindValue, FoundValue, PutSecret, SecretList, SecretQuery, SecretView, Unseal,
        VaultStatus, VersionRequest,
    },
    path::SecretPath,
    permission::{SecretsRead, SecretsWrite, VaultUnseal},
    reads::{ReadReply, ReadRequest},
    service::VaultService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &VaultService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(post_vault_read)
        .service(get_vault_status)
        .service(post_unseal)
        .service(list_secrets)
        .service(get_secret)
        .service(put_secret)
        .service(delete_secret)
        .service(post_undelete)
        .service(post_destroy)
        .service(post_rollback)
        .service(post_find_value);
}

/// The secret's path, which has slashes of its own.
struct PathOfSecret(SecretPath);

impl FromRequest for PathOfSecret {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().get("path").unwrap_or_default();
        // A client that encodes a path as one segment (`encodeURIComponent`) means its slashes all the same. Everything
        // else that stands encoded by now is no character of a path.
        let text = text.replace("%2F", "/").replace("%2f", "/");
        let path = SecretPath::parse(&text).map(Self);
        std::future::ready(path.map_err(ApiError::from))
    }
}

/// Read a secret. The agent signs the request (RFC 9421, with content-digest); it is the action `secret:read` on the path,
/// decided as `POST /api/v1/verifications` decides, and the answer is sealed to the key that was signed.
#[utoipa::path(
    tag = "vault",
    request_body = ReadRequest,
    responses(
        (status = 201, description = "Approved: the secret, sealed", body = ReadReply),
        (status = 202, description = "Pending: a person must approve it first", body = ReadReply),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "No valid signature, or one that was used before", body = Problem),
        (status = 403, description = "Denied, whether there is such a secret or not; or the caller is no agent that signed", body = ReadReply),
        (status = 404, description = "Approved, and there is nothing to be read; or no such decision of the agent", body = Problem),
        (status = 409, description = "The approval was taken up before, is too old, or would be a denial by now; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed, or the decision could not be made durable", body = Problem),
    ),
    security(("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/reads")]
async fn post_vault_read(
    agent: SignedAgent,
    body: Body<ReadRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let reply = service
        .read(&agent.ctx, agent.nonce, agent.scheme, body.0)
        .await?;
    let status: StatusCode = aim_violations::verification::routes::status_of(&reply.decision);
    Ok(HttpResponse::build(status)
        .insert_header(("cache-control", "no-store"))
        .json(reply))
}

/// How the vault stands.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "Its state", body = VaultStatus),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/status")]
async fn get_vault_status(
    authed: Authed<SecretsRead>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VaultStatus>> {
    Ok(web::Json(service.status(&authed.ctx).await?))
}

/// Give the vault of this node its passphrase. The first one that is given is the one that is set.
#[utoipa::path(
    tag = "vault",
    request_body = Unseal,
    responses(
        (status = 200, description = "It is open", body = VaultStatus),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission vault:unseal is missing", body = Problem),
        (status = 409, description = "The root key comes from a file", body = Problem),
        (status = 422, description = "This is not the passphrase, or too weak a first one", body = Problem),
        (status = 503, description = "The database names another source of the root key", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/unseal")]
async fn post_unseal(
    authed: Authed<VaultUnseal>,
    body: Body<Unseal>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VaultStatus>> {
    Ok(web::Json(service.unseal(&authed.ctx, body.0.passphrase.0).await?))
}

/// Secrets by their paths, without their values.
#[utoipa::path(
    tag = "vault",
    params(SecretQuery),
    responses(
        (status = 200, description = "A page of secrets", body = SecretList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/secrets")]
async fn list_secrets(
    authed: Authed<SecretsRead>,
    query: Query<SecretQuery>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<SecretList>> {
    Ok(web::Json(service.list(&authed.ctx, query.0).await?))
}

/// A secret and its versions, without their values.
#[utoipa::path(
    tag = "vault",
    params(("path" = String, Path, description = "The secret's path, with its slashes")),
    responses(
        (status = 200, description = "The secret", body = SecretView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 404, description = "No such secret", body = Problem),
        (status = 409, description = "What is stored was changed outside AIM", body = Problem),
        (status = 422, description = "The path is not canonical", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/secrets/{path:.*}")]
async fn get_secret(
    authed: Authed<SecretsRead>,
    at: PathOfSecret,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<SecretView>> {
    Ok(web::Json(service.get(&authed.ctx, at.0).await?))
}

/// Write a new version of a secret.
#[utoipa::path(
    tag = "vault",
    params(("path" = String, Path, description = "The secret's path, with its slashes")),
    request_body = PutSecret,
    responses(
        (status = 201, description = "Written: the secret without its values", body = SecretView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 409, description = "Another version is current than `cas` names; or what is stored was changed outside AIM", body = Problem),
        (status = 413, description = "The body is larger than 1 MiB", body = Problem),
        (status = 422, description = "The path or a field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[put("/api/v1/vault/secrets/{path:.*}")]
async fn put_secret(
    authed: Authed<SecretsWrite>,
    at: PathOfSecret,
    body: Body<PutSecret>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.put(&authed.ctx, at.0, body.0).await?))
}

/// Delete a version, or all of them. It can be undeleted.
#[utoipa::path(
    tag = "vault",
    params(("path" = String, Path, description = "The secret's path, with its slashes"), DeleteQuery),
    responses(
        (status = 200, description = "Deleted: the secret without its values", body = SecretView),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such secret or version", body = Problem),
        (status = 409, description = "The version is destroyed; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "The path is not canonical", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[delete("/api/v1/vault/secrets/{path:.*}")]
async fn delete_secret(
    authed: Authed<SecretsWrite>,
    at: PathOfSecret,
    query: Query<DeleteQuery>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<SecretView>> {
    let DeleteQuery { version } = query.0;
    Ok(web::Json(service.delete(&authed.ctx, at.0, version).await?))
}

/// Make a deleted version readable again.
#[utoipa::path(
    tag = "vault",
    request_body = VersionRequest,
    responses(
        (status = 200, description = "Undeleted: the secret without its values", body = SecretView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such secret or version", body = Problem),
        (status = 409, description = "The version is destroyed; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/undelete")]
async fn post_undelete(
    authed: Authed<SecretsWrite>,
    body: Body<VersionRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<SecretView>> {
    let path = body.0.check()?;
    Ok(web::Json(
        service.undelete(&authed.ctx, path, body.0.version).await?,
    ))
}

/// Destroy a version: its key is erased, and nothing makes it readable again.
#[utoipa::path(
    tag = "vault",
    request_body = VersionRequest,
    responses(
        (status = 200, description = "Destroyed: the secret without its values", body = SecretView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such secret or version", body = Problem),
        (status = 409, description = "What is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/destroy")]
async fn post_destroy(
    authed: Authed<SecretsWrite>,
    body: Body<VersionRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<SecretView>> {
    let path = body.0.check()?;
    Ok(web::Json(
        service.destroy(&authed.ctx, path, body.0.version).await?,
    ))
}

/// Write the values of an older version as a new one.
#[utoipa::path(
    tag = "vault",
    request_body = VersionRequest,
    responses(
        (status = 201, description = "Written: the secret without its values", body = SecretView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such secret or version", body = Problem),
        (status = 409, description = "The version is not active; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/rollback")]
async fn post_rollback(
    authed: Authed<SecretsWrite>,
    body: Body<VersionRequest>,
    service: web::Data<VaultService>,
) -> ApiResult<HttpResponse> {
    let path = body.0.check()?;
    Ok(HttpResponse::Created().json(service.rollback(&authed.ctx, path, body.0.version).await?))
}

/// Tell whether a value, such as one that leaked, is one of ours, and where it stands. Nothing is decrypted.
#[utoipa::path(
    tag = "vault",
    request_body = FindValue,
    responses(
        (status = 200, description = "Whether, and where", body = FoundValue),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/find-value")]
async fn post_find_value(
    authed: Authed<SecretsWrite>,
    body: Body<FindValue>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<FoundValue>> {
    if body.0.value.0.is_empty() {
        return Err(Error::field("value", "the value is empty").into());
    }
    Ok(web::Json(service.find_value(&authed.ctx, body.0).await?))
}
