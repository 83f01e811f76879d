//! The rules of a share that may change while it is served.
//!
//! A call that has begun ends by the rules that it began with; every later one finds the new ones.

use crate::engine::{Engine, EngineSettings};
use crate::recycle::RecycleRules;
use dfs_model::FsError;
use dfs_vfs::OperationSet;

/// What may change; at the opening it is what [`EngineSettings`] say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRules {
    /// Refuse every change.
    pub read_only: bool,
    /// Operations that are refused, whoever asks.
    pub blocked: OperationSet,
    /// Whether reading moves the access time of files.
    pub relatime: bool,
    /// Whether what is removed stays in a recycle bin for a while. What is in it when this ends stays until it is emptied.
    pub recycle: Option<RecycleRules>,
}

impl LiveRules {
    pub(crate) fn of(settings: &EngineSettings) -> LiveRules {
        LiveRules {
            read_only: settings.read_only,
            blocked: settings.blocked,
            relatime: settings.relatime,
            recycle: settings.recycle,
        }
    }
}

impl Engine {
    /// The rules as they are now.
    #[must_use]
    pub fn rules(&self) -> LiveRules {
        *self.live.read()
    }

    /// Replaces the rules, and finds or makes the recycle bin where they ask for one. *Errors:* those of making the bin
    /// (`Exists`: a file has its name); the rules are then what they were.
    pub async fn set_rules(&self, rules: LiveRules) -> Result<(), FsError> {
        let before = std::mem::replace(&mut *self.live.write(), rules);
        let opened = self.open_bin().await;
        if opened.is_err() {
            *self.live.write() = before;
        }
        opened
    }
}
