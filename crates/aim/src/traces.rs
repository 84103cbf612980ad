//! Traces of requests, for an OpenTelemetry collector (OTLP over HTTP), where one is configured. A span holds
//! method, route, status and the request's id: no header, no body, no address and no query.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::HeaderMap,
    middleware::Next,
};
use opentelemetry::{
    KeyValue, global,
    propagation::Extractor,
    trace::{TraceContextExt, TracerProvider as _},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tracing::{Instrument, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::configuration::{ConfigurationError, LogSettings};

/// The target of spans that are traced, here and in the store.
pub(crate) const TARGET: &str = "aim_traces";
/// The name of the span around a request.
pub(crate) const REQUEST: &str = "request";
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether requests are traced.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// What sends traces; to be ended, so that the last ones arrive.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Traces as the settings have them; none where no collector is named.
    ///
    /// # Errors
    /// Names `log.traces_url`.
    pub(crate) fn of(settings: &LogSettings) -> Result<Option<Self>, ConfigurationError> {
        if settings.traces_url.is_empty() {
            return Ok(None);
        }
        let refused = |problem: String| ConfigurationError::of("log.traces_url", problem);
        // The exporter has a thread of its own, and this client a runtime, which must not be made inside
        // of another.
        let client = std::thread::spawn(|| {
            // Installed already is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            reqwest::blocking::Client::builder().timeout(PATIENCE).build()
        });
        let client = client
            .join()
            .map_err(|_| refused("the client cannot be made".to_owned()))?
            .map_err(|error| refused(error.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", settings.traces_url.trim_end_matches('/')))
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let share = f64::from(u32::try_from(settings.traces_percent).unwrap_or(100)) / 100.0;
        let resource = Resource::builder_empty()
            .with_service_name("aim")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(resource)
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        ENABLED.store(true, Ordering::Relaxed);
        Ok(Some(Self(provider)))
    }

    /// What makes the spans.
    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("aim")
    }

    /// Sends what is left.
    pub(crate) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces may not have arrived");
        }
    }
}

/// The trace that the caller is part of (`traceparent`).
struct Caller<'a>(&'a HeaderMap);

impl Extractor for Caller<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// A span around each request, as part of the caller's trace.
pub(crate) async fn request<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    if !ENABLED.load(Ordering::Relaxed) {
        return next.call(request).await;
    }
    let method = request.method().clone();
    let span = tracing::debug_span!(
        target: TARGET,
        REQUEST,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %method,
        http.route = Empty,
        http.response.status_code = Empty,
        aim.request_id = Empty,
    );
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Caller(request.headers())));
    // Only a span that is not traced refuses a parent.
    let _ = span.set_parent(parent);
    let response = next.call(request).instrument(span.clone()).await;
    if let Ok(response) = &response {
        // The pattern, not the path: that may hold ids.
        let route = response
            .request()
            .match_pattern()
            .unwrap_or_else(|| "none".to_owned());
        let status = response.status().as_u16();
        span.context().span().update_name(format!("{method} {route}"));
        span.record("http.route", route);
        span.record("http.response.status_code", i64::from(status));
        if status >= 500 {
            span.record("otel.status_code", "ERROR");
        }
        let id = response.headers().get("x-request-id");
        if let Some(id) = id.and_then(|id| id.to_str().ok()) {
            span.record("aim.request_id", id);
        }
    }
    response
}
