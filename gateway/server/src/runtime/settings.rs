//! The configuration file's settings as the control plane shows them, and those that act at once.

use crate::config::{Config, hidden};
use dfs_api::{Problem, Setting, SettingSource};
use serde_json::Value;
use std::collections::BTreeMap;

/// Settings that may be changed while the gateway runs.
const LIVE: [&str; 5] = [
    "logging.level",
    "control.requests_per_second",
    "control.login_tries_per_minute",
    "control.session_hours",
    "audit.keep_days",
];
/// What settings do whose schema does not say it.
const SAID: &[(&str, &str)] = &[
    ("control.insecure_listen", "Whether plain HTTP may be served to the network."),
    ("control.listen", "Address and port of REST."),
    ("logging.format", "Text or JSON."),
    ("metrics.enabled", "Whether metrics are served."),
    ("metrics.insecure_listen", "Whether metrics may be served to the network over plain HTTP."),
    ("metrics.listen", "Address and port of the metrics."),
    ("nfs.listen", "Address and port of NFS where the adapter has no other."),
    ("nfs.max_connections", "NFS clients connected at the same time."),
    ("portmap.enabled", "Whether a portmapper is served."),
    ("portmap.listen", "Address and port of the portmapper."),
];

fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, into);
            }
        }
        value => {
            into.insert(prefix.to_owned(), hidden(prefix, value));
        }
    }
}

fn values(config: &Config) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    flatten("", &serde_json::to_value(config).unwrap_or_default(), &mut found);
    found
}

/// What the configuration's schema says of a setting.
fn in_schema(schema: &Value, key: &str) -> Option<String> {
    let inner = key.split('.').try_fold(schema, |schema, part| {
        let choices = schema["anyOf"].as_array().into_iter().flatten();
        std::iter::once(schema).chain(choices).find_map(|choice| choice["properties"].get(part))
    });
    inner?["description"].as_str().map(|text| text.replace('\n', " "))
}

/// Every setting with its value in the configuration file; what could be a secret is hidden.
pub(super) fn list(config: &Config) -> Vec<Setting> {
    let (defaults, schema) = (values(&Config::default()), crate::config::schema());
    let described = |key: &str| {
        let said = SAID.iter().find(|(known, _)| *known == key).map(|(_, said)| (*said).to_owned());
        said.or_else(|| in_schema(&schema, key)).unwrap_or_default()
    };
    let setting = |(key, value): (String, Value)| {
        let default = defaults.get(&key).cloned().unwrap_or_default();
        Setting {
            description: described(&key),
            live: LIVE.contains(&key.as_str()),
            source: if value == default { SettingSource::Default } else { SettingSource::File },
            key,
            value,
            default,
        }
    };
    values(config).into_iter().map(setting).collect()
}

/// Puts a setting of this process into force; those of the control plane are its own matter. *Errors:* 404 for none that can
/// be changed, 400 for a value that it does not take.
pub(super) fn apply(config: &Config, key: &str, value: Option<&Value>) -> Result<(), Problem> {
    if !LIVE.contains(&key) {
        return Err(Problem::not_found("setting that can be changed", key));
    }
    if key != "logging.level" {
        return Ok(());
    }
    let level = match value {
        None => config.logging.level.as_str(),
        Some(Value::String(level)) => level,
        Some(_) => return Err(Problem::field("value", "a level, or a filter such as info,dfs_nfs=debug")),
    };
    let log = crate::logging::handle().ok_or_else(|| Problem::internal("there is no log"))?;
    log.set_level(level).map_err(|why| Problem::field("value", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_once_with_words_and_every_word_is_of_a_setting() {
        let mut config = Config::default();
        config.logging.level = "debug".to_owned();
        let listed = list(&config);
        for setting in &listed {
            assert!(!setting.description.is_empty(), "{} has no words", setting.key);
        }
        for (key, _) in SAID {
            assert!(listed.iter().any(|setting| setting.key == *key), "{key} is no setting");
        }
        for key in LIVE {
            assert!(listed.iter().any(|setting| setting.key == key && setting.live), "{key}");
        }
        let level = listed.iter().find(|setting| setting.key == "logging.level").unwrap();
        assert_eq!(
            (level.source, &level.value, &level.default),
            (SettingSource::File, &"debug".into(), &"info".into())
        );
    }
}
