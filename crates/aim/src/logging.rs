//! Log lines to standard error; standard output belongs to what a command answers.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::configuration::{LogFormat, LogSettings};

/// Sets logging up for the process. A second call (in tests) changes nothing.
pub(crate) fn start(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let _ = match settings.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => {
            let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(color)).try_init()
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
}
