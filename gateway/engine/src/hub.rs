//! Change events, told from the commit point so that no protocol can forget to notify (SEAM §0.9).
//!
//! Subscribers get a bounded broadcast; one who lags learns so and looks at everything again. Without subscribers an event
//! costs one atomic load.

use dfs_vfs::ChangeEvent;
use tokio::sync::broadcast;

/// Events a slow subscriber may be behind before it has to look again.
const BACKLOG: usize = 4096;

/// Hands change events to whoever listens.
pub struct ChangeHub {
    sender: broadcast::Sender<ChangeEvent>,
}

impl Default for ChangeHub {
    fn default() -> Self {
        ChangeHub { sender: broadcast::channel(BACKLOG).0 }
    }
}

impl ChangeHub {
    /// Listens from now on. A receiver that lags more than the backlog gets `Lagged` and must look at everything again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<ChangeEvent> {
        self.sender.subscribe()
    }

    /// Tells an event; `make` runs only if somebody listens.
    pub(crate) fn tell(&self, make: impl FnOnce() -> ChangeEvent) {
        if self.sender.receiver_count() > 0 {
            // Fails only if the last listener left in between.
            let _ = self.sender.send(make());
        }
    }
}
