//! The SDK's secrets calls over HTTP: extract, call, answer.

use actix_web::{HttpResponse, delete, get, http::StatusCode, post, web};
use aim_platform::{
    ApiResult, Authed, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig, SignedAgent,
};

use super::{
    EDITION_MARKER,
    model::{
        AuditEntries, AuditQuery, DeletedNamespace, NamespaceKind, NamespaceList, NamespaceQuery,
        NamespaceView, NewCredential, NewNamespace, ResolveReply, ResolveRequest, StoredCredential,
    },
    service::SdkSecretsService,
};
use crate::vault::permission::{SecretsRead, SecretsWrite};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &SdkSecretsService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(post_resolve)
        .service(post_namespace)
        .service(list_namespaces)
        .service(get_namespace)
        .service(delete_namespace)
        .service(post_credential)
        .service(post_rotate)
        .service(get_secrets_audit);
}

/// Resolve a credential, as the published SDK does: the action `secret:read` on `sdk/{agent}/{namespace}`.
#[utoipa::path(
    tag = "compat",
    request_body = ResolveRequest,
    responses(
        (status = 200, description = "Approved: the credential, sealed to the registered key", body = ResolveReply),
        (status = 202, description = "Pending: a person must approve it first", body = ResolveReply),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "No valid signature, a stale nonce, or one that was used before", body = Problem),
        (status = 403, description = "Denied; or the namespace is not for this operation; or the caller is no agent that signed", body = ResolveReply),
        (status = 404, description = "Approved, and there is no credential", body = Problem),
        (status = 409, description = "What is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed, or the decision could not be made durable", body = Problem),
    ),
    security(("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/secrets/resolve")]
async fn post_resolve(
    agent: SignedAgent,
    body: Body<ResolveRequest>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<HttpResponse> {
    // The nonce inside of the body is claimed with the decision, in place of the signature that covers it.
    let reply = service.resolve(&agent.ctx, agent.scheme, body.0).await?;
    let status = match reply.decision.status.as_str() {
        "approved" => StatusCode::OK,
        "pending" => StatusCode::ACCEPTED,
        _ => StatusCode::FORBIDDEN,
    };
    Ok(HttpResponse::build(status)
        .insert_header(("cache-control", "no-store"))
        .json(reply))
}

/// Make a namespace for an agent. It grants nothing.
#[utoipa::path(
    tag = "compat",
    request_body = NewNamespace,
    responses(
        (status = 201, description = "Made", body = NamespaceView),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 409, description = "The agent has one of this name, or too many", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/secrets/namespaces")]
async fn post_namespace(
    authed: Authed<SecretsWrite>,
    body: Body<NewNamespace>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.create(&authed.ctx, body.0).await?))
}

/// Namespaces: an agent sees its own, people see their organisation's.
#[utoipa::path(
    tag = "compat",
    params(NamespaceQuery),
    responses(
        (status = 200, description = "The namespaces", body = NamespaceList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 404, description = "An agent named another", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = []), ("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/secrets/namespaces")]
async fn list_namespaces(
    caller: AuthedOrAgent<SecretsRead>,
    query: Query<NamespaceQuery>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<web::Json<NamespaceList>> {
    Ok(web::Json(service.list(&caller.ctx, query.0).await?))
}

/// One namespace.
#[utoipa::path(
    tag = "compat",
    params(("id" = String, Path, description = "The namespace")),
    responses(
        (status = 200, description = "The namespace", body = NamespaceView),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 404, description = "Unknown, or another's", body = Problem),
    ),
    security(("bearer" = []), ("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/secrets/namespaces/{id}")]
async fn get_namespace(
    caller: AuthedOrAgent<SecretsRead>,
    id: PathId<NamespaceKind>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<web::Json<NamespaceView>> {
    Ok(web::Json(service.get(&caller.ctx, id.0).await?))
}

/// Remove a namespace. The versions of its credential are deleted; the vault can undelete them.
#[utoipa::path(
    tag = "compat",
    params(("id" = String, Path, description = "The namespace")),
    responses(
        (status = 200, description = "Removed", body = DeletedNamespace),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such namespace", body = Problem),
        (status = 409, description = "What is stored was changed outside AIM", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[delete("/api/v1/secrets/namespaces/{id}")]
async fn delete_namespace(
    authed: Authed<SecretsWrite>,
    id: PathId<NamespaceKind>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<web::Json<DeletedNamespace>> {
    service.delete(&authed.ctx, id.0).await?;
    Ok(web::Json(DeletedNamespace {
        id: id.0,
        deleted: true,
    }))
}

/// Store the credential of a namespace: a new version of the secret at its path.
#[utoipa::path(
    tag = "compat",
    params(("id" = String, Path, description = "The namespace")),
    request_body = NewCredential,
    responses(
        (status = 201, description = "Stored", body = StoredCredential),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such namespace", body = Problem),
        (status = 409, description = "What is stored was changed outside AIM", body = Problem),
        (status = 413, description = "The body is larger than 1 MiB", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/secrets/namespaces/{id}/credentials")]
async fn post_credential(
    authed: Authed<SecretsWrite>,
    id: PathId<NamespaceKind>,
    body: Body<NewCredential>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<HttpResponse> {
    let stored = service.keep(&authed.ctx, id.0, body.0, false).await?;
    Ok(HttpResponse::Created().json(stored))
}

/// Replace the credential of a namespace by a new version.
#[utoipa::path(
    tag = "compat",
    params(("id" = String, Path, description = "The namespace")),
    request_body = NewCredential,
    responses(
        (status = 201, description = "Stored", body = StoredCredential),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:write is missing", body = Problem),
        (status = 404, description = "No such namespace", body = Problem),
        (status = 409, description = "There is no credential yet; somebody else rotated it meanwhile; or what is stored was changed outside AIM", body = Problem),
        (status = 413, description = "The body is larger than 1 MiB", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/secrets/namespaces/{id}/rotate")]
async fn post_rotate(
    authed: Authed<SecretsWrite>,
    id: PathId<NamespaceKind>,
    body: Body<NewCredential>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<HttpResponse> {
    let stored = service.keep(&authed.ctx, id.0, body.0, true).await?;
    Ok(HttpResponse::Created().json(stored))
}

/// Reads of secrets, the newest first: an agent sees its own, people see their organisation's.
#[utoipa::path(
    tag = "compat",
    params(AuditQuery),
    responses(
        (status = 200, description = "The reads", body = AuditEntries),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:read is missing", body = Problem),
        (status = 404, description = "An agent named another", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = []), ("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/secrets/audit")]
async fn get_secrets_audit(
    caller: AuthedOrAgent<SecretsRead>,
    query: Query<AuditQuery>,
    service: web::Data<SdkSecretsService>,
) -> ApiResult<web::Json<AuditEntries>> {
    Ok(web::Json(service.audit(&caller.ctx, query.0).await?))
}
