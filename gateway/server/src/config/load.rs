//! Reading the configuration: the file, the environment and the command line over it, and what must go together.

use super::environment::{assignments, overlay, variables};
use super::keys::nearest;
use super::lines::lines;
use super::{Config, TlsConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
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
    /// What is given in the environment or on the command line is not understood.
    #[error("{0}")]
    Given(String),
    /// A value cannot be, or two settings do not go together.
    #[error("{0}")]
    Conflict(Wrong),
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The file, in this line.
    File(u64),
    /// This variable of the environment.
    Environment(String),
    /// `--set`.
    CommandLine,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(line) => write!(f, "file, line {line}"),
            Source::Environment(name) => write!(f, "environment, {name}"),
            Source::CommandLine => f.write_str("command line"),
        }
    }
}

/// A setting that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its dotted name.
    pub key: String,
    /// What to change.
    pub message: String,
    /// Where it was set.
    pub source: Source,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Source::Default => write!(f, "{}: {}", self.key, self.message),
            source => write!(f, "{} ({source}): {}", self.key, self.message),
        }
    }
}

/// A configuration with where its settings come from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Those that somebody set, by their dotted names.
    pub sources: BTreeMap<String, Source>,
}

impl Loaded {
    /// Where a setting comes from.
    #[must_use]
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }
}

/// The environment of this process. What is no text is none of ours.
pub(crate) fn process_environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Reads and checks a configuration file with the environment of this process over it.
///
/// *Errors:* [`ConfigError`]; nothing else happens then.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, &process_environment(), &[]).map(|loaded| loaded.config)
}

/// Reads and checks a configuration file with an environment and assignments of the command line over it.
///
/// *Errors:* [`ConfigError`]; nothing else happens then.
pub fn load_with(
    path: &Path,
    environment: &[(String, String)],
    set: &[String],
) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let loaded = layered(path, &text, environment, set)?;
    match wrong(&loaded).into_iter().next() {
        Some(first) => Err(ConfigError::Conflict(first)),
        None => Ok(loaded),
    }
}

/// Everything that is wrong with the text of a file, and with what is put over it.
pub(crate) fn check_text(
    path: &Path,
    text: &str,
    environment: &[(String, String)],
    set: &[String],
) -> Result<(Loaded, Vec<Wrong>), ConfigError> {
    let loaded = layered(path, text, environment, set)?;
    let wrong = wrong(&loaded);
    Ok((loaded, wrong))
}

fn layered(
    path: &Path,
    text: &str,
    environment: &[(String, String)],
    set: &[String],
) -> Result<Loaded, ConfigError> {
    let config = parse(text).map_err(|message| ConfigError::Bad { path: path.to_owned(), message })?;
    let mut given = variables(environment).map_err(ConfigError::Given)?;
    given.extend(assignments(set).map_err(ConfigError::Given)?);
    let config = overlay(config, &given).map_err(ConfigError::Given)?;
    let mut sources: BTreeMap<String, Source> =
        lines(text).into_iter().map(|(key, line)| (key, Source::File(line))).collect();
    sources.extend(given.into_iter().map(|one| (one.key, one.source)));
    Ok(Loaded { config, sources })
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
    let place = number.map_or(String::new(), |number| format!(" in line {number}"));
    match nearest(unknown, known.iter().copied()) {
        Some(near) => {
            format!("unknown key '{unknown}'{place}: did you mean '{near}'? known here: {}", known.join(", "))
        }
        None => first.to_owned(),
    }
}

/// Tests settings for themselves and against each other; the first of one key is told.
fn wrong(loaded: &Loaded) -> Vec<Wrong> {
    let config = &loaded.config;
    let mut found = Vec::new();
    let mut say = |key: &str, message: String| {
        found.push(Wrong { key: key.to_owned(), message, source: loaded.source(key) });
    };
    if let Some(text) = bad_level(&config.logging.level) {
        say("logging.level", text);
    }
    let control = &config.control;
    exposed("control", control.listen, control.insecure_listen, control.tls.as_ref(), &mut say);
    let metrics = &config.metrics;
    exposed("metrics", metrics.listen, metrics.insecure_listen, metrics.tls.as_ref(), &mut say);
    let portmap = &config.portmap;
    if portmap.enabled && !portmap.listen.ip().is_loopback() && portmap.listen.port() == 0 {
        say("portmap.listen", "a fixed port is needed".to_owned());
    }
    if let Some(database) = &control.database {
        bad_database("control.database", &database.url, database.connections, &mut say);
    }
    if let Some(database) = &config.metadata.postgres {
        bad_database("metadata.postgres", &database.url, database.connections, &mut say);
    }
    for (key, number) in [
        ("control.requests_per_second", u64::from(control.requests_per_second)),
        ("control.max_requests", control.max_requests as u64),
        ("control.login_tries_per_minute", u64::from(control.login_tries_per_minute)),
        ("control.session_hours", u64::from(control.session_hours)),
        ("audit.keep_days", u64::from(config.audit.keep_days)),
        ("nfs.max_connections", config.nfs.max_connections as u64),
        ("nfs.max_requests_per_connection", config.nfs.max_requests_per_connection as u64),
    ] {
        if number == 0 {
            say(key, "0 would let nothing through; write at least 1".to_owned());
        }
    }
    if config.logging.keep_files > KEEP_FILES_MAX {
        say("logging.keep_files", format!("at most {KEEP_FILES_MAX}: each rotation renames them all"));
    }
    found
}

/// More files than this make each rotation slow.
const KEEP_FILES_MAX: u32 = 1000;

/// What is wrong with a level or filter.
pub(crate) fn bad_level(level: &str) -> Option<String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    for part in level.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        if !levels.contains(&level.to_ascii_lowercase().as_str()) {
            return Some(format!(
                "'{part}' is not a level; write one of {}, or a filter such as info,dfs_nfs=debug",
                levels.join(", ")
            ));
        }
    }
    None
}

fn exposed(
    section: &str,
    listen: SocketAddr,
    insecure: bool,
    tls: Option<&TlsConfig>,
    say: &mut impl FnMut(&str, String),
) {
    if let Some(tls) = tls {
        for (name, path) in [("cert", &tls.cert), ("key", &tls.key)] {
            if path.as_os_str().is_empty() {
                say(
                    &format!("{section}.tls.{name}"),
                    format!("name the PEM file; {section}.tls needs cert and key"),
                );
            }
        }
    } else if !listen.ip().is_loopback() && !insecure {
        say(
            &format!("{section}.listen"),
            format!(
                "{listen} is reachable from the network without TLS; set {section}.tls, use 127.0.0.1, or set {section}.insecure_listen: true if that is meant"
            ),
        );
    }
}

fn bad_database(section: &str, url: &str, connections: Option<usize>, say: &mut impl FnMut(&str, String)) {
    let key = format!("{section}.url");
    if url.is_empty() {
        return say(&key, "is missing: write postgres://user@host:port/database".to_owned());
    }
    match url.parse::<tokio_postgres::Config>() {
        Err(error) => say(&key, format!("is no address of a database: {error}")),
        Ok(parsed) if parsed.get_password().is_some() => {
            say(
                &key,
                format!(
                    "has a password, which would be shown; put it into a file and name that as {section}.password_file"
                ),
            );
        }
        Ok(_) => {}
    }
    if connections == Some(0) {
        say(&format!("{section}.connections"), "0 would let nothing through; write at least 1".to_owned());
    }
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
        let found = |text: &str| check_text(Path::new("f"), text, &[], &[]).unwrap().1;
        let open = found("control:\n  listen: 0.0.0.0:8080\n");
        assert_eq!((open[0].key.as_str(), &open[0].source), ("control.listen", &Source::File(2)));
        assert!(open[0].message.contains("insecure_listen"));
        assert!(found("control:\n  listen: 0.0.0.0:8080\n  insecure_listen: true\n").is_empty());
        let tls = "control:\n  listen: 0.0.0.0:8080\n  tls: {cert: /c.pem, key: /k.pem}\n";
        assert!(found(tls).is_empty());
        assert_eq!(found("metrics: {tls: {cert: /c.pem}}\n")[0].key, "metrics.tls.key");
    }

    #[test]
    fn empty_file_is_all_defaults() {
        assert_eq!(parse("# nothing\n").unwrap().nfs.listen.port(), 12049);
    }

    #[test]
    fn command_line_goes_before_environment_before_file_before_default() {
        let path = Path::new("f");
        let environment = [("DFS_JOURNAL__SIZE".to_owned(), "2GiB".to_owned())];
        let set = ["journal.size=3GiB".to_owned()];
        let file = "flush: {after: 5s}\njournal:\n  size: 1GiB\n";
        let of = |text: &str, environment: &[(String, String)], set: &[String]| {
            let loaded = layered(path, text, environment, set).unwrap();
            (loaded.config.journal.size.map(|size| size.0 >> 30), loaded.source("journal.size"))
        };
        assert_eq!(of("", &[], &[]), (None, Source::Default));
        assert_eq!(of(file, &[], &[]), (Some(1), Source::File(3)));
        let variable = Source::Environment("DFS_JOURNAL__SIZE".to_owned());
        assert_eq!(of(file, &environment, &[]), (Some(2), variable));
        assert_eq!(of(file, &environment, &set), (Some(3), Source::CommandLine));
        let loaded = layered(path, file, &environment, &set).unwrap();
        assert_eq!(loaded.source("flush.after"), Source::File(1));
    }

    #[test]
    fn address_of_a_database_has_no_password_and_is_not_missing() {
        let found = |text: &str| check_text(Path::new("f"), text, &[], &[]).unwrap().1;
        let with = found("metadata:\n  postgres: {url: 'postgres://u:secret@h/d'}\n");
        assert!(with[0].message.contains("password_file") && !with[0].to_string().contains("secret"));
        assert_eq!(found("control: {database: {tls: off}}\n")[0].key, "control.database.url");
        assert!(found("metadata:\n  postgres: {url: 'postgres://u@h/d'}\n").is_empty());
    }
}
