//! Access times by the relatime rule (SEAM §3.3): a read moves a file's atime when it is not newer than mtime and ctime, or
//! a day old.
//!
//! The new time is shown at once and costs the reader a comparison. It becomes a journal record later, many at a time; it
//! moves neither ctime nor change and makes no event. A crash may take it back to what it was: nothing promises an atime.

use crate::cell::{Cell, CellState};
use crate::engine::Engine;
use dfs_journal::{Record, RecordMeta, Reserve};
use dfs_model::{ClientRef, InodeKind, InternalJob, Timestamp};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often accessed files are recorded.
const EVERY: Duration = Duration::from_secs(60);
/// Longest that an atime may lag behind.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Most files that wait to be recorded: each keeps its cell in memory. Beyond it reads stop moving atimes until the next
/// round.
const FILES_MAX: usize = 16 * 1024;
/// How long a record waits for room before the others wait for the next round too.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of log that one record takes, generously.
const RECORD_BYTES: u64 = 256;

/// Files whose shown atime is in no record yet.
#[derive(Default)]
pub(crate) struct AccessedFiles(Mutex<Vec<Arc<Cell>>>);

/// Whether a read at `now` moves the atime.
fn moves(atime: Timestamp, mtime: Timestamp, ctime: Timestamp, now: Timestamp) -> bool {
    now > atime && (atime <= mtime || atime <= ctime || atime.plus(DAY) <= now)
}

impl Engine {
    /// Shows that a file is read. Call it in the inode's section.
    pub(crate) fn note_access(&self, cell: &Arc<Cell>, state: &mut CellState, len: u32) {
        if !self.rules().relatime || cell.inode.is_past() || len == 0 || state.attrs.kind != InodeKind::File {
            return;
        }
        let now = self.clock.wall();
        if !moves(state.attrs.atime, state.attrs.mtime, state.attrs.ctime, now)
            || self.check_writable().is_err()
        {
            return;
        }
        let mut waiting = self.accessed.0.lock();
        if waiting.len() < FILES_MAX {
            waiting.push(cell.clone());
            state.attrs.atime = now;
        }
    }

    /// Records the atimes that are shown and in no record yet. What finds no room stays for the next round.
    pub(crate) async fn record_accesses(&self) {
        let files = std::mem::take(&mut *self.accessed.0.lock());
        let client = ClientRef::Internal(InternalJob::Flush);
        let mut left = files.into_iter();
        while let Some(cell) = left.next() {
            if self.check_writable().is_err() {
                return;
            }
            let deadline = Some(self.clock.monotonic().plus(PATIENCE));
            let Ok(room) = self.journal.reserve(&client, RECORD_BYTES, Reserve::Control, deadline).await
            else {
                self.accessed.0.lock().extend(std::iter::once(cell).chain(left));
                return;
            };
            let _gate = cell.gate.read().await;
            let mut state = cell.state.lock();
            if state.gone {
                continue;
            }
            let (ctime, change) = (state.attrs.ctime, state.attrs.change);
            let record = Record::SetTimes { atime: Some(state.attrs.atime), mtime: None };
            let meta = RecordMeta { ctime, change, clear_suid: false, set_archive: false };
            match self.journal.append(room, &state.row, meta, record) {
                Ok(appended) => state.show_overlay(&appended.attrs),
                Err(error) => {
                    tracing::debug!(share = %self.share, %error, "an access time is not recorded");
                    return;
                }
            }
        }
    }
}

/// Records access times until the engine is dropped.
pub(crate) async fn run(engine: Weak<Engine>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        engine.record_accesses().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_moves_an_atime_that_is_old_or_not_newer_than_a_change() {
        let at = |secs| Timestamp::new(secs, 0);
        let day = 24 * 60 * 60;
        let cases = [
            ((10, 10, 5, 20), true, "not newer than mtime"),
            ((10, 5, 10, 20), true, "not newer than ctime"),
            ((11, 10, 10, 20), false, "newer than both"),
            ((11, 10, 10, 11 + day), true, "a day old"),
            ((11, 10, 10, 10 + day), false, "nearly a day old"),
            ((30, 40, 40, 20), false, "set to the future stays"),
        ];
        for ((atime, mtime, ctime, now), moved, why) in cases {
            assert_eq!(moves(at(atime), at(mtime), at(ctime), at(now)), moved, "{why}");
        }
    }
}
