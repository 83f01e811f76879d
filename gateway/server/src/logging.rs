//! Structured logs to standard error or a file: one line an event, text or JSON.

use crate::config::{LogFormat, LoggingConfig};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Libraries whose INFO is for their own developers; `logging.level` may name them again.
const QUIETED: &str = "foyer=warn,foyer_storage=warn,foyer_memory=warn";

/// Starts logging. *Errors:* a sentence, when the level is not understood or the file cannot be opened.
pub(crate) fn start(config: &LoggingConfig, file: Option<&Path>) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIETED},{}", config.level))
        .map_err(|error| format!("logging.level: '{}' is not understood: {error}", config.level))?;
    let writer = match file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            BoxMakeWriter::new(Mutex::new(
                file.map_err(|error| format!("log file {}: {error}", path.display()))?,
            ))
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let started = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())
}
