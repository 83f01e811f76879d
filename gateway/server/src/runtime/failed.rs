//! Shares that are configured and could not be opened: kept, told of, and tried again; the others serve meanwhile.
//!
//! ```text
//!  open_share ─ refused ─▶ FailedShare ─ POST /shares/NAME/open, or by itself where the cause may pass ─▶ served
//!                               ▲                              │ refused again: the pause doubles
//!                               └──────────────────────────────┘
//! ```
//! A refused opening changed nothing (see `Engine::open`). Memory only: a restart tries every share again.

use super::{LiveShare, OpenFailure, Runtime};
use dfs_api::ShareConfig;
use dfs_model::{Monotonic, ShareId};
use std::sync::Arc;
use std::time::Duration;

/// Pause before the first retry, and the longest one.
const AGAIN_FIRST: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// How often failed shares are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A share that is not open, and why.
#[derive(Clone, Debug)]
pub(crate) struct FailedShare {
    pub config: ShareConfig,
    /// Its id, where its metadata store knows it.
    pub id: Option<ShareId>,
    pub cause: String,
    /// When it is tried again by itself; never, where the cause stays until somebody acts.
    again_at: Option<Monotonic>,
    pause: Duration,
}

impl FailedShare {
    /// The state that an operator sees.
    pub fn state(&self) -> String {
        let name = &self.config.name;
        let next = match self.again_at {
            Some(_) => "it is tried again by itself".to_owned(),
            None => format!("put it right, then `dfsctl share open {name}`"),
        };
        format!("failed: {} ({next})", self.cause)
    }
}

impl Runtime {
    /// Opens a share; one that cannot be opened is kept as failed and told of.
    pub async fn open_or_keep(&self, config: &ShareConfig) -> Result<Arc<LiveShare>, OpenFailure> {
        match self.open_share(config).await {
            Ok(live) => {
                let failed = self.state.write().failed.remove(&config.name);
                self.export();
                if failed.is_some() {
                    tracing::info!(share = %config.name, "the share is open now");
                }
                Ok(live)
            }
            Err(failure) => {
                self.keep_failed(config, &failure).await;
                Err(failure)
            }
        }
    }

    async fn keep_failed(&self, config: &ShareConfig, failure: &OpenFailure) {
        let id = self.known_id(config).await;
        let before = self.state.read().failed.get(&config.name).cloned();
        let pause = before.as_ref().map_or(AGAIN_FIRST, |failed| (failed.pause * 2).min(AGAIN_MAX));
        let again_at = failure.may_pass.then(|| self.clock.monotonic().plus(pause));
        let failed =
            FailedShare { config: config.clone(), id, cause: failure.message.clone(), again_at, pause };
        if before.is_none_or(|before| before.cause != failed.cause) {
            tracing::error!(share = %config.name, "the share is not served, others are; {}", failed.state());
        }
        self.state.write().failed.insert(config.name.clone(), failed);
        self.export();
    }

    async fn known_id(&self, config: &ShareConfig) -> Option<ShareId> {
        let metadata = self.state.read().metadata.get(&config.metadata).cloned()?;
        let known = metadata.shares().await.ok()?;
        known.into_iter().find(|record| record.name == config.name).map(|record| record.share)
    }

    /// Tries a failed share again now. *Errors:* its cause, as it is now.
    pub async fn retry_share(&self, name: &str) -> Result<(), OpenFailure> {
        let _opening = self.opening.lock().await;
        let failed = self.state.read().failed.get(name).cloned();
        match failed {
            Some(failed) => self.open_or_keep(&failed.config).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Tries failed shares again when their time has come, until its task is ended.
    pub async fn keep_trying(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.clock.monotonic();
            let due = |failed: &&FailedShare| failed.again_at.is_some_and(|at| at <= now);
            let names: Vec<String> = self
                .state
                .read()
                .failed
                .values()
                .filter(due)
                .map(|failed| failed.config.name.clone())
                .collect();
            for name in names {
                // Told where it is kept.
                let _ = self.retry_share(&name).await;
            }
        }
    }

    /// Shares that are not open.
    pub fn failed(&self) -> Vec<FailedShare> {
        self.state.read().failed.values().cloned().collect()
    }
}
