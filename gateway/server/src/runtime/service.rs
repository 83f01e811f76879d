//! Shares in and out of service by command: disabled they are not served, and everything in them stays.
//!
//! Clients of a disabled share are told to ask again later, as while a share is down: a mount waits and goes on when the
//! share is back, instead of failing writes that its users believe safe. New mounts are refused. What was acknowledged is in
//! the journal; as much of it as can be is placed in the object store before the share closes.

use super::nfs::refuse_cut;
use super::{FailedShare, LiveShare, Runtime};
use dfs_api::{Problem, ShareConfig};
use std::sync::Arc;
use std::time::Duration;

/// How long placing dirty data may take before a share closes, and requests under way to end: less than a REST request.
const PLACE_WITHIN: Duration = Duration::from_secs(8);
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
/// How often requests under way are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long closing may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

impl Runtime {
    /// Serves a share that was disabled.
    pub(super) async fn put_into_service(&self, config: &ShareConfig) -> Result<(), Problem> {
        let _opening = self.opening.lock().await;
        if self.share(&config.name).is_some() {
            return Ok(());
        }
        let former = self.state.read().failed.get(&config.name).is_some_and(FailedShare::former_lives);
        if former {
            let why = "requests from before it was disabled have not ended yet; try again in a moment";
            return Err(Problem::conflict(why).again_after(1));
        }
        let config = ShareConfig { enabled: true, ..config.clone() };
        let id = self.state.read().failed.get(&config.name).and_then(|failed| failed.id);
        self.keep_changed(&config, id).await?;
        match self.open_or_keep(&config).await {
            Ok(_) => self.refresh_hosts().await,
            // Enabled all the same: it waits, as at a start, and is told of.
            Err(failure) if failure.may_pass => {}
            Err(failure) => {
                let id = self.known_id(&config).await;
                let config = ShareConfig { enabled: false, ..config };
                self.keep_disabled(&config, id, None);
                return Err(Problem::new(422, "unusable", failure.message));
            }
        }
        Ok(())
    }

    /// Stops serving a share. *Errors:* the clients that it would cut, unless forced.
    pub(super) async fn take_out_of_service(&self, config: &ShareConfig, force: bool) -> Result<(), Problem> {
        let name = &config.name;
        if !force && self.share(name).is_some() {
            refuse_cut(&format!("disabling share '{name}'"), self.clients_of(Some(name)))?;
        }
        let _opening = self.opening.lock().await;
        let known = match self.share(name) {
            Some(live) => Some(live.id),
            None => self.state.read().failed.get(name).and_then(|failed| failed.id),
        };
        let id = match known {
            Some(id) => Some(id),
            None => self.known_id(config).await,
        };
        self.keep_changed(&ShareConfig { enabled: false, ..config.clone() }, id).await?;
        let live = self.state.write().shares.remove(name);
        let Some(live) = live else {
            self.keep_disabled(config, id, None);
            return Ok(());
        };
        self.keep_disabled(config, Some(live.id), Some(&live));
        self.close_quietly(live).await;
        tracing::info!(share = %name, "the share is disabled");
        Ok(())
    }

    /// Keeps a share that is not to be served.
    pub(crate) fn keep_disabled(
        &self,
        config: &ShareConfig,
        id: Option<dfs_model::ShareId>,
        live: Option<&LiveShare>,
    ) {
        let config = ShareConfig { enabled: false, ..config.clone() };
        let disabled = FailedShare::disabled(&config, id, live);
        self.state.write().failed.insert(config.name, disabled);
        self.export();
    }

    /// Closes a share that takes no new requests: those under way end, what is dirty is placed where that is soon done, its
    /// journal keeps the rest. Of a share in a shared database, ownership is given back.
    async fn close_quietly(&self, live: Arc<LiveShare>) {
        if let Some(database) = self.database_of(&live.config) {
            if let Err(why) = self.give_back(&database, live.clone()).await {
                tracing::warn!(share = %live.config.name, why, "the share was not given back clean");
            }
            return;
        }
        let end = self.clock.monotonic().plus(REQUESTS_WITHIN);
        while Arc::strong_count(&live.engine) > 1 && self.clock.monotonic() < end {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let left = live.engine.drain(PLACE_WITHIN).await;
        if left != Default::default() {
            tracing::info!(share = %live.config.name, bytes = left.bytes, files = left.files, "not yet placed: in the journal");
        }
        if let Err(error) = live.engine.shutdown(CLOSE_WITHIN).await {
            tracing::error!(share = %live.config.name, %error, "the share did not close in order; its journal has what was acknowledged");
        }
    }
}
