//! A fetch under way, and who waits for it.

use super::ahead::Staged;
use bytes::Bytes;
use dfs_model::BlockId;
use std::collections::HashMap;
use tokio::sync::watch;

/// Why a block did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// The object store cannot be reached, or refuses.
    Unavailable(String),
    /// The block's bytes in the object store are wrong.
    Damaged(BlockId),
    /// The object is not there.
    Missing(BlockId),
}

pub(crate) type FetchResult = Result<Bytes, FetchError>;
/// Ends a flight.
pub(crate) type FlightEnd = watch::Sender<Option<FetchResult>>;

/// One block on its way.
pub(super) struct Flight {
    pub result: watch::Receiver<Option<FetchResult>>,
    /// Started before anybody asked.
    pub ahead: bool,
}

impl Flight {
    pub fn new(ahead: bool) -> (Flight, FlightEnd) {
        let (end, result) = watch::channel(None);
        (Flight { result, ahead }, end)
    }

    pub fn is_over(&self) -> bool {
        self.result.borrow().is_some()
    }
}

/// Every flight, and those that wait for their reader.
pub(super) struct Flights {
    pub open: HashMap<BlockId, Flight>,
    pub staged: Staged,
}

impl Flights {
    /// Makes room for a block ahead by dropping the oldest ended ones. `false`: all room is taken by flights under way.
    pub fn make_room(&mut self, bytes: u64) -> bool {
        while self.staged.free() < bytes {
            let open = &self.open;
            let ended = |block: BlockId| open.get(&block).is_none_or(Flight::is_over);
            let Some(oldest) = self.staged.oldest(ended) else { return false };
            self.open.remove(&oldest);
            self.staged.remove(oldest);
        }
        true
    }
}

/// A block for a reader.
pub(crate) enum Slot {
    /// Here.
    Ready(Bytes),
    /// On its way.
    Waiting(watch::Receiver<Option<FetchResult>>),
}

impl Slot {
    /// Waits for the block. A task that was ended counts as unavailable. *Cancel:* safe.
    pub async fn wait(self) -> FetchResult {
        match self {
            Slot::Ready(bytes) => Ok(bytes),
            Slot::Waiting(mut result) => match result.wait_for(Option::is_some).await {
                Ok(value) => {
                    value.clone().unwrap_or_else(|| Err(FetchError::Unavailable(String::from("no answer"))))
                }
                Err(_) => Err(FetchError::Unavailable(String::from("the fetch was ended"))),
            },
        }
    }
}
