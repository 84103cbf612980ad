//! Log lines to standard error; standard output belongs to what a command answers.

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, dynamic_filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    configuration::{ConfigurationError, LogFormat, LogSettings},
    traces::{self, Traces},
};

/// Sets logging and traces up for the process. A second call (in tests) changes nothing.
///
/// # Errors
/// Names `log.traces_url`.
pub(crate) fn start(settings: &LogSettings) -> Result<Option<Traces>, ConfigurationError> {
    let traces = Traces::of(settings)?;
    // Requests, and what belongs to one: what the server does by itself would be most of it.
    let traced = dynamic_filter_fn(|span, context| {
        span.target() == traces::TARGET
            && (span.name() == traces::REQUEST || context.lookup_current().is_some())
    })
    .with_max_level_hint(LevelFilter::DEBUG);
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_filter(traced)
    });
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(spans);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let _ = match settings.format {
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_filter(filter))
            .try_init(),
        LogFormat::Text => {
            let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry
                .with(lines.with_ansi(color).with_filter(filter))
                .try_init()
        }
    };
    // A panic becomes a log line like any other, with its place and without ending the process.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            place,
            "a task panicked: {}",
            panic.payload_as_str().unwrap_or("no message")
        );
    }));
    Ok(traces)
}
