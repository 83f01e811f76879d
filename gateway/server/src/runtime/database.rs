//! The shared metadata database: how its part of the configuration becomes a store, and who this gateway is to it.
//!
//! The gateway's name in ownership rows is the host's name and random digits, kept in `gateway.id` in the data folder: it
//! names the folder with its journal, wherever that is mounted. *A crash* while it is made leaves none; it is made again.

use super::folder::with_causes;
use super::{OpenFailure, Runtime};
use crate::config::{DatabaseConfig, TlsMode};
use dfs_store::{PostgresConfig, PostgresStore, PostgresTls};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A shorter lease would be lost to any hiccup.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// File of the gateway's name.
const ID_FILE: &str = "gateway.id";

impl Runtime {
    /// Opens the database of the configuration. *Errors:* exit code 2 where it is not configured, 5 where it cannot be
    /// reached, 6 where it must not be used.
    pub async fn open_database(&self, name: &str) -> Result<Arc<PostgresStore>, OpenFailure> {
        let Some(database) = &self.config.metadata.postgres else {
            let text = format!(
                "metadata store '{name}' is of kind postgres: set metadata.postgres.url in the configuration and start again"
            );
            return Err(OpenFailure::new(2, text));
        };
        let config = self.database_config(database)?;
        let opened = PostgresStore::open(config).await.map_err(|error| {
            let code = if matches!(error, dfs_store::StoreError::Unavailable(_)) { 5 } else { 6 };
            OpenFailure::new(code, format!("metadata store '{name}': {}", with_causes(&error)))
        });
        opened.map(Arc::new)
    }

    fn database_config(&self, database: &DatabaseConfig) -> Result<PostgresConfig, OpenFailure> {
        let holder = gateway_id(&self.data_dir, self.entropy.random_u128()).map_err(|error| {
            OpenFailure::new(5, format!("{}: {error}", self.data_dir.join(ID_FILE).display()))
        })?;
        let mut config =
            PostgresConfig::new(database.url.clone(), holder, self.clock.clone(), self.entropy.clone());
        if let Some(path) = &database.password_file {
            let read = std::fs::read_to_string(path).map_err(|error| {
                OpenFailure::new(2, format!("metadata.postgres.password_file {}: {error}", path.display()))
            })?;
            config.password = Some(read.trim_end_matches(['\r', '\n']).to_owned());
        }
        config.tls = match database.tls {
            TlsMode::Off => PostgresTls::Off,
            TlsMode::On => PostgresTls::On { ca: database.ca.clone() },
        };
        if let Some(schema) = &database.schema {
            config.schema.clone_from(schema);
        }
        config.lease = database.lease.map_or(config.lease, |lease| lease.0.max(LEASE_MIN));
        config.connections = database.connections.unwrap_or(config.connections);
        config.patience = database.patience.map_or(config.patience, |patience| patience.0);
        Ok(config)
    }
}

/// The name in the folder, made where there is none.
pub(crate) fn gateway_id(data_dir: &Path, random: u128) -> std::io::Result<String> {
    let path = data_dir.join(ID_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = format!("{host}-{:08x}", random as u32);
    let new = data_dir.join(format!("{ID_FILE}.new"));
    let mut file =
        std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    std::fs::File::open(data_dir)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_id_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = gateway_id(folder.path(), 1).unwrap();
        assert!(first.ends_with("-00000001"), "{first}");
        assert_eq!(gateway_id(folder.path(), 2).unwrap(), first);
    }
}
