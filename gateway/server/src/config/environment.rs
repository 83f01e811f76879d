//! Settings outside the file: `DFS_SECTION__KEY=value` in the environment, and `--set section.key=value` on the command line.
//!
//! `DFS_JOURNAL__SIZE` is `journal.size`; a section within a section takes two more underscores
//! (`DFS_METADATA__POSTGRES__URL`). `DFS_DATA_DIR` and `DFS_SHUTDOWN_TIMEOUT` are the keys without a section. An empty value
//! counts as none. Other variables without two underscores are left alone: container systems make many.

use super::keys::{Kind, known, nearest};
use super::{Config, Source};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// First letters of every variable.
const PREFIX: &str = "DFS_";
/// What separates a section from its key.
const BETWEEN: &str = "__";

/// One setting that is given outside the file.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Its dotted name.
    pub key: String,
    text: String,
    kind: Kind,
    /// How it was spelled where it was given.
    spelled: String,
    /// Where it comes from.
    pub source: Source,
}

/// The settings among the variables of an environment. *Errors:* a sentence that names the nearest known variable.
pub(super) fn variables(environment: &[(String, String)]) -> Result<Vec<Given>, String> {
    let known = known();
    let mut given = Vec::new();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if text.is_empty() {
            continue;
        }
        let key = rest.split(BETWEEN).map(str::to_ascii_lowercase).collect::<Vec<_>>().join(".");
        match known.get(&key) {
            Some(kind) => given.push(Given {
                key,
                text: text.clone(),
                kind: *kind,
                spelled: name.clone(),
                source: Source::Environment(name.clone()),
            }),
            None if rest.contains(BETWEEN) => return Err(unknown_variable(name, &key, &known)),
            None => {}
        }
    }
    given.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(given)
}

fn unknown_variable(name: &str, key: &str, known: &BTreeMap<String, Kind>) -> String {
    let near = nearest(key, known.keys().map(String::as_str)).unwrap_or("data_dir");
    format!("unknown variable {name} in the environment: did you mean {}?", variable(near))
}

/// The variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', BETWEEN))
}

/// The settings of `--set KEY=VALUE`. *Errors:* a sentence that names the nearest known key.
pub(super) fn assignments(texts: &[String]) -> Result<Vec<Given>, String> {
    let known = known();
    let mut given = Vec::new();
    for text in texts {
        let Some((key, value)) = text.split_once('=') else {
            return Err(format!("--set {text}: write it as --set section.key=value"));
        };
        let Some(kind) = known.get(key) else {
            let near = nearest(key, known.keys().map(String::as_str)).unwrap_or("data_dir");
            return Err(format!("--set {text}: unknown key '{key}': did you mean '{near}'?"));
        };
        given.push(Given {
            key: key.to_owned(),
            text: value.to_owned(),
            kind: *kind,
            spelled: format!("--set {key}"),
            source: Source::CommandLine,
        });
    }
    Ok(given)
}

impl Given {
    fn value(&self) -> Result<Value, String> {
        let bad = |what: &str| format!("{}: '{}' is not {what}", self.spelled, self.text);
        match self.kind {
            Kind::Text => Ok(Value::from(self.text.as_str())),
            Kind::Number => self.text.trim().parse::<u64>().map(Value::from).map_err(|_| bad("a number")),
            Kind::Flag => match self.text.trim().to_ascii_lowercase().as_str() {
                "true" => Ok(Value::from(true)),
                "false" => Ok(Value::from(false)),
                _ => Err(bad("true or false")),
            },
        }
    }
}

/// Puts settings over a configuration, one after the other. *Errors:* a sentence that names the one that is not understood.
pub(super) fn overlay(mut config: Config, given: &[Given]) -> Result<Config, String> {
    for one in given {
        let mut tree = serde_json::to_value(&config).map_err(|error| error.to_string())?;
        put(&mut tree, &one.key, one.value()?);
        config = serde_json::from_value(tree)
            .map_err(|error| format!("{}: '{}': {error}", one.spelled, one.text))?;
    }
    Ok(config)
}

fn put(tree: &mut Value, key: &str, value: Value) {
    let mut at = tree;
    for part in key.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables(&pairs).and_then(|given| overlay(Config::default(), &given))
    }

    #[test]
    fn variables_set_keys_of_sections_and_of_sections_in_sections() {
        let config = read(&[
            ("DFS_JOURNAL__SIZE", "2GiB"),
            ("DFS_CONTROL__LISTEN", "127.0.0.1:1"),
            ("DFS_METADATA__POSTGRES__URL", "postgres://u@h/d"),
            ("DFS_METADATA__POSTGRES__TLS", "off"),
            ("DFS_PORTMAP__ENABLED", "true"),
            ("DFS_NFS__MAX_CONNECTIONS", "7"),
            ("DFS_DATA_DIR", "/data"),
            ("DFS_LOGGING__LEVEL", "off"),
            ("DFS_FLUSH__AFTER", ""),
            ("DFS_SERVICE_PORT", "tcp://10.0.0.1:1"),
            ("PATH", "x"),
        ])
        .unwrap();
        assert_eq!(config.journal.size, Some(super::super::Size(2 << 30)));
        assert_eq!(config.control.listen.port(), 1);
        let database = config.metadata.postgres.unwrap();
        assert_eq!((database.url.as_str(), database.tls), ("postgres://u@h/d", crate::config::TlsMode::Off));
        assert!(config.portmap.enabled && config.flush.after.is_none());
        assert_eq!((config.nfs.max_connections, config.logging.level.as_str()), (7, "off"));
        assert_eq!(config.data_dir.unwrap(), std::path::Path::new("/data"));
    }

    #[test]
    fn variable_that_is_unknown_is_refused_with_the_nearest_one() {
        let error = read(&[("DFS_JOURNAL__SISE", "1")]).unwrap_err();
        assert!(error.contains("DFS_JOURNAL__SISE") && error.contains("mean DFS_JOURNAL__SIZE?"), "{error}");
    }

    #[test]
    fn value_that_is_wrong_names_its_variable() {
        for (name, value, word) in [
            ("DFS_JOURNAL__SIZE", "big", "not a size"),
            ("DFS_NFS__MAX_CONNECTIONS", "many", "not a number"),
            ("DFS_PORTMAP__ENABLED", "perhaps", "true or false"),
            ("DFS_CONTROL__LISTEN", "everywhere", "address"),
            ("DFS_LOGGING__FORMAT", "xml", "json"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn every_setting_has_a_variable_that_is_read_back() {
        for key in known().keys() {
            let name = variable(key);
            let rest = name.strip_prefix(PREFIX).unwrap().to_ascii_lowercase().replace(BETWEEN, ".");
            assert_eq!(rest, *key);
        }
    }

    #[test]
    fn assignment_of_the_command_line_needs_a_known_key() {
        let given = assignments(&["journal.size=1GiB".to_owned()]).unwrap();
        assert_eq!(
            overlay(Config::default(), &given).unwrap().journal.size,
            Some(super::super::Size(1 << 30))
        );
        assert!(assignments(&["journal.sise=1".to_owned()]).unwrap_err().contains("'journal.size'"));
        assert!(assignments(&["journal".to_owned()]).unwrap_err().contains("section.key=value"));
    }
}
