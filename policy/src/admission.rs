//! Which tiers take a clean block, and what it weighs there.

use crate::Decision;
use dfs_model::{Activity, ActivityClass, InternalJob};

/// Bytes that a cached block costs beside its payload: key, index entry, allocation.
const ENTRY_OVERHEAD: u64 = 160;

/// Where the block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSource {
    /// Just placed: its bytes were written a moment ago.
    Flushed,
    /// Read from NVMe.
    Warm,
    /// Fetched from the object store for a reader that waits.
    Cold,
    /// Fetched from the object store ahead of a reader.
    Ahead,
}

/// What admission depends on.
#[derive(Clone, Copy, Debug)]
pub struct AdmitFacts {
    /// The request's activity.
    pub activity: Activity,
    /// Where the block comes from.
    pub source: BlockSource,
    /// Whether there is an NVMe tier at all.
    pub has_warm: bool,
}

/// Tiers that may take a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Memory.
    pub hot: bool,
    /// NVMe.
    pub warm: bool,
}

impl Admission {
    /// Neither.
    pub const NONE: Admission = Admission { hot: false, warm: false };
    /// Both.
    pub const BOTH: Admission = Admission { hot: true, warm: true };
}

/// Whether the activity reads everything once and must not push out what others use.
pub(crate) fn is_scan(activity: &Activity) -> bool {
    match activity.class {
        ActivityClass::Backup
        | ActivityClass::Antivirus
        | ActivityClass::Indexer
        | ActivityClass::Replication => true,
        ActivityClass::Internal(job) => {
            matches!(
                job,
                InternalJob::Flush | InternalJob::Compaction | InternalJob::Snapshot | InternalJob::Restore
            )
        }
        ActivityClass::Interactive | ActivityClass::Admin => !activity.promote,
    }
}

pub(crate) fn fixed(facts: &AdmitFacts) -> Decision<Admission> {
    if facts.source == BlockSource::Flushed {
        return match facts.has_warm {
            true => Decision::new(
                Admission { hot: false, warm: true },
                "flushed: kept on NVMe, memory is for what is read",
            ),
            false => {
                Decision::new(Admission { hot: true, warm: false }, "flushed: memory is the only local tier")
            }
        };
    }
    if is_scan(&facts.activity) || !facts.activity.promote {
        return Decision::new(Admission::NONE, "a scan does not promote");
    }
    match facts.source {
        BlockSource::Warm => {
            Decision::new(Admission { hot: true, warm: false }, "read from NVMe: promoted to memory")
        }
        BlockSource::Cold | BlockSource::Ahead | BlockSource::Flushed => Decision::new(
            Admission { hot: true, warm: facts.has_warm },
            "read from the object store: kept locally",
        ),
    }
}

pub(crate) fn weight(decoded_len: u32) -> Decision<u64> {
    Decision::new(u64::from(decoded_len) + ENTRY_OVERHEAD, "its bytes and its index entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(class: ActivityClass, promote: bool, source: BlockSource) -> AdmitFacts {
        let activity = Activity { class, evidence: "test", sequential: false, promote };
        AdmitFacts { activity, source, has_warm: true }
    }

    #[test]
    fn scan_classes_read_from_cold_are_not_promoted() {
        let scans = [
            ActivityClass::Backup,
            ActivityClass::Antivirus,
            ActivityClass::Indexer,
            ActivityClass::Replication,
            ActivityClass::Internal(InternalJob::Compaction),
        ];
        for class in scans {
            for source in [BlockSource::Cold, BlockSource::Warm, BlockSource::Ahead] {
                assert_eq!(fixed(&facts(class, true, source)).value, Admission::NONE, "{class:?} {source:?}");
            }
        }
    }

    #[test]
    fn interactive_read_promotes_to_the_tier_above() {
        let class = ActivityClass::Interactive;
        assert_eq!(fixed(&facts(class, true, BlockSource::Cold)).value, Admission::BOTH);
        assert_eq!(fixed(&facts(class, true, BlockSource::Warm)).value, Admission { hot: true, warm: false });
        assert_eq!(fixed(&facts(class, false, BlockSource::Cold)).value, Admission::NONE);
    }

    #[test]
    fn flushed_block_without_nvme_goes_to_memory() {
        let mut facts = facts(ActivityClass::Internal(InternalJob::Flush), true, BlockSource::Flushed);
        assert_eq!(fixed(&facts).value, Admission { hot: false, warm: true });
        facts.has_warm = false;
        assert_eq!(fixed(&facts).value, Admission { hot: true, warm: false });
    }
}
