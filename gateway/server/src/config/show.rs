//! The configuration as it takes effect: every setting with its value and where that comes from; secrets as `***`.

use super::{Config, Loaded, Source};
use crate::runtime::budget;
use dfs_stack::StackSettings;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// A setting as it takes effect.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// Its dotted name.
    pub key: String,
    /// Its value; null where nothing is set and nothing takes its place.
    pub value: Value,
    /// Where it comes from, in words.
    pub source: String,
}

/// Every setting. Those that follow from the machine are computed as a start computes them, where the data folder is there.
pub(crate) fn effective(loaded: &Loaded) -> Vec<Shown> {
    let tree = serde_json::to_value(&loaded.config).unwrap_or_default();
    let computed = computed(&loaded.config);
    let mut shown = Vec::new();
    flatten(&tree, "", &mut |key, value| {
        let source = loaded.source(key);
        let (value, source) = match (value, computed.iter().find(|(name, ..)| *name == key)) {
            (Value::Null, Some((_, value, how))) => (value.clone(), format!("{}{how}", Source::Default)),
            _ => (hidden(key, value), source.to_string()),
        };
        shown.push(Shown { key: key.to_owned(), value, source });
    });
    shown
}

fn flatten(tree: &Value, within: &str, each: &mut impl FnMut(&str, &Value)) {
    let Some(parts) = tree.as_object() else { return each(within, tree) };
    let mut parts: Vec<_> = parts.iter().collect();
    // Keys without a section come first, as in a file.
    parts.sort_by_key(|(_, value)| value.is_object());
    for (key, value) in parts {
        let name = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        flatten(value, &name, each);
    }
}

/// A value that may be shown: secrets are hidden, and the password in an address that should not have one.
pub(crate) fn hidden(key: &str, value: &Value) -> Value {
    let last = key.rsplit('.').next().unwrap_or(key);
    let secret = ["password", "passphrase", "secret", "token", "secret_key"].contains(&last);
    match value {
        Value::String(text) if secret && !text.is_empty() => Value::from(HIDDEN),
        Value::String(text) if last == "url" => Value::from(hide_password(text)),
        _ => value.clone(),
    }
}

/// An address without the password in it. What is not understood may be one in any place, so nothing of it is shown.
fn hide_password(url: &str) -> String {
    match url.parse::<tokio_postgres::Config>() {
        Ok(parsed) if parsed.get_password().is_none() => url.to_owned(),
        Ok(_) => match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, rest)), Some((_, host))) if !host.contains("password") => {
                let user = rest.split([':', '@']).next().unwrap_or_default();
                format!("{scheme}://{user}:{HIDDEN}@{host}")
            }
            _ => HIDDEN.to_owned(),
        },
        Err(_) if url.is_empty() => String::new(),
        Err(_) => HIDDEN.to_owned(),
    }
}

/// The settings that stand in the file as "not set" and have a value all the same, with a word on how.
fn computed(config: &Config) -> Vec<(&'static str, Value, &'static str)> {
    const MACHINE: &str = ", computed from this machine";
    let stack = StackSettings::default();
    let size = |bytes: u64| Value::from(super::Size(bytes).to_string());
    let span = |time: std::time::Duration| Value::from(super::Duration(time).to_string());
    let mut found = vec![
        ("flush.after", span(stack.flush_after), ""),
        ("journal.sync_max", span(crate::runtime::SYNC_MAX), ""),
        ("memory.budget", size(budget::memory_budget(config)), MACHINE),
        ("metadata.reserve", size(budget::RESERVE), ""),
        ("pack.delete_after", span(stack.pack_delete_after), ""),
        ("pack.owner_settle", span(stack.owner_settle), ""),
        ("pack.size", size(stack.pack_size), ""),
        ("pack.sweep_every", span(stack.sweep_every), ""),
        ("pack.uploads", Value::from(stack.uploads_max), ""),
        ("shutdown_timeout", span(crate::serve::SHUTDOWN_WITHIN), ""),
    ];
    let Some(data_dir) = &config.data_dir else { return found };
    let path = |name: &str| Value::from(data_dir.join(name).display().to_string());
    found.push(("logging.file", path(crate::logging::FILE), ""));
    found.push(("warm.dir", path("warm"), ""));
    if let Some(sizes) = sizes_of(config, data_dir) {
        let split = budget::memory(config, &dfs_policy::FixedPolicy, &sizes);
        found.push(("journal.size", size(sizes.journal), MACHINE));
        found.push(("journal.segment", size(sizes.segment), MACHINE));
        found.push(("warm.size", size(sizes.warm), MACHINE));
        found.push(("disk.min_free", size(sizes.min_free), MACHINE));
        found.push(("nfs.request_memory", size(split.requests), MACHINE));
    }
    found
}

/// The sizes that a start would compute now. `None`: there is no folder yet.
pub(crate) fn sizes_of(config: &Config, data_dir: &Path) -> Option<budget::Sizes> {
    let stat = rustix::fs::statvfs(data_dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(budget::sizes(config, bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

/// The settings as a file that can be used, each with where it comes from.
pub(crate) fn as_yaml(shown: &[Shown]) -> String {
    let mut text = String::new();
    let mut within: Vec<&str> = Vec::new();
    for one in shown {
        let parts: Vec<&str> = one.key.split('.').collect();
        let (Some(last), sections) = (parts.last(), &parts[..parts.len() - 1]) else { continue };
        let common = within.iter().zip(sections).take_while(|(a, b)| a == b).count();
        for (depth, section) in sections.iter().enumerate().skip(common) {
            if depth == 0 {
                text.push('\n');
            }
            text.push_str(&format!("{}{section}:\n", "  ".repeat(depth)));
        }
        within = sections.to_vec();
        let line = format!("{}{last}: {}", "  ".repeat(sections.len()), scalar(&one.value));
        text.push_str(&format!("{line:<46} # {}\n", one.source));
    }
    text
}

/// Words that stay as they are in YAML; everything else is put in quotes.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:=@".contains(&byte);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && text.bytes().all(letter)
        && !text.ends_with(':')
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

/// The settings as a tree of values; beside them, as `sources`, where each comes from.
pub(crate) fn as_json(shown: &[Shown]) -> Value {
    let (mut config, mut sources) = (Value::Object(Map::new()), Map::new());
    for one in shown {
        let mut at = &mut config;
        for part in one.key.split('.') {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[part];
        }
        *at = one.value.clone();
        sources.insert(one.key.clone(), Value::from(one.source.as_str()));
    }
    config["sources"] = Value::Object(sources);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check_text;

    fn loaded(text: &str, environment: &[(&str, &str)]) -> Loaded {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check_text(Path::new("f"), text, &environment, &[]).unwrap().0
    }

    #[test]
    fn what_is_shown_is_a_configuration_that_means_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "data_dir: {:?}\nlogging: {{level: off}}\nmetadata:\n  postgres: {{url: 'postgres://u@h:1/d', tls: off}}\nwarm: {{dir: '/a b/#c'}}\n",
            folder.path()
        );
        let loaded = loaded(&text, &[("DFS_JOURNAL__SIZE", "1536MiB")]);
        let shown = effective(&loaded);
        let yaml = as_yaml(&shown);
        let again = check_text(Path::new("f"), &yaml, &[], &[]).unwrap().0;
        let of = |shown: Vec<Shown>| shown.into_iter().map(|one| (one.key, one.value)).collect::<Vec<_>>();
        assert_eq!(of(effective(&again)), of(shown.clone()), "{yaml}");
        let source = |key: &str| {
            let one = shown.iter().find(|one| one.key == key).unwrap_or_else(|| panic!("{key}"));
            (one.value.clone(), one.source.clone())
        };
        assert_eq!(
            source("journal.size"),
            (Value::from("1536MiB"), "environment, DFS_JOURNAL__SIZE".to_owned())
        );
        assert_eq!(source("logging.level"), (Value::from("off"), "file, line 2".to_owned()));
        assert_eq!(source("flush.after"), (Value::from("30s"), "default".to_owned()));
        assert!(source("memory.budget").1.contains("computed"));
        assert!(yaml.contains("\njournal:\n") && yaml.contains("level: \"off\""), "{yaml}");
    }

    #[test]
    fn passwords_are_not_shown() {
        for url in [
            "postgres://u:planted@h:1/d?sslmode=disable",
            "postgres://u@h/d?password=planted",
            "host=h user=u password=planted",
            "postgres://u:planted@h@/d",
            "postgres://u:planted@h:port/d",
        ] {
            let loaded = loaded(&format!("metadata: {{postgres: {{url: '{url}'}}}}\n"), &[]);
            let shown = effective(&loaded);
            assert!(!format!("{}{}", as_yaml(&shown), as_json(&shown)).contains("planted"), "{url}");
        }
        assert_eq!(hide_password("postgres://u:planted@h:1/d"), "postgres://u:***@h:1/d");
        assert_eq!(hidden("a.secret", &Value::from("planted")), "***");
    }
}
