//! The log on standard error.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::LogFormat;
use crate::failure::Failure;
use crate::output;

/// Changes the level while the program runs.
pub(crate) type Handle = reload::Handle<EnvFilter, Registry>;

/// Starts logging. `RUST_LOG` comes before `level`.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<Handle, Failure> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(output::is_watched()).with_target(false).boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    let registry = tracing_subscriber::registry().with(filter).with(layer);
    registry.try_init().map_err(|error| Failure::failed(format!("logging cannot be started: {error}")))?;
    Ok(handle)
}

/// Sets another level.
pub(crate) fn set_level(handle: &Handle, level: &str) {
    if let Err(error) = handle.reload(filter(level)) {
        tracing::warn!(%error, "the log level stays as it was");
    }
}

fn filter(level: &str) -> EnvFilter {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => builder.parse_lossy(text),
        _ => builder.parse_lossy(level),
    }
}
