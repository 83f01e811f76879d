//! Live names for completion.

use crate::contexts::{self, Store};
use crate::output::{Format, Output};
use crate::session::{Globals, Session};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

/// How long somebody who pressed a key waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Names of users.
pub(crate) fn users() -> ArgValueCompleter {
    live("/users", "name")
}

/// Names of groups.
pub(crate) fn groups() -> ArgValueCompleter {
    live("/groups", "name")
}

/// Names of shares.
pub(crate) fn shares() -> ArgValueCompleter {
    live("/shares", "name")
}

/// Names of metadata stores.
pub(crate) fn metadata_stores() -> ArgValueCompleter {
    live("/metadata-stores", "name")
}

/// Names of cold stores.
pub(crate) fn cold_stores() -> ArgValueCompleter {
    live("/cold-stores", "name")
}

/// Names of netgroups.
pub(crate) fn netgroups() -> ArgValueCompleter {
    live("/netgroups", "name")
}

/// Keys of settings.
pub(crate) fn settings() -> ArgValueCompleter {
    live("/settings", "key")
}

/// Principals of identity mappings.
pub(crate) fn principals() -> ArgValueCompleter {
    live("/identity-mappings", "principal")
}

/// Connected clients.
pub(crate) fn clients() -> ArgValueCompleter {
    live("/clients", "id")
}

/// Remembered gateways: no question to anybody.
pub(crate) fn contexts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let known = Store::of_user().and_then(|store| store.read()).unwrap_or_default();
        fitting(known.contexts.into_keys(), current)
    })
}

fn live(path: &'static str, field: &'static str) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        fitting(asked(path, field).unwrap_or_default().into_iter(), current)
    })
}

/// Those that begin as what was typed; a share may be typed as clients spell it, with a slash.
fn fitting(names: impl Iterator<Item = String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let (slash, begin) = current.strip_prefix('/').map_or(("", current), |begin| ("/", begin));
    let printable = |name: &String| !name.chars().any(char::is_control);
    let fits = names.filter(|name| name.starts_with(begin)).filter(printable);
    fits.map(|name| CompletionCandidate::new(format!("{slash}{name}"))).collect()
}

fn asked(path: &str, field: &str) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let session = session();
    let items = runtime.block_on(async {
        let connection = session.connect().ok()?;
        let asked = tokio::time::timeout(PATIENCE, connection.list::<Value>(path)).await;
        asked.ok()?.ok()
    });
    // Whoever waits for another program's lock is left behind.
    runtime.shutdown_background();
    let name = |item: &Value| item.get(field).and_then(Value::as_str).map(str::to_owned);
    Some(items?.iter().filter_map(name).collect())
}

/// What was typed of the options that say which gateway is meant, and the environment.
fn session() -> Session {
    let words: Vec<String> = std::env::args().collect();
    let globals = said(&words, |name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let output = Output { format: Format::Json, color: false };
    Session { within: PATIENCE, quiet: true, ..Session::new(globals, output) }
}

fn said(words: &[String], env: impl Fn(&str) -> Option<String>) -> Globals {
    let option = |flag: &str, variable: &str| {
        let joined = format!("{flag}=");
        let typed = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(&joined) {
            Some(value) => Some(value.to_owned()),
            None if word == flag => words.get(at + 1).cloned(),
            None => None,
        });
        typed.or_else(|| env(variable))
    };
    Globals {
        server: option("--server", "DFSCTL_SERVER").and_then(|url| contexts::server_url(&url).ok()),
        token: option("--token", "DFSCTL_TOKEN"),
        context: option("--context", "DFSCTL_CONTEXT"),
        ca: option("--ca", "DFSCTL_CA").map(PathBuf::from),
        verbose: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_typed_before_come_before_the_environment() {
        let words = ["dfsctl", "--server", "g:1", "user", "show", "--context=c", ""].map(str::to_owned);
        let env = |name: &str| (name == "DFSCTL_SERVER" || name == "DFSCTL_TOKEN").then(|| "env".to_owned());
        let said = said(&words, env);
        assert_eq!(said.server.as_deref(), Some("http://g:1"));
        assert_eq!((said.context.as_deref(), said.token.as_deref()), (Some("c"), Some("env")));
    }

    #[test]
    fn names_fit_with_and_without_a_slash() {
        let names = || ["projects", "private", "media", "pr\nx"].map(str::to_owned).into_iter();
        let fits = |typed: &str| -> Vec<String> {
            let found = fitting(names(), OsStr::new(typed));
            found.iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(fits("pr"), ["projects", "private"]);
        assert_eq!(fits("/m"), ["/media"]);
        assert!(fits("x").is_empty());
    }
}
