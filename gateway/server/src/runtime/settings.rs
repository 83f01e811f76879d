//! The configuration file's settings as the control plane shows them, and those that act at once.

use crate::config::Config;
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
/// What each setting does, where its name alone does not say it.
const SAID: &[(&str, &str)] = &[
    ("audit.keep_days", "Days that records of the audit log are kept."),
    ("control.database", "The Postgres database of the control plane; the data folder's own without it."),
    ("control.insecure_listen", "Whether plain HTTP may be served to the network."),
    ("control.listen", "Address and port of REST."),
    ("control.login_tries_per_minute", "Wrong logins that one address may try in a minute."),
    ("control.max_requests", "Requests to REST that are worked on at the same time."),
    ("control.requests_per_second", "Requests to REST that one address may send in a second."),
    ("control.session_hours", "Hours after which a login ends that is not used."),
    ("control.tls", "Certificate and key of REST, and the certificates that clients must be signed by."),
    ("data_dir", "Folder of all local state."),
    ("disk.min_free", "Creates are refused below this much free space."),
    ("flush.after", "Age at which dirty data goes to the object store."),
    ("journal.segment", "Bytes of one segment of the journal."),
    ("journal.size", "Bytes of the journal, shared by all shares."),
    ("journal.sync_max", "Longest time until a record is synced."),
    ("logging.format", "Text or JSON."),
    ("logging.file", "File of a gateway in the background; dfs.log in the data folder without it."),
    ("logging.keep_files", "Log files put aside that are kept."),
    ("logging.level", "What is logged: error, warn, info, debug, trace, or a filter."),
    ("logging.rotate_after", "Age at which the log file is put aside; 0s: never."),
    ("logging.rotate_bytes", "Bytes at which the log file is put aside; 0: never."),
    ("memory.budget", "Bytes for caches and buffers."),
    ("metadata.postgres", "The database of metadata stores of kind postgres."),
    ("metadata.reserve", "Disk space set aside so that deleting works on a full disk."),
    ("metrics.enabled", "Whether metrics are served."),
    ("metrics.insecure_listen", "Whether metrics may be served to the network over plain HTTP."),
    ("metrics.listen", "Address and port of the metrics."),
    ("metrics.tls", "Certificate and key of the metrics."),
    ("nfs.idle_timeout", "A client that says nothing for so long is disconnected; 0s: never."),
    ("nfs.listen", "Address and port of NFS where the adapter has no other."),
    ("nfs.max_connections", "NFS clients connected at the same time."),
    ("nfs.max_requests_per_connection", "Requests of one NFS client that are worked on at the same time."),
    ("nfs.request_memory", "Bytes of NFS requests in memory."),
    ("nfs.require_privileged_port", "Refuse NFS clients that do not come from a port below 1024."),
    ("pack.delete_after", "How long a dead pack's object is kept."),
    ("pack.owner_settle", "How long a share must have been ours before anything in the bucket is deleted."),
    ("pack.size", "Target bytes of a pack."),
    ("pack.sweep_every", "How often the bucket is listed for objects that no row knows."),
    ("pack.uploads", "Packs uploaded at the same time."),
    ("portmap.enabled", "Whether a portmapper is served."),
    ("portmap.listen", "Address and port of the portmapper."),
    ("shutdown_timeout", "How long a stop waits for requests under way."),
    ("warm.dir", "Folder of the warm tier."),
    ("warm.size", "Bytes of the warm tier; 0 turns it off."),
];

/// Sections of settings: everything else that is an object is a value.
fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    let is_section =
        |key: &str| !matches!(key, "control.tls" | "metrics.tls" | "control.database" | "metadata.postgres");
    match value {
        Value::Object(fields) if prefix.is_empty() || is_section(prefix) => {
            for (name, value) in fields {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, into);
            }
        }
        value => {
            into.insert(prefix.to_owned(), value.clone());
        }
    }
}

fn values(config: &Config) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    flatten("", &serde_json::to_value(config).unwrap_or_default(), &mut found);
    found
}

/// Every setting with its value in the configuration file. There are no secrets in it: passwords are in files of their own.
pub(super) fn list(config: &Config) -> Vec<Setting> {
    let defaults = values(&Config::default());
    let described = |key: &str| SAID.iter().find(|(known, _)| *known == key).map_or("", |(_, said)| *said);
    let setting = |(key, value): (String, Value)| {
        let default = defaults.get(&key).cloned().unwrap_or_default();
        Setting {
            description: described(&key).to_owned(),
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
