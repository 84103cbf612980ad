//! HTTP of sign-in and sessions.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    delete, get, post, web,
};
use aim_core::{Code, Error, Result, Timestamp, id::SessionKind, role::permission::SelfManage};
use aim_crypto::secret::SecretString;
use aim_platform::{Anyone, ApiResult, Authed, Body, Kernel, PathId, Problem, Query, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    model::{SessionList, SignedIn, SignedInUser},
    service::SessionService,
};
use crate::{authentication::SESSION_COOKIE, users::routes::PageQuery};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &SessionService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(sign_in);
    config.service(sign_in_by_link);
    config.service(sign_out);
    config.service(get_me);
    config.service(list_sessions);
    config.service(revoke_all_sessions);
    config.service(revoke_session);
    config.service(change_password);
}

/// What one signs in with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignInRequest {
    /// The e-mail address, in whatever case.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// What a link's fragment holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkRequest {
    /// The token of the link.
    #[schema(value_type = String, example = "aim_link_…")]
    token: SecretString,
}

/// A session, with the token that opens it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedInAnswer {
    /// Send it as `Authorization: Bearer`. It is shown once.
    #[schema(example = "aim_session_…")]
    access_token: String,
    /// The first instant at which it is refused.
    expires_at: Timestamp,
    /// Who signed in.
    user: SignedInUser,
}

/// The old and the new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    /// The present password.
    #[schema(value_type = String, format = Password)]
    current_password: SecretString,
    /// The new password: 12 to 256 characters, none of the commonest.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    new_password: SecretString,
}

/// Browsers say where a request comes from; one that another site caused signs nobody in.
pub(crate) fn refuse_other_sites(request: &HttpRequest) -> Result<()> {
    match request
        .headers()
        .get("sec-fetch-site")
        .map(|site| site.as_bytes())
    {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Error::new(
            Code::CrossSite,
            "this request was caused by another site",
        )),
    }
}

/// The answer to a sign-in: the token in the body for programs, in a cookie for browsers.
pub(crate) fn answer(
    mut response: actix_web::HttpResponseBuilder,
    kernel: &Kernel,
    signed_in: SignedIn,
) -> HttpResponse {
    let age = kernel.config.session_hours.saturating_mul(3600);
    response.cookie(cookie(
        kernel,
        signed_in.access_token.expose().to_owned(),
        Duration::seconds(age),
    ));
    response.json(SignedInAnswer {
        access_token: signed_in.access_token.expose().to_owned(),
        expires_at: signed_in.expires_at,
        user: signed_in.user,
    })
}

fn cookie(kernel: &Kernel, value: String, age: Duration) -> Cookie<'static> {
    Cookie::build(SESSION_COOKIE, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(kernel.config.public_url.starts_with("https:"))
        .max_age(age)
        .finish()
}

/// 204, and the browser forgets the token.
fn signed_out(kernel: &Kernel) -> HttpResponse {
    HttpResponse::NoContent()
        .cookie(cookie(kernel, String::new(), Duration::ZERO))
        .finish()
}

/// Signs a user in.
#[utoipa::path(
    tag = "auth",
    request_body = SignInRequest,
    responses(
        (status = 200, description = "A session; also set as a cookie", body = SignedInAnswer),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "Refused, whatever the reason", body = Problem),
        (status = 403, description = "The request was caused by another site", body = Problem),
        (status = 422, description = "A field is missing or not accepted", body = Problem),
        (status = 429, description = "Too many failures from this address", body = Problem),
    ),
)]
#[post("/api/v1/auth/login")]
async fn sign_in(
    anyone: Anyone,
    request: HttpRequest,
    body: Body<SignInRequest>,
    kernel: web::Data<Kernel>,
    service: web::Data<SessionService>,
) -> ApiResult<HttpResponse> {
    refuse_other_sites(&request)?;
    let signed_in = service
        .sign_in(&anonymous(&anyone), &body.0.email, &body.0.password)
        .await?;
    Ok(answer(HttpResponse::Ok(), &kernel, signed_in))
}

/// Signs a user in by a link that the operator made. It works once, within five minutes.
#[utoipa::path(
    tag = "auth",
    request_body = LinkRequest,
    responses(
        (status = 200, description = "A session; also set as a cookie", body = SignedInAnswer),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "The link is wrong, used or expired", body = Problem),
        (status = 403, description = "The request was caused by another site", body = Problem),
        (status = 422, description = "A field is missing or not accepted", body = Problem),
    ),
)]
#[post("/api/v1/auth/login-link")]
async fn sign_in_by_link(
    anyone: Anyone,
    request: HttpRequest,
    body: Body<LinkRequest>,
    kernel: web::Data<Kernel>,
    service: web::Data<SessionService>,
) -> ApiResult<HttpResponse> {
    refuse_other_sites(&request)?;
    let entered = service
        .sign_in_by_link(&anonymous(&anyone), &body.0.token)
        .await?;
    Ok(answer(HttpResponse::Ok(), &kernel, entered))
}

/// Nobody yet, whatever credentials came along: a sign-in is the act of whoever it lets in.
pub(crate) fn anonymous(anyone: &Anyone) -> aim_core::Ctx {
    let mut ctx = anyone.ctx.clone();
    ctx.actor = aim_core::Actor::Anonymous;
    ctx
}

/// Ends the session of this request.
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 204, description = "Signed out; the cookie is removed"),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/auth/logout")]
async fn sign_out(
    authed: Authed<SelfManage>,
    kernel: web::Data<Kernel>,
    service: web::Data<SessionService>,
) -> ApiResult<HttpResponse> {
    service.sign_out(&authed.ctx).await?;
    Ok(signed_out(&kernel))
}

/// The signed-in user.
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 200, description = "The user", body = SignedInUser),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/auth/me")]
async fn get_me(
    authed: Authed<SelfManage>,
    service: web::Data<SessionService>,
) -> ApiResult<web::Json<SignedInUser>> {
    Ok(web::Json(service.me(&authed.ctx).await?))
}

/// The caller's live sessions.
#[utoipa::path(
    tag = "auth",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of sessions, newest first", body = SessionList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/auth/sessions")]
async fn list_sessions(
    authed: Authed<SelfManage>,
    query: Query<PageQuery>,
    service: web::Data<SessionService>,
) -> ApiResult<web::Json<SessionList>> {
    Ok(web::Json(service.list(&authed.ctx, query.0.page()?).await?))
}

/// Ends all of the caller's sessions, this one too.
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 204, description = "Signed out everywhere"),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[delete("/api/v1/auth/sessions")]
async fn revoke_all_sessions(
    authed: Authed<SelfManage>,
    kernel: web::Data<Kernel>,
    service: web::Data<SessionService>,
) -> ApiResult<HttpResponse> {
    service.revoke_all(&authed.ctx).await?;
    Ok(signed_out(&kernel))
}

/// Ends one of the caller's sessions.
#[utoipa::path(
    tag = "auth",
    params(("id" = String, Path, description = "The session", format = Uuid)),
    responses(
        (status = 204, description = "Ended"),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
        (status = 404, description = "No such live session of yours", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[delete("/api/v1/auth/sessions/{id}")]
async fn revoke_session(
    authed: Authed<SelfManage>,
    id: PathId<SessionKind>,
    service: web::Data<SessionService>,
) -> ApiResult<HttpResponse> {
    service.revoke(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sets a new password and ends the caller's other sessions.
#[utoipa::path(
    tag = "auth",
    request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The caller is no user", body = Problem),
        (status = 409, description = "The password was changed at the same time", body = Problem),
        (status = 422, description = "The present password is wrong, or the new one not accepted", body = Problem),
        (status = 429, description = "Too many wrong guesses", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/auth/change-password")]
async fn change_password(
    authed: Authed<SelfManage>,
    body: Body<ChangePassword>,
    service: web::Data<SessionService>,
) -> ApiResult<HttpResponse> {
    service
        .change_password(&authed.ctx, &body.0.current_password, &body.0.new_password)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
