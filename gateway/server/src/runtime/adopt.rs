//! Shares that a shared database knows: their settings are kept there, so that every gateway that serves one serves the same.
//!
//! A gateway comes to a share of another by adopting it: it reads the settings, and its stores are its own names for the same
//! database and the same bucket. What is kept in the database decides; this gateway's control database has a copy.

use super::shares::shared_settings;
use super::{LiveCold, OpenFailure, Runtime};
use dfs_api::{AdoptShare, Problem, ShareConfig};
use dfs_cold::KeySpace;
use dfs_model::{Epoch, ShareId};
use dfs_store::{MetadataStore, ShareRecord};
use serde_json::{Map, Value};

/// Settings that are a gateway's own.
const OWN: [&str; 3] = ["name", "metadata", "cold"];
/// The setting that tells that the others are there.
const MARK: &str = "durability";

/// Bytes of one setting that a metadata store keeps.
const VALUE_BYTES_MAX: usize = 4096;

/// Refuses settings that no store keeps. *Errors:* what to change.
pub(super) fn check_settings(settings: &[(String, String)]) -> Result<(), String> {
    match settings.iter().find(|(_, value)| value.len() > VALUE_BYTES_MAX) {
        Some((key, value)) => Err(format!(
            "'{key}' is {} bytes long as a shared database keeps it, {VALUE_BYTES_MAX} are possible: name networks instead of single addresses",
            value.len()
        )),
        None => Ok(()),
    }
}

/// A share's configuration as settings of its record: words as they are, everything else as JSON.
pub(super) fn settings_of(config: &ShareConfig) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(config) else { return Vec::new() };
    let shared = fields.into_iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
    shared
        .map(|(key, value)| match value {
            Value::String(word) => (key, word),
            other => (key, other.to_string()),
        })
        .collect()
}

/// The configuration that a record's settings are, with the stores' names here; `None` where it keeps none. *Errors:* in words.
pub(super) fn config_of(
    record: &ShareRecord,
    metadata: &str,
    cold: &str,
) -> Result<Option<ShareConfig>, String> {
    if !record.settings.iter().any(|(key, _)| key == MARK) {
        return Ok(None);
    }
    let own = ShareConfig::named(&record.name, metadata, cold);
    let Ok(Value::Object(known)) = serde_json::to_value(&own) else {
        return Err("not an object".to_owned());
    };
    let mut fields: Map<String, Value> = known.clone();
    for (key, text) in record.settings.iter().filter(|(key, _)| known.contains_key(key)) {
        let value = match known.get(key) {
            Some(Value::String(_)) => Value::String(text.clone()),
            _ => serde_json::from_str(text).map_err(|error| format!("its setting '{key}': {error}"))?,
        };
        fields.insert(key.clone(), value);
    }
    serde_json::from_value(Value::Object(fields)).map(Some).map_err(|error| format!("its settings: {error}"))
}

/// New settings, with those that are kept beside them (a snapshot schedule, for instance).
fn merged(mut new: Vec<(String, String)>, kept: Vec<(String, String)>) -> Vec<(String, String)> {
    let others: Vec<_> =
        kept.into_iter().filter(|(key, _)| !new.iter().any(|(known, _)| known == key)).collect();
    new.extend(others);
    new
}

impl Runtime {
    /// The configuration of a share of a shared database, with the stores' names here. It is opened afterwards. *Errors:* where
    /// it is not in that store, or where the cold store is not the one that its packs are in.
    pub(super) async fn adopted(&self, name: &str, asked: &AdoptShare) -> Result<ShareConfig, Problem> {
        let (database, cold) = {
            let state = self.state.read();
            (state.databases.get(&asked.metadata).cloned(), state.cold.get(&asked.cold).cloned())
        };
        let database = database.ok_or_else(|| {
            Problem::field(
                "metadata",
                format!("'{}' is not a metadata store of kind postgres", asked.metadata),
            )
        })?;
        let cold = cold.ok_or_else(|| Problem::not_found("cold store", &asked.cold))?;
        let known = database.shares().await.map_err(|error| Problem::internal(error.to_string()))?;
        let Some(record) = known.iter().find(|record| record.name == name) else {
            let names: Vec<&str> = known.iter().map(|record| record.name.as_str()).collect();
            let why = format!(
                "metadata store '{}' has no share '{name}'; it has: {}",
                asked.metadata,
                names.join(", ")
            );
            return Err(Problem::new(404, "not-found", why));
        };
        if record.epoch > Epoch(0) {
            knows_share(&cold, record.share, &asked.cold).await?;
        }
        let config = config_of(record, &asked.metadata, &asked.cold)
            .map_err(|why| Problem::conflict(format!("share '{name}': {why}")))?;
        config.ok_or_else(|| {
            let why = "it was made by an older version that kept its settings elsewhere: open it once, with this version, on the gateway that has it";
            Problem::conflict(format!("share '{name}': {why}"))
        })
    }

    /// Keeps changed settings of a share with it, where that is in a shared database: they are what counts at its next opening,
    /// here and elsewhere. *Errors:* 503 where they cannot be kept; nothing has changed then.
    pub(super) async fn keep_changed(
        &self,
        config: &ShareConfig,
        id: Option<ShareId>,
    ) -> Result<(), Problem> {
        let (Some(database), Some(id)) = (self.database_of(config), id) else { return Ok(()) };
        let refused = |error: dfs_store::StoreError| {
            let why =
                format!("share '{}': its settings cannot be kept in its database: {error}", config.name);
            Problem::new(503, "database-unavailable", why)
        };
        let record = database.share(id).await.map_err(refused)?;
        let settings = merged(shared_settings(config), record.settings);
        check_settings(&settings).map_err(|why| Problem::new(422, "unusable", why))?;
        database.set_share_settings(id, settings).await.map_err(refused)
    }

    /// The configuration of a share that waits, as the shared database has it now: another gateway may have changed it.
    pub(super) async fn refreshed(&self, config: &ShareConfig, id: Option<ShareId>) -> ShareConfig {
        let (Some(database), Some(id)) = (self.database_of(config), id) else { return config.clone() };
        match database.share(id).await {
            Ok(record) => self.as_stored(config, &record).unwrap_or_else(|_| config.clone()),
            // Told when it is opened.
            Err(_) => config.clone(),
        }
    }

    /// What the shared database says of a share's configuration; the given one where it says nothing or is not shared.
    pub(super) fn as_stored(
        &self,
        config: &ShareConfig,
        record: &ShareRecord,
    ) -> Result<ShareConfig, OpenFailure> {
        if self.database_of(config).is_none() {
            return Ok(config.clone());
        }
        let stored = config_of(record, &config.metadata, &config.cold);
        let stored = stored.map_err(|why| OpenFailure::new(6, format!("share '{}': {why}", config.name)))?;
        Ok(stored.unwrap_or_else(|| config.clone()))
    }
}

/// Refuses a cold store that has never seen the share. *Errors:* those of the store too.
async fn knows_share(cold: &LiveCold, share: ShareId, name: &str) -> Result<(), Problem> {
    let keys = KeySpace::new(&cold.prefix).map_err(|error| Problem::field("cold", error.to_string()))?;
    match cold.stack.store().get_owner(&keys.owner(share)).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => {
            let why = format!(
                "cold store '{name}' has nothing of the share: name the one with the bucket and prefix that its packs are in"
            );
            Err(Problem::field("cold", why))
        }
        Err(error) => Err(Problem::internal(format!("cold store '{name}': {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_api::{Durability, Recycle, ShareRules};
    use dfs_model::Generation;

    #[test]
    fn changed_settings_replace_their_own_and_leave_what_is_kept_beside_them() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let kept = vec![pair("squash", "none"), pair("snapshots", "hourly"), pair("enabled", "true")];
        let now = merged(vec![pair("enabled", "false"), pair("squash", "all_to_guest")], kept);
        assert_eq!(
            now,
            [pair("enabled", "false"), pair("squash", "all_to_guest"), pair("snapshots", "hourly")]
        );
    }

    #[test]
    fn configuration_goes_into_settings_and_back_under_other_store_names() {
        let config = ShareConfig {
            durability: Durability::Remote,
            clients: vec!["10.0.0.0/8".to_owned(), "*".to_owned()],
            rules: ShareRules {
                quotas: true,
                recycle: Some(Recycle { keep_days: 3, bytes_max: 5 }),
                ..ShareRules::default()
            },
            root_mode: 0o1777,
            ..ShareConfig::named("s", "here", "bucket")
        };
        let mut record = ShareRecord {
            share: ShareId(1),
            name: "s".to_owned(),
            incarnation: Generation(1),
            fsid: 1,
            handle_key: [0; 16],
            fold_version: 1,
            block_size: 65_536,
            created: Default::default(),
            epoch: Epoch(0),
            settings: settings_of(&config),
        };
        assert!(
            record.settings.contains(&("durability".to_owned(), "remote".to_owned())),
            "as the database reads it"
        );
        record.settings.push(("acl_mode".to_owned(), "masked".to_owned()));
        let back = config_of(&record, "there", "other").unwrap().unwrap();
        let wanted = ShareConfig { metadata: "there".to_owned(), cold: "other".to_owned(), ..config };
        assert_eq!(back, wanted);
        record.settings.retain(|(key, _)| key != "durability");
        assert_eq!(config_of(&record, "there", "other"), Ok(None));
    }
}
