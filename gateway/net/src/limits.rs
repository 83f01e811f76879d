//! What peers may use: every number with the reason for its default.

use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Caps of a listener and of the pool of permits behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time. A connection beyond it is accepted and closed at once, so that the peer knows.
    pub connections_max: usize,
    /// Connections at one time from one address, so that one client cannot take all of them.
    pub connections_per_address_max: usize,
    /// Bytes of one record. Beyond it the connection is closed.
    pub record_bytes_max: usize,
    /// Requests of one connection between their mark and the last byte of their reply.
    pub connection_requests_max: usize,
    /// Bytes of requests and expected replies of one connection, likewise. A single request may exceed it when alone.
    pub connection_bytes_max: usize,
    /// Requests of all connections.
    pub requests_max: usize,
    /// Bytes of requests and expected replies of at most [`Limits::SMALL_BYTES`] each, over all connections. They have
    /// a pool of their own so that a few stalled bulk transfers cannot keep everybody's small calls waiting.
    pub small_bytes_max: usize,
    /// Bytes of all larger ones, over all connections.
    pub large_bytes_max: usize,
    /// A connection on which nothing happens is closed after this; clients reconnect by themselves.
    pub idle_max: Duration,
    /// A record must be complete this long after its mark (time spent waiting for our permits not counted).
    pub record_time_max: Duration,
    /// A peer that takes none of the waiting reply bytes for this long is closed.
    pub stall_max: Duration,
}

impl Limits {
    /// Requests and replies up to this many bytes draw on the small pool.
    pub const SMALL_BYTES: usize = 16 * 1024;
    /// The most that [`Limits::connection_requests_max`] may say.
    pub const CONNECTION_REQUESTS_MOST: usize = 4096;
    /// Taken for every request's reply along with the request itself: enough for all replies without bulk data.
    pub const REPLY_ALLOWANCE: usize = 1024;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 1024,
            connections_per_address_max: 256,
            // 1 MiB of data and room for headers.
            record_bytes_max: (1 << 20) + (64 << 10),
            connection_requests_max: 256,
            connection_bytes_max: 32 << 20,
            requests_max: 16 * 1024,
            small_bytes_max: 32 << 20,
            large_bytes_max: 128 << 20,
            idle_max: Duration::from_secs(15 * 60),
            record_time_max: Duration::from_secs(60),
            stall_max: Duration::from_secs(60),
        }
    }
}

/// Caps that may change while connections go on; each takes them over the next time it does anything, an idle one within the
/// pause between two looks at its watch.
pub(crate) struct LiveLimits {
    limits: RwLock<Limits>,
    state: AtomicU64,
}

impl LiveLimits {
    pub(crate) fn new(limits: Limits) -> LiveLimits {
        LiveLimits { limits: RwLock::new(limits), state: AtomicU64::new(0) }
    }

    /// Names the state in force: another one after each change.
    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    /// The caps with the state that they are, or an older one: then they are asked for again.
    pub(crate) fn get(&self) -> (u64, Limits) {
        let state = self.state();
        (state, *self.limits.read())
    }

    pub(crate) fn set(&self, limits: Limits) {
        *self.limits.write() = limits;
        self.state.fetch_add(1, Ordering::AcqRel);
    }
}
