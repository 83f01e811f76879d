//! The way into the NVMe tier: a queue bounded in bytes, emptied in bursts that the engine can take.
//!
//! The engine drops what outruns its buffer, without an error. So one task hands it at most a burst that fits the buffer,
//! waits until the burst is on the device, and counts what the engine did not keep all the same. What outruns *this* queue is
//! refused and counted. A crash loses what waits here.

use bytes::Bytes;
use dfs_model::BlockId;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use tokio::sync::Notify;

/// What waits to be handed to the engine.
pub(crate) struct AdmissionQueue {
    bytes_max: u64,
    waiting: Mutex<Waiting>,
    pub ready: Notify,
}

#[derive(Default)]
struct Waiting {
    order: VecDeque<BlockId>,
    blocks: HashMap<BlockId, Bytes>,
    bytes: u64,
    closed: bool,
}

impl AdmissionQueue {
    pub fn new(bytes_max: u64) -> AdmissionQueue {
        AdmissionQueue { bytes_max, waiting: Mutex::new(Waiting::default()), ready: Notify::new() }
    }

    /// Adds a block. `false`: the queue is full or closed.
    pub fn push(&self, block: BlockId, stored: Bytes) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed || waiting.bytes + stored.len() as u64 > self.bytes_max {
            return false;
        }
        if waiting.blocks.contains_key(&block) {
            return true;
        }
        waiting.bytes += stored.len() as u64;
        waiting.blocks.insert(block, stored);
        waiting.order.push_back(block);
        drop(waiting);
        self.ready.notify_one();
        true
    }

    /// A block that still waits.
    pub fn get(&self, block: BlockId) -> Option<Bytes> {
        self.waiting.lock().blocks.get(&block).cloned()
    }

    /// Takes a block out.
    pub fn forget(&self, block: BlockId) {
        let mut waiting = self.waiting.lock();
        if let Some(bytes) = waiting.blocks.remove(&block) {
            waiting.bytes -= bytes.len() as u64;
        }
    }

    /// The next burst, oldest first: at most `bytes_max` bytes, each counted with `overhead`; at least one block if any waits.
    pub fn burst(&self, bytes_max: usize, overhead: usize) -> Vec<(BlockId, Bytes)> {
        let mut waiting = self.waiting.lock();
        let mut burst = Vec::new();
        let mut bytes = 0;
        while let Some(block) = waiting.order.front().copied() {
            let len = waiting.blocks.get(&block).map_or(0, Bytes::len);
            if !burst.is_empty() && bytes + len + overhead > bytes_max {
                break;
            }
            waiting.order.pop_front();
            if let Some(stored) = waiting.blocks.remove(&block) {
                waiting.bytes -= len as u64;
                bytes += len + overhead;
                burst.push((block, stored));
            }
        }
        burst
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.waiting.lock().bytes
    }

    /// Refuses what comes from now on and drops what waits.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        *waiting = Waiting { closed: true, ..Waiting::default() };
        drop(waiting);
        self.ready.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use dfs_model::PackId;

    fn block(index: u32) -> BlockId {
        BlockId { pack: PackId(9), index }
    }

    #[test]
    fn full_queue_refuses_and_takes_again_after_a_burst() {
        let queue = AdmissionQueue::new(100);
        assert!(queue.push(block(0), Bytes::from(vec![0; 60])));
        assert!(!queue.push(block(1), Bytes::from(vec![0; 60])));
        assert_eq!(queue.burst(10, 0).len(), 1, "one block however large");
        assert_eq!(queue.bytes(), 0);
        assert!(queue.push(block(1), Bytes::from(vec![0; 60])));
    }

    #[test]
    fn burst_stops_before_the_bound_and_skips_what_was_forgotten() {
        let queue = AdmissionQueue::new(1000);
        (0..5).for_each(|n| assert!(queue.push(block(n), Bytes::from(vec![0; 40]))));
        queue.forget(block(0));
        let burst: Vec<u32> = queue.burst(100, 5).into_iter().map(|(block, _)| block.index).collect();
        assert_eq!(burst, [1, 2]);
        assert_eq!(queue.bytes(), 80);
    }
}
