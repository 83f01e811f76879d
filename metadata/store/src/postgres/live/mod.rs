//! The store against a real server: run by `tests/run metadata`, which installs PostgreSQL and names its programs and a
//! freshly made cluster to copy in `DFS_TESTS_POSTGRES_BIN` and `DFS_TESTS_POSTGRES_TEMPLATE`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod cluster;
mod exact;
mod owners;
mod proxy;
mod suite;
mod tls;
mod trips;
mod trouble;
mod twin;

use super::*;
use crate::MetadataStore;
use crate::conformance::Bed;
use cluster::Cluster;
use dfs_model::{Monotonic, Timestamp};

/// Real time from its making on, and what a test adds.
#[derive(Clone)]
struct TestClock {
    start: std::time::Instant,
    added: Arc<AtomicU64>,
}

impl TestClock {
    fn new() -> TestClock {
        TestClock { start: std::time::Instant::now(), added: Arc::default() }
    }

    fn advance(&self, by: Duration) {
        self.added.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(2_000_000_000, 0).plus(self.start.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed().as_nanos() as u64 + self.added.load(Ordering::Relaxed))
    }
}

struct TestEntropy;

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        use std::hash::{BuildHasher, Hasher, RandomState};
        for chunk in bytes.chunks_mut(8) {
            let drawn = RandomState::new().build_hasher().finish().to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(byte, drawn)| *byte = drawn);
        }
    }
}

/// A configuration for a port of this machine, with little patience.
fn config(port: u16) -> PostgresConfig {
    let url = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    PostgresConfig {
        tls: PostgresTls::Off,
        connections: 8,
        patience: Duration::from_secs(5),
        ..PostgresConfig::new(url, "alpha".into(), Arc::new(TestClock::new()), Arc::new(TestEntropy))
    }
}

async fn open(config: PostgresConfig) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(config).await.unwrap())
}

/// Runs a test in a runtime of its own; the cluster ends with it.
fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn seeds(most: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("TESTS_SEED").unwrap_or(0);
    first..first + if number("TESTS_SHORT") == Some(1) { most.div_ceil(4) } else { most }
}
