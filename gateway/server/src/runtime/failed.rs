//! Shares that are configured and could not be opened: kept, told of, and tried again; the others serve meanwhile.
//!
//! ```text
//!  open_share ─ refused ─▶ FailedShare ─ POST /shares/NAME/open, or by itself where the cause may pass ─▶ served
//!                               ▲                              │ refused again: the pause doubles
//!                               └──────────────────────────────┘
//! ```
//! A share of a shared database that another gateway serves waits in the same way ([`super::owners`]): it is looked at every
//! second, and at once when something is told about it.
//! A refused opening changed nothing (see `Engine::open`). Memory only: a restart tries every share again.

use super::{LiveShare, OpenFailure, Runtime};
use dfs_api::ShareConfig;
use dfs_engine::Unplaced;
use dfs_journal::Journal;
use dfs_model::{Monotonic, ShareId};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Pause before the first retry, and the longest one.
const AGAIN_FIRST: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// How often failed shares are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a share is asked for that another gateway has.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Why a share is not served here.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    /// It could not be opened.
    Failed,
    /// Another gateway serves it, or has the journal that it needs.
    Elsewhere,
    /// It was served here until another gateway took it; what was not placed is stranded in the journal here.
    TakenOver { by: String, left: Unplaced },
    /// It was handed over by command.
    Released,
    /// It was taken out of service by command.
    Disabled,
}

/// A share that is not open, and why.
#[derive(Clone, Debug)]
pub(crate) struct FailedShare {
    pub config: ShareConfig,
    /// Its id, where its metadata store knows it.
    pub id: Option<ShareId>,
    pub cause: String,
    pub down: Down,
    /// The journal of its life before, while requests of that life hold it.
    former: Weak<Journal>,
    /// When it is tried again by itself; never, where the cause stays until somebody acts.
    again_at: Option<Monotonic>,
    pause: Duration,
}

impl FailedShare {
    /// The state that an operator sees.
    pub fn state(&self) -> String {
        let name = &self.config.name;
        match &self.down {
            Down::Failed => {}
            Down::Elsewhere => return format!("standby: {}", self.cause),
            Down::TakenOver { by, left } => {
                return format!(
                    "taken over by gateway '{by}': {} bytes of {} files that were not in the object store are stranded in this \
                     gateway's journal; {}",
                    left.bytes, left.files, self.cause
                );
            }
            Down::Disabled => {
                return format!("disabled: `dfsctl share enable {name}` serves it again");
            }
            Down::Released => {
                return format!(
                    "handed over: any gateway may serve it (`dfsctl share open {name}` takes it back)"
                );
            }
        }
        let next = match self.again_at {
            Some(_) => "it is tried again by itself".to_owned(),
            None => format!("put it right, then `dfsctl share open {name}`"),
        };
        format!("failed: {} ({next})", self.cause)
    }
}

impl FailedShare {
    /// A share that another gateway took.
    pub fn taken_over(live: &LiveShare, by: &str, left: Unplaced, now: Monotonic) -> FailedShare {
        FailedShare {
            config: live.config.clone(),
            id: Some(live.id),
            cause: "it is taken back by itself when that gateway's lease has ended".to_owned(),
            down: Down::TakenOver { by: by.to_owned(), left },
            former: Arc::downgrade(live.engine.journal()),
            again_at: Some(now.plus(ASK_EVERY)),
            pause: ASK_EVERY,
        }
    }

    /// A share that is handed over.
    pub fn released(live: &LiveShare) -> FailedShare {
        FailedShare {
            config: live.config.clone(),
            id: Some(live.id),
            cause: String::new(),
            down: Down::Released,
            former: Arc::downgrade(live.engine.journal()),
            again_at: None,
            pause: ASK_EVERY,
        }
    }

    /// A share that is out of service by command; `live`: its life that ends with it.
    pub fn disabled(config: &ShareConfig, id: Option<ShareId>, live: Option<&LiveShare>) -> FailedShare {
        FailedShare {
            config: config.clone(),
            id,
            cause: "it is disabled".to_owned(),
            down: Down::Disabled,
            former: live.map_or_else(Weak::new, |live| Arc::downgrade(live.engine.journal())),
            again_at: None,
            pause: ASK_EVERY,
        }
    }

    /// Whether it is out of service by command.
    pub fn is_disabled(&self) -> bool {
        matches!(self.down, Down::Disabled)
    }

    /// Whether requests of the share's life before have not ended.
    pub fn former_lives(&self) -> bool {
        self.former.strong_count() > 0
    }

    /// Whether something is wrong with it, rather than that another gateway has it.
    pub fn is_failure(&self) -> bool {
        matches!(self.down, Down::Failed)
    }

    /// Makes it due, where it is tried by itself at all.
    pub fn look_again(&mut self, now: Monotonic) {
        self.again_at = self.again_at.map(|_| now);
    }

    /// Bytes stranded in this gateway's journal, as far as they are known.
    pub fn stranded(&self) -> Unplaced {
        match &self.down {
            Down::TakenOver { left, .. } => *left,
            Down::Failed | Down::Elsewhere | Down::Released | Down::Disabled => Unplaced::default(),
        }
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
        let before = self.state.read().failed.get(&config.name).cloned();
        let id = match before.as_ref().and_then(|before| before.id) {
            Some(id) => Some(id),
            None => self.known_id(config).await,
        };
        let pause = match (&before, failure.elsewhere) {
            (_, true) => ASK_EVERY,
            (None, _) => AGAIN_FIRST,
            (Some(before), _) => (before.pause * 2).min(AGAIN_MAX),
        };
        let again_at = failure.may_pass.then(|| self.clock.monotonic().plus(pause));
        let (mut down, former) = match &before {
            Some(before) => (before.down.clone(), before.former.clone()),
            None => (Down::Failed, Weak::new()),
        };
        if !matches!((&down, failure.elsewhere), (Down::TakenOver { .. }, true)) {
            down = if failure.elsewhere { Down::Elsewhere } else { Down::Failed };
        }
        let (config, cause) = (config.clone(), failure.message.clone());
        let failed = FailedShare { config, id, cause, down, former, again_at, pause };
        let config = &failed.config;
        if failure.elsewhere && before.is_none() {
            tracing::info!(share = %config.name, "the share waits; {}", failed.state());
        } else if before.is_none_or(|before| before.cause != failed.cause) {
            tracing::error!(share = %config.name, "the share is not served, others are; {}", failed.state());
        }
        let name = config.name.clone();
        self.state.write().failed.insert(name, failed);
        self.export();
    }

    pub async fn known_id(&self, config: &ShareConfig) -> Option<ShareId> {
        let metadata = self.state.read().metadata.get(&config.metadata).cloned()?;
        let known = metadata.shares().await.ok()?;
        known.into_iter().find(|record| record.name == config.name).map(|record| record.share)
    }

    /// Tries a failed share again now. *Errors:* its cause, as it is now.
    pub async fn retry_share(&self, name: &str) -> Result<(), OpenFailure> {
        let _opening = self.opening.lock().await;
        let failed = self.state.read().failed.get(name).cloned();
        match failed {
            Some(failed) if failed.is_disabled() => Err(OpenFailure::new(2, failed.state())),
            Some(failed) => {
                let config = self.refreshed(&failed.config, failed.id).await;
                self.open_or_keep(&config).await.map(|_| ())
            }
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

    /// Shares with which something is wrong.
    pub fn failures(&self) -> usize {
        self.state.read().failed.values().filter(|failed| failed.is_failure()).count()
    }

    /// Shares that are not open.
    pub fn failed(&self) -> Vec<FailedShare> {
        self.state.read().failed.values().cloned().collect()
    }
}
