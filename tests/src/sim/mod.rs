//! The world: clock, entropy, disk, object store, cache, and a gateway's engine on top of them.

mod clock;
mod world;

pub use clock::{SimClock, SimEntropy};
pub use world::{SHARE, Tuning, World, WorldOptions};

/// Runs an async test body on one thread with paused time: deterministic for a seed.
pub fn run_paused<T>(body: impl Future<Output = T>) -> T {
    if std::env::var_os("TESTS_TELL").is_some() {
        let log =
            tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).without_time();
        // Set by an earlier run of this process already.
        let _ = log.with_writer(std::io::stdout).try_init();
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(body)
}

/// A number from the environment, or a default.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
