//! Rules of a served share that change without opening it again, and the netgroups that client lists name.

use super::{LiveShare, Runtime, rules};
use dfs_api::{Netgroup, Problem, ShareConfig};
use dfs_auth::ClientRule;
use dfs_model::FsError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Netgroups by name, with their members.
pub(crate) type Netgroups = BTreeMap<String, Vec<ClientRule>>;

impl Runtime {
    /// Takes every netgroup that there is, and exports what changed. A member that is no rule (a newer version wrote it) is
    /// left out and told of.
    pub async fn take_netgroups(&self, groups: &[Netgroup]) {
        let rules = |group: &Netgroup| {
            let parsed = group.members.iter().filter_map(|text| {
                let rule = text.parse::<ClientRule>();
                rule.inspect_err(
                    |error| tracing::error!(netgroup = %group.name, %error, "a member is left out"),
                )
                .ok()
            });
            (group.name.clone(), parsed.collect())
        };
        let known: Netgroups = groups.iter().map(rules).collect();
        self.state.write().netgroups = known;
        self.export();
        self.refresh_hosts().await;
    }

    /// Puts changed rules of a share into force. One that is not served keeps them for its opening.
    pub(super) async fn apply_change(&self, config: &ShareConfig) -> Result<(), Problem> {
        let _opening = self.opening.lock().await;
        let live = self.share(&config.name);
        let id = match &live {
            Some(live) => Some(live.id),
            None => self.state.read().failed.get(&config.name).and_then(|failed| failed.id),
        };
        self.keep_changed(config, id).await?;
        let Some(live) = live else {
            let mut state = self.state.write();
            let failed = state.failed.get_mut(&config.name);
            let failed = failed.ok_or_else(|| Problem::not_found("share", &config.name))?;
            failed.config = config.clone();
            return Ok(());
        };
        let refused = |error: FsError| match error {
            FsError::Exists => {
                Problem::conflict("the recycle bin cannot be made: something else is /.recycle")
            }
            error => Problem::internal(error.to_string()),
        };
        live.engine.set_rules(rules::live(config)).await.map_err(refused)?;
        let changed = LiveShare { config: config.clone(), id: live.id, engine: live.engine.clone() };
        self.state.write().shares.insert(config.name.clone(), Arc::new(changed));
        self.export();
        self.refresh_hosts().await;
        Ok(())
    }
}
