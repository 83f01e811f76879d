//! Reading the configuration file.

use super::Config;
use std::path::{Path, PathBuf};

/// Why the configuration cannot be used. The text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what is expected.
    #[error("{}: {message}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the nearest right thing.
        message: String,
    },
    /// Two settings do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// Reads and checks a configuration file.
///
/// *Errors:* [`ConfigError`]; nothing else happens then.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let config = parse(&text).map_err(|message| ConfigError::Bad { path: path.to_owned(), message })?;
    check(&config)?;
    Ok(config)
}

fn parse(text: &str) -> Result<Config, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Config::default());
    }
    serde_saphyr::from_str::<Config>(text).map_err(|error| explain(&error.to_string(), text))
}

/// One line: where, what, the text that is meant, and for an unknown key the nearest known one.
fn explain(message: &str, text: &str) -> String {
    let first = message.lines().next().unwrap_or(message).trim_start_matches("error: ");
    let number = first.strip_prefix("line ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    let source = number.and_then(|number| text.lines().nth(number.saturating_sub(1))).unwrap_or("").trim();
    let Some((unknown, expected)) =
        first.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`'))
    else {
        return if source.is_empty() { first.to_owned() } else { format!("{first}, at '{source}'") };
    };
    let listed = expected.trim_start_matches(", expected one of ").trim_start_matches(", expected ");
    let known: Vec<&str> =
        listed.split([',', '`']).map(str::trim).filter(|key| !key.is_empty() && *key != "or").collect();
    let distance = |key: &&&str| (strsim::jaro_winkler(key, unknown) * 1e6) as u64;
    let place = number.map_or(String::new(), |number| format!(" in line {number}"));
    match known.iter().max_by_key(distance) {
        Some(near) => {
            format!("unknown key '{unknown}'{place}: did you mean '{near}'? known here: {}", known.join(", "))
        }
        None => first.to_owned(),
    }
}

/// Tests settings against each other.
fn check(config: &Config) -> Result<(), ConfigError> {
    let exposed = |name: &str, listen: std::net::SocketAddr, allowed: bool| {
        if listen.ip().is_loopback() || allowed {
            return Ok(());
        }
        Err(ConfigError::Conflict(format!(
            "{name}.listen: {listen} is reachable from the network without TLS; set {name}.tls, use 127.0.0.1, or set {name}.insecure_listen: true if that is meant"
        )))
    };
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    for part in config.logging.level.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        if !levels.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(ConfigError::Conflict(format!(
                "logging.level: '{part}' is not a level; write one of {}, or a filter such as info,dfs_nfs=debug",
                levels.join(", ")
            )));
        }
    }
    let control = &config.control;
    exposed("control", control.listen, control.insecure_listen || control.tls.is_some())?;
    let metrics = &config.metrics;
    exposed("metrics", metrics.listen, metrics.insecure_listen || metrics.tls.is_some())?;
    if config.portmap.enabled
        && !config.portmap.listen.ip().is_loopback()
        && config.portmap.listen.port() == 0
    {
        return Err(ConfigError::Conflict("portmap.listen: a fixed port is needed".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_is_refused_with_the_nearest_known_one() {
        let error = parse("journal:\n  sise: 1GiB\n").unwrap_err();
        assert!(error.contains("did you mean 'size'?"), "{error}");
        let error = parse("jurnal:\n  size: 1GiB\n").unwrap_err();
        assert!(error.contains("did you mean 'journal'?"), "{error}");
    }

    #[test]
    fn sizes_and_durations_have_units() {
        let config = parse("journal:\n  size: 2GiB\n  sync_max: 250ms\nwarm:\n  size: 0\n").unwrap();
        assert_eq!(config.journal.size, Some(super::super::Size(2 << 30)));
        assert_eq!(config.journal.sync_max.unwrap().0.as_millis(), 250);
        assert!(parse("journal:\n  size: big\n").unwrap_err().contains("not a size"));
    }

    #[test]
    fn control_plane_on_the_network_needs_a_word() {
        let open = parse("control:\n  listen: 0.0.0.0:8080\n").unwrap();
        assert!(check(&open).unwrap_err().to_string().contains("insecure_listen"));
        let meant = parse("control:\n  listen: 0.0.0.0:8080\n  insecure_listen: true\n").unwrap();
        assert!(check(&meant).is_ok());
    }

    #[test]
    fn empty_file_is_all_defaults() {
        assert_eq!(parse("# nothing\n").unwrap().nfs.listen.port(), 12049);
    }
}
