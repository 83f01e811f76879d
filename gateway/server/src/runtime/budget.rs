//! Sizes that follow from the machine where the configuration says nothing.

use crate::config::Config;
use dfs_policy::{BudgetFacts, MemorySplit, Policy};

const GIB: u64 = 1 << 30;
/// Default of `metadata.reserve`.
pub(crate) const RESERVE: u64 = 256 << 20;

/// Bytes that everything gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub journal: u64,
    pub segment: u64,
    pub warm: u64,
    pub min_free: u64,
    pub reserve: u64,
}

/// Sizes from configuration and disk. *Units:* bytes; `total` and `free` of the data folder's disk.
pub(crate) fn sizes(config: &Config, total: u64, free: u64) -> Sizes {
    let journal = config
        .journal
        .size
        .map_or((total / 10).clamp(GIB, 64 * GIB).min(free / 4).max(64 << 20), |size| size.0);
    let default_segment = if journal >= 2 * GIB { 64 << 20 } else { 16 << 20 };
    let segment = config.journal.segment.map_or(default_segment.min(journal / 8).max(1 << 20), |size| size.0);
    let min_free = config.disk.min_free.map_or((total / 20).max(GIB), |size| size.0);
    let reserve = config.metadata.reserve.map_or(RESERVE, |size| size.0);
    let used = total.saturating_sub(free);
    let fills = (total / 10 * 8).saturating_sub(used).saturating_sub(journal).saturating_sub(reserve);
    let warm = config.warm.size.map_or(fills, |size| size.0);
    Sizes { journal, segment, warm, min_free, reserve }
}

/// The memory budget of the whole process, divided.
pub(crate) fn memory(config: &Config, policy: &dyn Policy, sizes: &Sizes) -> MemorySplit {
    let budget = memory_budget(config);
    let pack_size = config.pack.size.map_or(16 << 20, |size| size.0);
    policy.budget(&BudgetFacts { budget, warm_size: sizes.warm, pack_size }).value
}

/// Bytes that the whole process may use for caches and buffers.
pub(crate) fn memory_budget(config: &Config) -> u64 {
    config.memory.budget.map_or_else(|| machine_memory() / 4, |size| size.0)
}

/// Bytes of memory of the machine, or of the control group that the process is confined to.
pub(crate) fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit.max(1)));
    let confined =
        std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    confined.map_or(machine, |limit: u64| machine.min(limit))
}
