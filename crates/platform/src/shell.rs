//! The web shell around every capability: request ids, authentication, limits, problem details,
//! headers, health, metrics, the edition and the OpenAPI document.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
    time::Instant,
};

use actix_web::{
    App, HttpMessage, HttpRequest, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::InternalError,
    get,
    http::{
        Method, Uri,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use aim_core::{Actor, Code, Ctx, Error, OrganizationId, Result, id::uuid_at};
use aim_store::Scope;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::console::{About, Console, PageError, error_page};
use crate::{
    ApiError, Authenticated, Authenticator, Kernel, Module, RequestHead, ServiceConfig,
    error::extended_problem_response, extract::read_body, kernel::address_text, limits::Limiter,
};

/// What the shell found out about a request, for the extractors.
pub(crate) struct RequestFacts {
    pub(crate) ctx: Ctx,
    pub(crate) caller: Result<Option<Authenticated>>,
}

/// Edition, version and capabilities of this binary.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EditionInfo {
    /// The edition's name.
    pub edition: String,
    /// The version of AIM.
    pub version: String,
    /// The capabilities that it has.
    pub features: Vec<String>,
}

/// The OpenAPI document, as JSON.
#[derive(Debug, Clone)]
pub struct OpenApiDocument(pub Arc<str>);

/// The row that `/health/ready` writes to.
pub(crate) const PROBE: &str = "health.probe";

/// The upper ends of the buckets of durations, in seconds.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// The upper ends of the buckets of numbers of things.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The shell's own state, shared by all workers.
pub struct Shell {
    modules: Vec<Arc<dyn Module>>,
    authenticators: Vec<Arc<dyn Authenticator>>,
    callers: Limiter,
    anonymous: Limiter,
    console: Console,
    metrics: &'static PrometheusHandle,
    carries_secrets: bool,
}

/// Distributions are counted in fixed buckets: those of several nodes can be added up, which no quantile can, and each takes a few
/// hundred bytes.
fn recorder() -> PrometheusRecorder {
    let with_buckets = || {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &SIZES)
    };
    match with_buckets() {
        Ok(builder) => builder,
        Err(error) => {
            tracing::warn!(%error, "distributions are measured in quantiles");
            PrometheusBuilder::new()
        }
    }
    .build_recorder()
}

fn metrics_handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = recorder();
        let handle = recorder.handle();
        // A recorder that another library installed first keeps its place; then ours stays empty.
        let _ = metrics::set_global_recorder(recorder);
        crate::gauges::describe();
        handle
    })
}

/// Builds the shell's state from the modules. Once a process and installation.
#[must_use]
pub fn shell_state(kernel: &Kernel, modules: &[Arc<dyn Module>]) -> web::Data<Shell> {
    web::Data::new(Shell {
        modules: modules.to_vec(),
        authenticators: modules
            .iter()
            .flat_map(|module| module.authenticators())
            .collect(),
        callers: Limiter::new(kernel.config.requests_per_second),
        anonymous: Limiter::new(kernel.config.anonymous_requests_per_second),
        console: Console::of(modules),
        metrics: metrics_handle(),
        carries_secrets: modules.iter().any(|module| module.carries_secrets()),
    })
}

impl Shell {
    /// The console of all modules.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Writes out and trims what metrics, limiters and modules keep; called every few seconds.
    pub fn tidy(&self) {
        self.modules.iter().for_each(|module| module.tidy());
        self.metrics.run_upkeep();
        self.callers.tidy();
        self.anonymous.tidy();
    }

    /// Problem details, with what the path's module adds.
    fn refusal(&self, path: &str, error: &Error, request_id: Uuid) -> HttpResponse {
        extended_problem_response(error, Some(request_id), |members| {
            for module in &self.modules {
                module.extend_problem(path, error, members);
            }
        })
    }
}

/// The context of a request before its caller is known.
///
/// # Errors
/// When the request did not come through the shell.
pub fn context_of(request: &HttpRequest) -> Result<Ctx> {
    request
        .extensions()
        .get::<RequestFacts>()
        .map(|facts| facts.ctx.clone())
        .ok_or_else(|| Error::internal("the request did not come through the shell"))
}

/// Registers the routes of the shell and of all modules, in the OpenAPI document too.
fn routes(config: &mut ServiceConfig<'_>, modules: &[Arc<dyn Module>]) {
    for module in modules {
        module.first_routes(config);
    }
    for module in modules {
        module.routes(config);
    }
    config.service(get_edition);
    config.service(get_openapi);
}

/// The OpenAPI 3.1 document of `modules`.
#[must_use]
pub fn openapi_of(modules: &[Arc<dyn Module>], edition: &EditionInfo) -> utoipa::openapi::OpenApi {
    let mut document = utoipa::openapi::OpenApi::default();
    let _ = App::new().configure(|config| {
        routes(&mut ServiceConfig::describing(config, &mut document), modules);
    });
    document.info = utoipa::openapi::InfoBuilder::new()
        .title("AIM")
        .version(&edition.version)
        .description(Some(format!(
            "Identity, authorization and evidence for AI agents ({} edition).",
            edition.edition
        )))
        .build();
    use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A session's access token or an organisation API key"))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let signature = ApiKeyValue::with_description(
        "Signature-Input",
        "HTTP Message Signatures (RFC 9421) by the agent's Ed25519 key: Signature-Input, Signature and, with a body, Content-Digest",
    );
    components.add_security_scheme("signature", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    document
}

/// Configures an actix application: use with `App::new().wrap(from_fn(shell))`.
pub fn configure(
    config: &mut web::ServiceConfig,
    kernel: &Kernel,
    modules: &[Arc<dyn Module>],
    shell: &web::Data<Shell>,
    edition: &EditionInfo,
    document: &OpenApiDocument,
) {
    config
        .app_data(web::Data::new(kernel.clone()))
        .app_data(shell.clone())
        .app_data(web::Data::new(edition.clone()))
        .app_data(web::Data::new(document.clone()))
        .route("/health/live", web::get().to(live))
        .route("/health/ready", web::get().to(ready))
        .route("/metrics", web::get().to(metrics_page));
    routes(&mut ServiceConfig::new(config), modules);
    shell.console.configure(config);
    config.default_service(web::to(nothing_here));
}

/// The middleware around every request.
///
/// # Errors
/// What failed around the handlers, carrying the problem that is answered.
pub async fn shell<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let started = Instant::now();
    let Some((kernel, shell)) = request
        .app_data::<web::Data<Kernel>>()
        .cloned()
        .zip(request.app_data::<web::Data<Shell>>().cloned())
    else {
        return Err(actix_web::error::ErrorInternalServerError(
            "the shell has no state",
        ));
    };
    if shell.carries_secrets {
        detach(&mut request);
    }
    let ctx = first_context(&request, &kernel);
    let request_id = ctx.request_id;
    let method = request.method().clone();
    let about = request
        .app_data::<web::Data<EditionInfo>>()
        .and_then(|edition| About::of_page(request.headers(), request.uri(), &kernel, edition));
    let caller = if is_open(request.path()) {
        Ok(None)
    } else {
        authenticate(&mut request, &ctx, &kernel, &shell).await
    };
    let limited = limit(&shell, &ctx, &caller);
    let refusing = Refusing {
        shell: &shell,
        about: about.as_ref().map(|about| (about, ctx.clone(), caller.clone())),
        request_id,
    };
    request.extensions_mut().insert(RequestFacts { ctx, caller });

    let mut response = match limited {
        Err(error) => {
            let refusal = refusing.refuse(request.path(), None, &error).await;
            request.into_response(refusal).map_into_right_body()
        }
        Ok(()) => {
            // The request itself must not be kept: routing needs the only reference to it.
            let path = request.path().to_owned();
            match next.call(request).await {
                Ok(response) => in_problem_form(response, &refusing).await,
                Err(error) => {
                    tracing::error!(%request_id, %error, %path, "a request failed outside of its handler");
                    let mut refusal = refusing.refuse(&path, None, &core_error(&error)).await;
                    finish_headers(refusal.headers_mut(), request_id);
                    return Err(InternalError::from_response(error, refusal).into());
                }
            }
        }
    };
    finish_headers(response.headers_mut(), request_id);
    if response.status().as_u16() == 405
        && let Some(methods) = methods_of(response.request())
    {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    let route = response
        .request()
        .match_pattern()
        .unwrap_or_else(|| "none".to_owned());
    let status = response.status().as_u16();
    metrics::histogram!("aim_http_request_seconds", "route" => route.clone(), "method" => method_name(&method))
        .record(started.elapsed().as_secs_f64());
    metrics::counter!("aim_http_requests_total", "route" => route, "method" => method_name(&method), "status" => status.to_string())
        .increment(1);
    Ok(response)
}

/// Gives the request's head memory of its own. What was read from the connection is one buffer, the body included; actix
/// keeps heads for later requests, and one that pointed into the buffer would keep all of it.
fn detach(request: &mut ServiceRequest) {
    let head = request.head_mut();
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let copy = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (copy, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    head.headers = headers;
    if let Ok(uri) = Uri::try_from(head.uri.to_string()) {
        head.uri = uri.clone();
        request.match_info_mut().get_mut().update(&uri);
    }
}

/// The standard methods by name; a client cannot make a new label.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn first_context(request: &ServiceRequest, kernel: &Kernel) -> Ctx {
    let now = kernel.now();
    let forwarded = kernel.config.trust_forwarded.then(|| {
        let value = request.headers().get("x-forwarded-for")?.to_str().ok()?;
        // The last entry is the one that our own proxy wrote.
        value.rsplit(',').next()?.trim().parse().ok().map(address_text)
    });
    let source_ip = forwarded
        .flatten()
        .or_else(|| request.peer_addr().map(|peer| address_text(peer.ip())));
    let user_agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    Ctx {
        actor: Actor::Anonymous,
        organization: OrganizationId::from_uuid(Uuid::nil()),
        request_id: uuid_at(now),
        now,
        source_ip,
        user_agent: user_agent.map(|text| text.chars().take(256).collect()),
    }
}

async fn authenticate(
    request: &mut ServiceRequest,
    ctx: &Ctx,
    kernel: &Kernel,
    shell: &Shell,
) -> Result<Option<Authenticated>> {
    let recognised = {
        let head = head(request, ctx, kernel);
        shell
            .authenticators
            .iter()
            .find(|authenticator| authenticator.recognises(&head))
            .cloned()
    };
    let Some(authenticator) = recognised else {
        return Ok(None);
    };
    let body = if authenticator.needs_body() {
        let bytes = read_body(&mut request.take_payload()).await?;
        request.set_payload(Payload::from(bytes.clone()));
        bytes
    } else {
        web::Bytes::new()
    };
    let head = head(request, ctx, kernel);
    authenticator.authenticate(&head, &body).await.map(Some)
}

fn head<'a>(request: &'a ServiceRequest, ctx: &'a Ctx, kernel: &Kernel) -> RequestHead<'a> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authority = text("host").or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let forwarded = kernel
        .config
        .trust_forwarded
        .then(|| text("x-forwarded-proto"))
        .flatten();
    let secure = request.app_config().secure()
        || forwarded == Some("https")
        || kernel.config.public_url.starts_with("https:");
    RequestHead {
        method: request.method(),
        uri: request.uri(),
        scheme: if secure { "https" } else { "http" },
        authority: authority.unwrap_or_default(),
        headers,
        now: ctx.now,
        source_ip: ctx.source_ip.as_deref(),
    }
}

fn limit(shell: &Shell, ctx: &Ctx, caller: &Result<Option<Authenticated>>) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    match caller {
        Ok(Some(caller)) => {
            caller.organization.hash(&mut hasher);
            match &caller.actor {
                Actor::Agent { id, .. } => id.hash(&mut hasher),
                actor => actor.id_text().hash(&mut hasher),
            }
            shell.callers.check(hasher.finish())
        }
        // Guessing at credentials is limited like having none.
        Ok(None) | Err(_) => {
            ctx.source_ip.hash(&mut hasher);
            shell.anonymous.check(hasher.finish())
        }
    }
}

/// The paths that look at no credentials.
fn is_open(path: &str) -> bool {
    path.starts_with("/health/") || path.starts_with("/assets/") || path == "/favicon.ico"
}

/// What a refusal needs to know about its request.
struct Refusing<'a> {
    shell: &'a Shell,
    about: Option<(&'a About, Ctx, Result<Option<Authenticated>>)>,
    request_id: Uuid,
}

impl Refusing<'_> {
    /// A page where the route is one or a browser asks for one, problem details otherwise.
    async fn refuse(&self, path: &str, route: Option<&str>, error: &Error) -> HttpResponse {
        if let Some((about, ctx, caller)) = &self.about {
            let is_page = route.is_some_and(|route| self.shell.console.has_page(route));
            if is_page || about.wants_html {
                let caller = caller.as_ref().ok().and_then(Option::as_ref);
                return error_page(&self.shell.console, ctx, caller, about, error).await;
            }
        }
        self.shell.refusal(path, error, self.request_id)
    }
}

/// Turns an error answer that the framework or a handler made into one with the request's id: a page or
/// problem details.
async fn in_problem_form<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    refusing: &Refusing<'_>,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    let error = response.response().error().map(core_error);
    let bare = match response.status().as_u16() {
        405 => Some(Error::new(
            Code::MethodNotAllowed,
            "this path exists, but not for this method",
        )),
        _ => None,
    };
    match error.or(bare) {
        Some(error) => {
            if error.code.status() >= 500 {
                let request_id = refusing.request_id;
                tracing::error!(%request_id, ?error, path = response.request().path(), "a request failed");
            }
            // Nothing borrows the request over the wait.
            let path = response.request().path().to_owned();
            let route = response.request().match_pattern();
            let refusal = refusing.refuse(&path, route.as_deref(), &error).await;
            response.into_response(refusal).map_into_right_body()
        }
        None => response.map_into_left_body(),
    }
}

/// Our own error inside the framework's, or what the framework meant.
fn core_error(error: &actix_web::Error) -> Error {
    if let Some(ApiError(error)) = error.as_error::<ApiError>() {
        return error.clone();
    }
    if let Some(PageError(error)) = error.as_error::<PageError>() {
        return error.clone();
    }
    let detail = error.to_string();
    match error.as_response_error().status_code().as_u16() {
        404 => Error::not_found(),
        405 => Error::new(Code::MethodNotAllowed, detail),
        413 => Error::new(Code::BodyTooLarge, detail),
        415 => Error::new(Code::MediaType, detail),
        400..=499 => Error::new(Code::RequestInvalid, detail),
        _ => Error::internal(detail),
    }
}

fn finish_headers(headers: &mut header::HeaderMap, request_id: Uuid) {
    if let Ok(value) = header::HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(header::HeaderName::from_static("x-request-id"), value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
    }
}

/// The methods that the document has for the request's path (RFC 9110 §15.5.6).
fn methods_of(request: &HttpRequest) -> Option<header::HeaderValue> {
    let document = request.app_data::<web::Data<OpenApiDocument>>()?;
    let document: serde_json::Value = serde_json::from_str(&document.0).ok()?;
    let operations = document
        .get("paths")?
        .get(request.match_pattern()?)?
        .as_object()?;
    let methods: Vec<String> = operations
        .keys()
        .map(|method| method.to_ascii_uppercase())
        .collect();
    header::HeaderValue::from_str(&methods.join(", ")).ok()
}

/// Edition, version and capabilities.
#[utoipa::path(tag = "installation", responses((status = 200, description = "What this binary is", body = EditionInfo)))]
#[get("/api/v1/edition")]
async fn get_edition(info: web::Data<EditionInfo>) -> web::Json<EditionInfo> {
    web::Json(info.get_ref().clone())
}

/// This document.
#[utoipa::path(tag = "installation", responses((status = 200, description = "The OpenAPI 3.1 document", content_type = "application/json")))]
#[get("/api/v1/openapi.json")]
async fn get_openapi(document: web::Data<OpenApiDocument>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document.0.to_string())
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "live"}))
}

/// Ready means: the audit log can be read and a transaction can be committed.
async fn ready(kernel: web::Data<Kernel>) -> Result<HttpResponse, ApiError> {
    let now = kernel.now();
    kernel
        .store
        .write(Scope::Installation, move |db| {
            aim_store::jobs::ensure(db, PROBE, now)?;
            aim_store::jobs::touch(db, PROBE, now)
        })
        .await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({"status": "ready"})))
}

async fn metrics_page(kernel: web::Data<Kernel>, shell: web::Data<Shell>) -> Result<HttpResponse, ApiError> {
    if !kernel.config.metrics {
        return Err(Error::not_found().into());
    }
    crate::gauges::refresh(&kernel).await;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(shell.metrics.render()))
}

/// No route: 401 for nobody, 404 for somebody, so that paths cannot be probed without credentials.
async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let extensions = request.extensions();
    let caller = extensions.get::<RequestFacts>().map(|facts| facts.caller.clone());
    let error = match caller {
        // The path has a route, but none for this method: else the route would have been taken.
        Some(Ok(Some(_))) if request.match_pattern().is_some() => Error::new(
            Code::MethodNotAllowed,
            "this path exists, but not for this method",
        ),
        Some(Ok(Some(_))) => Error::new(Code::NotFound, "there is no such path in this edition"),
        Some(Err(error)) => error,
        _ if request.path().starts_with("/api/") => Error::new(
            Code::CredentialsMissing,
            "this path needs credentials, and the request has none",
        ),
        _ => Error::new(Code::NotFound, "there is no such path"),
    };
    Err(error.into())
}
