//! What other gateways change in a control database that they share, acted on here.
//!
//! People, permissions and netgroups; shares added, changed, enabled, disabled and deleted; stores added, removed and given
//! other credentials. Adapters are each gateway's own and are not followed. A change of this gateway is made here before its
//! row is written, so it finds itself done already. A metadata store in another gateway's data folder is not opened here, and
//! its shares stand by: only their own gateway serves and deletes them.
//!
//! A change that others made is acted on without asking whom it cuts: who made it was asked.

use super::Runtime;
use dfs_api::{ColdStoreConfig, MetadataStoreConfig, Netgroup, ShareConfig};
use dfs_control::rows::{GrantRow, GroupRow, IdmapRow, SettingRow};
use dfs_control::{ControlDatabase, ControlPlane, Row, Snapshot, UserRow};
use std::sync::Arc;
use std::time::Duration;

/// Between a change and the look at it: a change of this gateway's own is written down within it.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a share that was deleted elsewhere may take to close here.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

impl Runtime {
    /// Acts on what is changed, until its task is ended. Costs nothing where the database is this gateway's alone.
    pub async fn follow(self: Arc<Self>, database: Arc<ControlDatabase>, plane: Arc<ControlPlane>) {
        if self.config.control.database.is_none() {
            return std::future::pending().await;
        }
        let mut changes = database.watch();
        let mut seen = Arc::new(Snapshot::default());
        loop {
            let now = database.snapshot();
            if people_changed(&seen, &now) {
                plane.tell_identities();
            }
            if !now.same::<SettingRow>(&seen) {
                plane.apply_settings().await;
            }
            self.act_on(&seen, &now).await;
            seen = now;
            if changes.changed().await.is_err() {
                return;
            }
            if !people_changed(&seen, &database.snapshot()) {
                tokio::time::sleep(SETTLE).await;
            }
            changes.mark_unchanged();
        }
    }

    async fn act_on(&self, before: &Snapshot, now: &Snapshot) {
        if !now.same::<Netgroup>(before) {
            let groups: Vec<Netgroup> = now.rows::<Netgroup>().map(|row| row.as_ref().clone()).collect();
            self.take_netgroups(&groups).await;
        }
        for (name, row) in changed::<MetadataStoreConfig>(before, now) {
            self.follow_metadata(&name, row.as_deref()).await;
        }
        for (name, row) in changed::<ColdStoreConfig>(before, now) {
            self.follow_cold(&name, row.as_deref()).await;
        }
        for (name, row) in changed::<ShareConfig>(before, now) {
            self.follow_share(&name, row.as_deref()).await;
        }
    }

    async fn follow_metadata(&self, name: &str, row: Option<&MetadataStoreConfig>) {
        let known = self.state.read().metadata.contains_key(name);
        let done = match row {
            Some(config) if !known && !self.is_elsewhere(config) => match self.open_metadata(config).await {
                Ok(store) => {
                    self.state.write().metadata.insert(name.to_owned(), store);
                    Ok(())
                }
                Err(failure) => Err(failure.message),
            },
            None if known => {
                let removed = dfs_control::Backend::remove_metadata_store(self, name).await;
                removed.map_err(|problem| problem.to_string())
            }
            _ => return,
        };
        match done {
            Ok(()) => tracing::info!(store = name, "a metadata store was changed elsewhere"),
            Err(why) => tracing::error!(store = name, why, "a metadata store that was changed elsewhere"),
        }
    }

    async fn follow_cold(&self, name: &str, row: Option<&ColdStoreConfig>) {
        let known = self.state.read().cold.get(name).map(|live| live.config.clone());
        let done = match (row, known) {
            (Some(config), None) => {
                self.open_cold_or_keep(config).await.map(|_| ()).map_err(|failure| failure.message)
            }
            (Some(config), Some(known)) if known != *config => {
                self.replace_credentials(config).await.map_err(|problem| problem.to_string())
            }
            (None, Some(_)) => {
                let removed = dfs_control::Backend::remove_cold_store(self, name).await;
                removed.map_err(|problem| problem.to_string())
            }
            _ => return,
        };
        match done {
            Ok(()) => tracing::info!(store = name, "a cold store was changed elsewhere"),
            Err(why) => tracing::error!(store = name, why, "a cold store that was changed elsewhere"),
        }
    }

    async fn follow_share(&self, name: &str, row: Option<&ShareConfig>) {
        let known = match self.share(name) {
            Some(live) => Some(live.config.clone()),
            None => self.state.read().failed.get(name).map(|failed| failed.config.clone()),
        };
        let done = match (row, known) {
            (Some(config), None) => {
                if config.enabled {
                    let _opening = self.opening.lock().await;
                    // One that cannot be opened is told of where it is kept.
                    let _ = self.open_or_keep(config).await;
                    Ok(())
                } else {
                    let id = self.known_id(config).await;
                    self.keep_disabled(config, id, None);
                    Ok(())
                }
            }
            (Some(config), Some(known)) if known != *config => self.follow_rules(config, &known).await,
            (None, Some(_)) => {
                let _opening = self.opening.lock().await;
                self.state.write().failed.remove(name);
                self.close_share(name, CLOSE_WITHIN).await;
                self.export();
                Ok(())
            }
            _ => return,
        };
        match done {
            Ok(()) => tracing::info!(share = name, "a share was changed elsewhere"),
            Err(problem) => tracing::error!(share = name, %problem, "a share that was changed elsewhere"),
        }
    }

    async fn follow_rules(&self, config: &ShareConfig, known: &ShareConfig) -> Result<(), dfs_api::Problem> {
        match (known.enabled, config.enabled) {
            (false, true) => self.put_into_service(config).await,
            (true, false) => self.take_out_of_service(config, true).await,
            _ => self.apply_change(config).await,
        }
    }
}

/// Whether who may do what has changed.
fn people_changed(before: &Snapshot, now: &Snapshot) -> bool {
    !(now.same::<UserRow>(before)
        && now.same::<GroupRow>(before)
        && now.same::<GrantRow>(before)
        && now.same::<IdmapRow>(before))
}

/// Rows that are new, other ones, or gone, by key.
fn changed<R: Row + PartialEq>(before: &Snapshot, now: &Snapshot) -> Vec<(String, Option<Arc<R>>)> {
    if now.same::<R>(before) {
        return Vec::new();
    }
    let other = |row: &&Arc<R>| before.get::<R>(&row.key()).is_none_or(|known| known != *row);
    let mut found: Vec<_> = now.rows::<R>().filter(other).map(|row| (row.key(), Some(row.clone()))).collect();
    let gone = before.rows::<R>().filter(|row| !now.has::<R>(&row.key()));
    found.extend(gone.map(|row| (row.key(), None)));
    found
}
