//! A cache that forgets, refuses and rots on purpose, by a seed: the simulation's proof that nothing relies on a cache.

use crate::{Admission, BlockCache, CacheStats};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::BlockId;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// How often the cache misbehaves, each in 0 … 255 of 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgetfulness {
    /// A lookup forgets the block first.
    pub forget: u8,
    /// An offer is refused.
    pub refuse: u8,
    /// A warm hit comes back with one bit flipped.
    pub rot: u8,
    /// Whether there is a warm tier.
    pub warm: bool,
}

impl Default for Forgetfulness {
    fn default() -> Self {
        Forgetfulness { forget: 64, refuse: 64, rot: 0, warm: true }
    }
}

/// See the module.
pub struct ForgetfulCache {
    how: Forgetfulness,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seed: u64,
    hot: BTreeMap<BlockId, Bytes>,
    warm: BTreeMap<BlockId, Bytes>,
    stats: CacheStats,
    closed: bool,
}

impl State {
    /// splitmix64: a number per call from the seed.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, of_256: u8) -> bool {
        (self.next() & 0xff) < u64::from(of_256)
    }
}

impl ForgetfulCache {
    /// An empty cache whose misbehaviour follows from the seed.
    #[must_use]
    pub fn new(seed: u64, how: Forgetfulness) -> ForgetfulCache {
        ForgetfulCache { how, state: Mutex::new(State { seed, ..State::default() }) }
    }

    /// Forgets everything, as a wiped cache folder does.
    pub fn wipe(&self) {
        let mut state = self.state.lock();
        state.hot.clear();
        state.warm.clear();
    }
}

#[async_trait]
impl BlockCache for ForgetfulCache {
    fn hot(&self, block: BlockId) -> Option<Bytes> {
        let mut state = self.state.lock();
        if state.chance(self.how.forget) {
            state.hot.remove(&block);
        }
        let found = state.hot.get(&block).cloned();
        match found {
            Some(_) => state.stats.hot_hits += 1,
            None => state.stats.hot_misses += 1,
        }
        found
    }

    fn has_hot(&self, block: BlockId) -> bool {
        self.state.lock().hot.contains_key(&block)
    }

    async fn warm(&self, block: BlockId) -> Option<Bytes> {
        let mut state = self.state.lock();
        if state.chance(self.how.forget) {
            state.warm.remove(&block);
        }
        let found = state.warm.get(&block).cloned();
        match found {
            Some(bytes) => {
                state.stats.warm_hits += 1;
                if !bytes.is_empty() && state.chance(self.how.rot) {
                    let at = state.next() as usize % bytes.len();
                    let mut bad = bytes.to_vec();
                    bad[at] ^= 1 << (state.next() % 8);
                    return Some(Bytes::from(bad));
                }
                Some(bytes)
            }
            None => {
                state.stats.warm_misses += 1;
                None
            }
        }
    }

    fn offer(&self, block: BlockId, stored: Option<Bytes>, decoded: Option<Bytes>, admission: Admission) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if let Some(bytes) = decoded.filter(|_| admission.hot)
            && !state.chance(self.how.refuse)
        {
            state.hot.insert(block, bytes);
        }
        if let Some(bytes) = stored.filter(|_| admission.warm && self.how.warm) {
            if state.chance(self.how.refuse) {
                state.stats.dropped_engine += 1;
            } else {
                state.stats.warm_written += bytes.len() as u64;
                state.warm.insert(block, bytes);
            }
        }
    }

    fn forget(&self, block: BlockId) {
        let mut state = self.state.lock();
        state.hot.remove(&block);
        state.warm.remove(&block);
    }

    fn has_warm(&self) -> bool {
        self.how.warm
    }

    fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        let hot_bytes = state.hot.values().map(|bytes| bytes.len() as u64).sum();
        CacheStats { hot_bytes, hot_entries: state.hot.len() as u64, ..state.stats }
    }

    async fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.hot.clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use dfs_model::PackId;

    #[tokio::test]
    async fn forgetful_cache_sometimes_forgets_and_never_returns_another_block() {
        let seed = 7;
        println!("seed {seed}");
        let cache = ForgetfulCache::new(seed, Forgetfulness::default());
        let block = |index| BlockId { pack: PackId(1), index };
        let (mut found, mut lost) = (0, 0);
        for index in 0..200u32 {
            let bytes = Bytes::from(index.to_le_bytes().to_vec());
            cache.offer(block(index), Some(bytes.clone()), Some(bytes), Admission::BOTH);
        }
        for index in 0..200u32 {
            for bytes in [cache.hot(block(index)), cache.warm(block(index)).await] {
                match bytes {
                    Some(bytes) => {
                        assert_eq!(bytes, index.to_le_bytes().to_vec());
                        found += 1;
                    }
                    None => lost += 1,
                }
            }
        }
        assert!(found > 100 && lost > 100, "{found} found, {lost} lost");
    }

    #[tokio::test]
    async fn rot_flips_a_bit_of_a_warm_hit() {
        let cache = ForgetfulCache::new(1, Forgetfulness { forget: 0, refuse: 0, rot: 255, warm: true });
        let block = BlockId { pack: PackId(1), index: 0 };
        cache.offer(block, Some(Bytes::from_static(&[0; 64])), None, Admission::BOTH);
        let mut rotten = 0;
        for _ in 0..50 {
            rotten += u32::from(cache.warm(block).await.unwrap() != Bytes::from_static(&[0; 64]));
        }
        assert!(rotten > 40, "{rotten}");
    }
}
