//! Wrapping over HTTP: extract, call, answer.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, HttpResponse, delete, dev::Payload, get, post, web};
use aim_platform::{
    Anyone, ApiError, ApiResult, Authed, Body, PathId, Problem, Query, ServiceConfig, SignedAgent,
};

use super::{
    EDITION_MARKER,
    model::{
        NoWrap, UnwrapReply, UnwrapRequest, WrapKind, WrapList, WrapLookup, WrapQuery, WrapRequest,
        WrapTokenRequest, WrapView,
    },
    permission::SecretsWrap,
    service::{SecretWrapsService, WrapReply},
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &SecretWrapsService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(post_wrap)
        .service(post_wrap_lookup)
        .service(post_unwrap)
        .service(list_wraps)
        .service(delete_wrap);
}

/// An agent that is about to act, or somebody with the permission.
enum Wrapper {
    Agent(SignedAgent),
    Person(Authed<SecretsWrap>),
}

impl FromRequest for Wrapper {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // An agent's nonce belongs into the transaction of the decision, so it is not used up here.
        let agent = SignedAgent::from_request(request, payload);
        let person = Authed::<SecretsWrap>::from_request(request, payload);
        Box::pin(async move {
            match agent.await {
                Ok(agent) => Ok(Self::Agent(agent)),
                Err(_) => Ok(Self::Person(person.await?)),
            }
        })
    }
}

/// Make a token that hands a version of a secret over, once. By a person or organisation key with the permission
/// secrets:wrap and a reason; or by an agent that may read the secret, which signs the request (RFC 9421, with
/// content-digest).
#[utoipa::path(
    tag = "vault",
    request_body = WrapRequest,
    responses(
        (status = 201, description = "The token, shown once", body = WrapView),
        (status = 202, description = "Pending: a person must approve the agent's read first", body = NoWrap),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:wrap is missing; or the agent's read was denied", body = NoWrap),
        (status = 404, description = "There is nothing to hand over", body = Problem),
        (status = 409, description = "The token would be for no agent, and the organisation does not show values for a reason alone; or what is stored was changed outside AIM", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 429, description = "This person made too many within an hour that are for no agent", body = Problem),
        (status = 503, description = "The vault is sealed, or the decision could not be made durable", body = Problem),
    ),
    security(("bearer" = []), ("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/wrap")]
async fn post_wrap(
    caller: Wrapper,
    body: Body<WrapRequest>,
    service: web::Data<SecretWrapsService>,
) -> ApiResult<HttpResponse> {
    let reply = match caller {
        Wrapper::Person(person) => {
            WrapReply::Made(Box::new(service.wrap_for_person(&person.ctx, body.0).await?))
        }
        Wrapper::Agent(agent) => {
            service
                .wrap_for_agent(&agent.ctx, agent.nonce, agent.scheme, body.0)
                .await?
        }
    };
    Ok(match reply {
        WrapReply::Made(view) => HttpResponse::Created()
            .insert_header(("cache-control", "no-store"))
            .json(view),
        WrapReply::Decided(decision) => {
            let status = aim_violations::verification::routes::status_of(&decision);
            HttpResponse::build(status).json(NoWrap { decision: *decision })
        }
    })
}

/// Tell what a token is for, without using it. One that is for an agent takes that agent's signature. Compare `creation_path` with the one that you expect: a token that was
/// exchanged on its way hands over something else.
#[utoipa::path(
    tag = "vault",
    request_body = WrapTokenRequest,
    responses(
        (status = 200, description = "What it is for", body = WrapLookup),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "The signature was used before", body = Problem),
        (status = 404, description = "Unknown, ended, or meant for somebody else", body = Problem),
        (status = 409, description = "A person made it for no agent, and the organisation does not show values any more", body = Problem),
        (status = 410, description = "It was used before", body = Problem),
        (status = 422, description = "This is no wrap token", body = Problem),
    ),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/wrap/lookup")]
async fn post_wrap_lookup(
    anyone: Anyone,
    body: Body<WrapTokenRequest>,
    service: web::Data<SecretWrapsService>,
) -> ApiResult<HttpResponse> {
    let found = service.lookup(&anyone.ctx, anyone.nonce, body.0).await?;
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(found))
}

/// Use a token: the secret, sealed to the key in the request. A token works once; a second use is refused and noted. One that is
/// for an agent takes that agent's signature (RFC 9421, with content-digest).
#[utoipa::path(
    tag = "vault",
    request_body = UnwrapRequest,
    responses(
        (status = 200, description = "The secret, sealed", body = UnwrapReply),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "The signature was used before", body = Problem),
        (status = 403, description = "The token is for this agent, and its signature does not cover the body", body = Problem),
        (status = 404, description = "Unknown, ended, meant for somebody else, or its version is not there any more", body = Problem),
        (status = 409, description = "A person made it for no agent, and the organisation does not show values any more; or what is stored was changed outside AIM", body = Problem),
        (status = 410, description = "It was used before", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
        (status = 503, description = "The vault is sealed, or the use could not be made durable", body = Problem),
    ),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[post("/api/v1/vault/wrap/unwrap")]
async fn post_unwrap(
    anyone: Anyone,
    body: Body<UnwrapRequest>,
    service: web::Data<SecretWrapsService>,
) -> ApiResult<HttpResponse> {
    let reply = service
        .unwrap(&anyone.ctx, anyone.nonce, anyone.scheme, body.0)
        .await?;
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(reply))
}

/// The organisation's wrap tokens: what for, by whom, until when, and whether they were used. Not the tokens.
#[utoipa::path(
    tag = "vault",
    params(WrapQuery),
    responses(
        (status = 200, description = "The wraps", body = WrapList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:wrap is missing", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/wraps")]
async fn list_wraps(
    authed: Authed<SecretsWrap>,
    query: Query<WrapQuery>,
    service: web::Data<SecretWrapsService>,
) -> ApiResult<web::Json<WrapList>> {
    Ok(web::Json(service.list(&authed.ctx, query.0).await?))
}

/// Revoke a wrap token that was not used yet. It hands nothing over from then on.
#[utoipa::path(
    tag = "vault",
    params(("id" = String, Path, description = "The wrap", format = Uuid)),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission secrets:wrap is missing", body = Problem),
        (status = 404, description = "There is no such wrap", body = Problem),
        (status = 409, description = "It was used or revoked before, or has expired", body = Problem),
    ),
    security(("bearer" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[delete("/api/v1/vault/wraps/{id}")]
async fn delete_wrap(
    authed: Authed<SecretsWrap>,
    id: PathId<WrapKind>,
    service: web::Data<SecretWrapsService>,
) -> ApiResult<HttpResponse> {
    service.revoke(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
