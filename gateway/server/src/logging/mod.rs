//! Structured logs to standard error or a file: one line an event, text or JSON.
//!
//! A file is put aside by size and age ([`file`]), opened again on SIGHUP, and never holds up or ends the gateway: what cannot
//! be written is counted and told as soon as something can. The level is changed while the gateway runs through [`Handle`].

mod file;

use crate::config::{LogFormat, LoggingConfig, bad_level};
pub(crate) use file::{Limits, LogFile, aside};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Name of the log in the data folder, where the configuration names none.
pub(crate) const FILE: &str = "dfs.log";
/// Libraries whose INFO is for their own developers; `logging.level` may name them again.
const QUIETED: &str = "foyer=warn,foyer_storage=warn,foyer_memory=warn";

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The log of this process, for what changes it while it runs.
pub(crate) struct Handle {
    set: SetFilter,
    /// In force. Held over a change, so that what is told last is what holds.
    level: Mutex<String>,
    file: Option<Arc<LogFile>>,
}

static HANDLE: OnceLock<Handle> = OnceLock::new();

/// The log of this process, once [`start`] has run.
pub(crate) fn handle() -> Option<&'static Handle> {
    HANDLE.get()
}

impl Handle {
    /// Changes the level, or the filter, of what is logged from now on; nothing where it is in force. *Errors:* a sentence; nothing has changed then.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)?;
        let mut now = self.level.lock();
        if *now == level {
            return Ok(());
        }
        (self.set)(filter)?;
        level.clone_into(&mut now);
        // Told at each level but `off`: a log that falls silent says why.
        tracing::error!(target: "dfs_server::logging", level, "the level of the log was changed; this is no error");
        Ok(())
    }

    /// Opens the file again, after something else has put it aside.
    pub fn reopen(&self) {
        if let Some(file) = &self.file {
            file.reopen();
        }
    }

    /// Lines that were lost because the file could not be written.
    pub fn dropped(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.dropped())
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    if let Some(why) = bad_level(level) {
        return Err(format!("logging.level: {why}"));
    }
    EnvFilter::try_new(format!("{QUIETED},{level}"))
        .map_err(|error| format!("logging.level: '{level}' is not understood: {error}"))
}

/// Starts logging. *Errors:* a sentence, when the level is not understood or the file cannot be opened.
pub(crate) fn start(config: &LoggingConfig, file: Option<&Path>) -> Result<(), String> {
    let filter = filter(&config.level)?;
    let json = config.format == LogFormat::Json;
    let file = match file {
        None => None,
        Some(path) => {
            let limits = Limits {
                bytes: config.rotate_bytes.0,
                age: config.rotate_after.0,
                keep: config.keep_files as usize,
            };
            let opened = LogFile::open(path, limits, json, Arc::new(crate::system::SystemClock));
            Some(opened.map_err(|error| format!("log file {}: {error}", path.display()))?)
        }
    };
    let writer = match &file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(file) => BoxMakeWriter::new(file.clone()),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false);
    let set: SetFilter = if json {
        let builder = builder.json().flatten_event(true).with_filter_reloading();
        let reload = builder.reload_handle();
        builder.try_init().map_err(|error| error.to_string())?;
        Box::new(move |filter| reload.reload(filter).map_err(|error| error.to_string()))
    } else {
        let builder = builder.with_filter_reloading();
        let reload = builder.reload_handle();
        builder.try_init().map_err(|error| error.to_string())?;
        Box::new(move |filter| reload.reload(filter).map_err(|error| error.to_string()))
    };
    let _ = HANDLE.set(Handle { set, level: Mutex::new(config.level.clone()), file });
    Ok(())
}

/// Opens the file again at each SIGHUP, for as long as the runtime lives. *Cancel:* safe.
pub(crate) async fn reopen_on_hangup() {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return tracing::warn!(%error, "SIGHUP cannot be waited for: the log is not reopened"),
    };
    while hangups.recv().await.is_some() {
        if let Some(handle) = handle() {
            handle.reopen();
            tracing::info!(lost = handle.dropped(), "the log file was opened again");
        }
    }
}
