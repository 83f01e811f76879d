//! Sequential readers: who reads which file in order, and how far ahead of him to fetch.
//!
//! A stream is one client on one file. Requests of a client may overtake each other, so "where the last one ended" is taken
//! with some slack. The window is policy's; here is only the bookkeeping. Forgotten at a crash, bounded in number.

use crate::read::StreamKey;
use dfs_model::{Activity, InodeId};
use dfs_policy::{Policy, PrefetchFacts};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Streams remembered; the least recently used quarter goes when it is full.
const STREAMS_MAX: usize = 4096;
/// Distance from the expected offset that still counts as sequential, at least: clients have several reads under way.
const SLACK_MIN: u64 = 2 << 20;
/// An issue smaller than this waits until more is due, so that GETs stay large.
const ISSUE_MIN: u64 = 1 << 20;
/// So much of a window may have been read before more is asked for: one large GET, so that as many as the window holds
/// are always on their way.
const ISSUE_STEP: u64 = 4 << 20;

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// End of the furthest read.
    next: u64,
    reads: u32,
    from_start: bool,
    window: u64,
    /// What was asked for ahead, up to here.
    issued: u64,
    used: u64,
}

/// One read, as a stream sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub inode: InodeId,
    pub stream: StreamKey,
    pub offset: u64,
    pub len: u64,
    pub size: u64,
    pub activity: &'a Activity,
    /// Free and whole read-ahead memory.
    pub memory: (u64, u64),
}

/// All streams of a share.
pub(crate) struct Streams {
    state: Mutex<State>,
}

struct State {
    streams: BTreeMap<(InodeId, StreamKey), Stream>,
    tick: u64,
}

impl Streams {
    pub fn new() -> Streams {
        Streams { state: Mutex::new(State { streams: BTreeMap::new(), tick: 0 }) }
    }

    /// Drops the streams of a file.
    pub fn forget(&self, inode: InodeId) {
        let mut state = self.state.lock();
        let keys: Vec<_> = state
            .streams
            .range((inode, StreamKey::MIN)..=(inode, StreamKey::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            state.streams.remove(&key);
        }
    }

    /// Takes back what was issued beyond `until`: there was no memory for it.
    pub fn issued_until(&self, inode: InodeId, stream: StreamKey, until: u64) {
        if let Some(stream) = self.state.lock().streams.get_mut(&(inode, stream)) {
            stream.issued = stream.issued.min(until);
        }
    }

    /// Notes a read; answers the range to fetch ahead of it, if any.
    pub fn observe(&self, seen: &Seen<'_>, policy: &dyn Policy) -> Option<(u64, u64)> {
        let mut state = self.state.lock();
        state.tick += 1;
        let tick = state.tick;
        if state.streams.len() >= STREAMS_MAX {
            state.streams.retain(|_, stream| stream.used + (STREAMS_MAX as u64 * 3 / 4) > tick);
        }
        let end = seen.offset.saturating_add(seen.len);
        let fresh =
            Stream { next: end, reads: 0, from_start: seen.offset == 0, window: 0, issued: end, used: tick };
        let stream = state.streams.entry((seen.inode, seen.stream)).or_insert(fresh);
        stream.used = tick;
        let slack = SLACK_MIN.max(seen.len.saturating_mul(8));
        let sequential = seen.offset.abs_diff(stream.next) <= slack && seen.offset + slack > stream.next;
        if stream.reads > 0 && !sequential {
            *stream = fresh;
        }
        stream.reads = stream.reads.saturating_add(1);
        stream.next = stream.next.max(end);
        let due = stream.ahead(seen, policy);
        if let Some((_, to)) = due {
            stream.issued = to;
        }
        due
    }
}

impl Stream {
    fn ahead(&mut self, seen: &Seen<'_>, policy: &dyn Policy) -> Option<(u64, u64)> {
        let left = self.issued.saturating_sub(self.next);
        if self.window > 0 && left > self.window - (self.window / 4).min(ISSUE_STEP) {
            return None;
        }
        self.window = policy
            .prefetch(&PrefetchFacts {
                activity: *seen.activity,
                sequential_reads: self.reads,
                from_start: self.from_start,
                window: self.window,
                file_left: seen.size.saturating_sub(self.next),
                memory_free: seen.memory.0,
                memory: seen.memory.1,
            })
            .value;
        let from = self.issued.max(self.next);
        let to = self.next.saturating_add(self.window).min(seen.size);
        let worth = to > from && (to - from >= ISSUE_MIN.min(self.window) || to == seen.size);
        worth.then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_policy::FixedPolicy;

    const MIB: u64 = 1 << 20;

    fn seen(offset: u64, len: u64) -> Seen<'static> {
        Seen {
            inode: InodeId(2000),
            stream: StreamKey(1),
            offset,
            len,
            size: 1 << 30,
            activity: &Activity::INTERACTIVE,
            memory: (64 * MIB, 64 * MIB),
        }
    }

    #[test]
    fn sequential_reader_keeps_most_of_a_window_ahead_without_gaps() {
        let streams = Streams::new();
        let mut issued = MIB;
        for n in 0..200 {
            if let Some((from, to)) = streams.observe(&seen(n * MIB, MIB), &FixedPolicy) {
                assert!(
                    from >= issued.min((n + 1) * MIB) && from <= issued.max((n + 1) * MIB),
                    "gap at {n}: {from} {issued}"
                );
                issued = to;
            }
            let ahead = issued.saturating_sub((n + 1) * MIB);
            // Three quarters of the 64 MiB of memory.
            assert!(ahead <= 48 * MIB);
            assert!(n < 6 || ahead >= 44 * MIB, "read {n}: only {ahead} ahead");
        }
    }

    #[test]
    fn overtaking_reads_stay_one_stream_and_random_reads_are_none() {
        let streams = Streams::new();
        let order = [0, 2, 1, 4, 3, 6, 5, 8, 7];
        let issues =
            order.iter().filter(|n| streams.observe(&seen(**n * MIB, MIB), &FixedPolicy).is_some()).count();
        assert!(issues >= 3, "{issues}");
        let random = [500, 30, 900, 77, 640];
        for n in random {
            assert_eq!(streams.observe(&seen(n * MIB, 4096), &FixedPolicy), None, "at {n}");
        }
    }

    #[test]
    fn end_of_file_is_not_passed() {
        let streams = Streams::new();
        let small = Seen { size: 300_000, ..seen(0, 100_000) };
        assert_eq!(streams.observe(&small, &FixedPolicy), Some((100_000, 300_000)));
        let next = Seen { size: 300_000, ..seen(100_000, 100_000) };
        assert_eq!(streams.observe(&next, &FixedPolicy), None);
    }
}
