//! The vault over HTTP: extract, call, answer.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, delete, dev::Payload, get, http::StatusCode, post, put, web,
};
use aim_core::Error;
use aim_platform::{ApiError, ApiResult, Authed, Body, Problem, Query, ServiceConfig, SignedAgent};

use super::{
    EDITION_MARKER,
    model::{
        DeleteQuery, FindValue, FoundValue, PutSecret, Rekey, RotateVaultKey, SecretList, SecretQuery,
        SecretView, Unseal, VaultKeyList, VaultStatus, VersionRequest,
    },
    path::SecretPath,
    permission::{SecretsRead, SecretsWrite, VaultKeys, VaultUnseal},
    reads::{ReadReply, ReadRequest},
    service::VaultService,
};

pub(crate) fn register_first(config: &mut ServiceConfig<'_>) {
    config.service(post_vault_read).service(put_secret);
}

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &VaultService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_vault_status)
        .service(post_unseal)
        .service(post_seal)
        .service(post_rekey)
        .service(get_vault_keys)
        .service(post_rotate_key)
        .service(list_secrets)
        .service(get_secret)
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
        // A client that encodes a path as one segment (`encodeURIComponent`) means its slashes all the same. Nothing else of a
        // path is ever encoded: what is has another spelling.
        let text = text.replace("%2F", "/").replace("%2f", "/");
        let mut encoded = request.uri().path().split('%').skip(1);
        let is_encoded = encoded.any(|behind| !(behind.starts_with("2F") || behind.starts_with("2f")));
        let path = if is_encoded {
            Err(Error::field(
                "path",
                "nothing of a path is percent-encoded, but its slashes may be",
            ))
        } else {
            SecretPath::parse(&text).map(Self)
        };
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

/// Open the vault: take the seal off that somebody put on, and give this node the passphrase where there is one. The first
/// passphrase that is given is the one that is set. The seal and the first passphrase are for administrators of the
/// organisation that the installation was set up with.
#[utoipa::path(
    tag = "vault",
    request_body = Unseal,
    responses(
        (status = 200, description = "It is open", body = VaultStatus),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission vault:unseal is missing, or this is for another organisation to do", body = Problem),
        (status = 409, description = "There is nothing to unseal", body = Problem),
        (status = 422, description = "This is not the passphrase, or too weak a first one", body = Problem),
        (status = 503, description = "The root key cannot be had", body = Problem),
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
    let passphrase = body.0.passphrase.map(|passphrase| passphrase.0);
    Ok(web::Json(service.unseal(&authed.ctx, passphrase).await?))
}

/// Seal the vault, on all nodes: keys leave the memory, and nothing is read or written until it is unsealed. For
/// administrators of the organisation that the installation was set up with.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "It is sealed", body = VaultStatus),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission vault:keys is missing, or this is for another organisation to do", body = Problem),
        (status = 409, description = "It is sealed already, or there is nothing to seal", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/seal")]
async fn post_seal(
    authed: Authed<VaultKeys>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VaultStatus>> {
    Ok(web::Json(service.seal(&authed.ctx).await?))
}

/// Replace the root key by a fresh one, of the same provider or of another. For administrators of the organisation that the
/// installation was set up with.
#[utoipa::path(
    tag = "vault",
    request_body = Rekey,
    responses(
        (status = 200, description = "The new root key wraps all keys", body = VaultStatus),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission vault:keys is missing, or this is for another organisation to do", body = Problem),
        (status = 409, description = "Somebody else replaced it at the same time; or a key was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed, or the new root key cannot be had", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/rekey")]
async fn post_rekey(
    authed: Authed<VaultKeys>,
    body: Body<Rekey>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VaultStatus>> {
    let Rekey { provider, passphrase } = body.0;
    let passphrase = passphrase.map(|passphrase| passphrase.0);
    Ok(web::Json(service.rekey(&authed.ctx, provider, passphrase).await?))
}

/// The organisation's keys, and how much still stands under those that were rotated away. No key is shown.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "The keys", body = VaultKeyList),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/keys")]
async fn get_vault_keys(
    authed: Authed<SecretsRead>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VaultKeyList>> {
    Ok(web::Json(service.keys(&authed.ctx).await?))
}

/// Rotate a key of the organisation. The new one is current at once; what stands under the one before is taken over in the
/// background.
#[utoipa::path(
    tag = "vault",
    request_body = RotateVaultKey,
    responses(
        (status = 200, description = "Rotated: the keys", body = VaultKeyList),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission vault:keys is missing", body = Problem),
        (status = 409, description = "There is no key yet, or too many retired ones are still needed", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/keys/rotate")]
async fn post_rotate_key(
    authed: Authed<VaultKeys>,
    body: Body<RotateVaultKey>,
    service: web::Data<VaultService>,
) -> ApiResult<web::Json<VaultKeyList>> {
    Ok(web::Json(service.rotate(&authed.ctx, body.0.purpose).await?))
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
