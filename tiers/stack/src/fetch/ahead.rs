//! The read-ahead memory: which blocks are held, or on their way, for a reader that has not come yet.

use dfs_model::BlockId;
use std::collections::{HashMap, VecDeque};

/// Blocks in the order in which they were asked for, and their bytes.
pub(super) struct Staged {
    size: u64,
    used: u64,
    order: VecDeque<BlockId>,
    bytes: HashMap<BlockId, u64>,
}

impl Staged {
    pub fn new(size: u64) -> Staged {
        Staged { size, used: 0, order: VecDeque::new(), bytes: HashMap::new() }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn free(&self) -> u64 {
        self.size.saturating_sub(self.used)
    }

    pub fn add(&mut self, block: BlockId, bytes: u64) {
        if self.bytes.insert(block, bytes).is_none() {
            self.used += bytes;
            self.order.push_back(block);
        }
    }

    /// Gives back what a block takes beyond `bytes`.
    pub fn shrink(&mut self, block: BlockId, bytes: u64) {
        if let Some(held) = self.bytes.get_mut(&block) {
            self.used -= held.saturating_sub(bytes);
            *held = bytes.min(*held);
        }
    }

    pub fn remove(&mut self, block: BlockId) {
        if let Some(bytes) = self.bytes.remove(&block) {
            self.used -= bytes;
        }
        // Blocks mostly leave in the order in which they came.
        while self.order.front().is_some_and(|first| !self.bytes.contains_key(first)) {
            self.order.pop_front();
        }
        if self.order.len() > 64 + 2 * self.bytes.len() {
            self.order.retain(|block| self.bytes.contains_key(block));
        }
    }

    /// The oldest block for which the test holds.
    pub fn oldest(&self, may_go: impl Fn(BlockId) -> bool) -> Option<BlockId> {
        self.order.iter().copied().find(|block| self.bytes.contains_key(block) && may_go(*block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_model::PackId;

    #[test]
    fn staged_bytes_are_given_back_in_any_order() {
        let block = |index| BlockId { pack: PackId(3), index };
        let mut staged = Staged::new(100);
        (0..10).for_each(|n| staged.add(block(n), 10));
        (0..10).for_each(|n| staged.shrink(block(n), 6));
        assert_eq!(staged.free(), 40);
        (10..20).for_each(|n| staged.add(block(n), 4));
        assert_eq!(staged.free(), 0);
        assert_eq!(staged.oldest(|b| b.index > 3), Some(block(4)));
        (10..20).for_each(|n| staged.remove(block(n)));
        [5, 0, 9, 1, 2, 3, 4, 8, 7, 6].iter().for_each(|n| staged.remove(block(*n)));
        staged.remove(block(6));
        assert_eq!(staged.free(), 100);
        assert_eq!(staged.oldest(|_| true), None);
    }
}
