//! Zeroing of raw segments, ahead of need or at need.
//!
//! *A crash* leaves the raw name until the rename is durable; the segment is handed out only after that.

use super::{PoolState, Shared, open};
use crate::error::{LogError, PoolError};
use std::{io, sync::Arc};

/// Bytes zeroed between two syncs.
const ZERO_STEP: u64 = 1 << 20;

/// Starts the pool's thread; it ends when the pool is dropped or poisoned.
pub(super) fn spawn(shared: Arc<Shared>) -> Result<std::thread::JoinHandle<()>, PoolError> {
    std::thread::Builder::new()
        .name("log-prepare".to_owned())
        .spawn(move || run(&shared))
        .map_err(open::failed("start of the log's thread".to_owned()))
}

fn run(shared: &Shared) {
    loop {
        let slot = {
            let mut state = shared.state.lock();
            loop {
                if state.stop || shared.config.poison.is_set() {
                    return;
                }
                let wanted = state.ready.len() < shared.config.ready_ahead;
                match wanted.then(|| state.raw.pop()).flatten() {
                    Some(slot) => {
                        state.preparing += 1;
                        break slot;
                    }
                    None => shared.work.wait(&mut state),
                }
            }
        };
        let done = shared.zero(slot);
        {
            let mut state = shared.state.lock();
            state.preparing -= 1;
            match done {
                Ok(()) => state.ready.insert(0, slot),
                Err(_) => state.raw.push(slot),
            }
            shared.publish(&state);
        }
        shared.changed.notify_waiters();
        if let Err(error) = done {
            shared.poisoned_by("zeroing of a log segment", &error);
        }
    }
}

impl Shared {
    /// Zeroes one raw segment under the pool's lock.
    pub(super) fn prepare_inline(&self, state: &mut PoolState) -> Result<(), LogError> {
        let Some(slot) = state.raw.pop() else { return Ok(()) };
        match self.zero(slot) {
            Ok(()) => {
                state.ready.push(slot);
                Ok(())
            }
            Err(error) => {
                state.raw.push(slot);
                Err(LogError::Poisoned(self.config.poison.set("zeroing of a log segment", &error)))
            }
        }
    }

    fn zero(&self, slot: u32) -> io::Result<()> {
        let slot = self.slots.get(slot as usize).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let raw = open::raw_name(&slot.name);
        let file = self.disk.open(&raw)?;
        // In steps: a group sync of the log shares the device and would wait for all of a large one.
        let mut done = 0;
        while done < slot.bytes {
            let step = ZERO_STEP.min(slot.bytes - done);
            file.zero(done, step)?;
            file.sync()?;
            done += step;
        }
        self.disk.rename(&raw, &slot.name)?;
        self.disk.sync_dir()
    }
}
