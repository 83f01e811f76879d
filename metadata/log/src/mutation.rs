//! Run-time switches that drop one rule of the journal protocol, so that a test can prove that the rule is needed.
//!
//! One variant for every row of the protocol's table, whichever crate owns the rule; the store, the journal, the stack
//! and the engine use this same type. Without the feature `mutation` the type is empty and every test folds away.

#[cfg(any(test, feature = "mutation"))]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Declares the rules once, with the list of all of them.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A rule of the journal protocol that a mutation can drop.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rule { $($(#[$doc])* $name,)* }

        impl Rule {
            /// Every rule, in the order of the protocol's table.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// The rule's name as test output and command lines write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Rule::$name => stringify!($name),)* }
            }
        }
    };
}

rules! {
    /// Truncate is a record.
    TruncateIsRecord,
    /// Punch is a record.
    PunchIsRecord,
    /// An explicit mtime is a record.
    MtimeIsRecord,
    /// The seq has the epoch in it.
    SeqHasEpoch,
    /// The epoch is durable before the first append or reply.
    EpochDurableFirst,
    /// Openers record the accepted end of every older epoch.
    Ends,
    /// `ends` takes the minimum.
    EndsTakesMinimum,
    /// The newest segment is cut at its first bad record; good ones after it are dropped too.
    CutAtFirstBad,
    /// A mere torn tail does not refuse the start.
    TornTailOpens,
    /// A record that vouches for the bad one refuses the start.
    VouchedRefuses,
    /// J1: all earlier segments are synced before the next gets its first record.
    SealBeforeNext,
    /// J1: the new header is synced before the first record is written there.
    HeaderSync,
    /// Recovery syncs what it keeps.
    FsyncInRecovery,
    /// Recovery reads the device, not the page cache.
    ReadDevice,
    /// J3: the first failed sync poisons.
    Poison,
    /// Record checksums are seeded with journal id and generation.
    SeededChecksum,
    /// A cut is the exact state at its seq.
    ExactCut,
    /// `place` compares `from_seq`.
    PlaceComparesFrom,
    /// A batch without data is placed too.
    PlaceWithoutData,
    /// `place` needs the inode.
    PlaceNeedsInode,
    /// A segment is freed by durable metadata only.
    FreeByDurableMetadata,
    /// "Overwritten by a newer record" does not free a segment.
    FreeNotByNewer,
    /// Gone means absent from every transaction in flight too.
    GoneEverywhere,
    /// A new inode is born with the last issued seq as `flushed_seq`.
    BirthFlushedSeq,
    /// A stable ack waits for the create.
    AckWaitsForCreate,
    /// Data is stable before a rename over a name is sent.
    DataBeforeRenameOver,
    /// The pack's row exists before the object.
    RowBeforeObject,
    /// Only a confirmed PUT is placed.
    ConfirmedPutOnly,
    /// A pack id is never reused.
    PackIdUnique,
    /// An object is deleted after its death is durable.
    DeleteAfterDurable,
    /// Compaction compares the extent it replaces.
    CompactionCompares,
    /// A clone drains source and target.
    CloneDrains,
    /// A clone is durable before the target's next record.
    CloneDurableFirst,
    /// J5: a reader verifies the segment after the read.
    ReaderVerifies,
    /// A reader whose pack is gone resolves again.
    ReaderResolvesAgain,
    /// The fence is checked inside the transaction.
    FenceInTransaction,
    /// No reply without a valid lease.
    LeaseOnEveryReply,
}

/// The set of dropped rules. Clones share it, so a test may drop a rule in a running system.
#[derive(Clone, Debug, Default)]
pub struct Mutations {
    #[cfg(any(test, feature = "mutation"))]
    dropped: Arc<AtomicU64>,
}

impl Mutations {
    /// No rule dropped.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// True when the rule is dropped. Constant `false` without the feature.
    #[inline]
    #[must_use]
    pub fn off(&self, rule: Rule) -> bool {
        #[cfg(any(test, feature = "mutation"))]
        {
            self.dropped.load(Ordering::Relaxed) & (1 << rule as u8) != 0
        }
        #[cfg(not(any(test, feature = "mutation")))]
        {
            let _ = rule;
            false
        }
    }

    /// A set with these rules dropped.
    #[cfg(any(test, feature = "mutation"))]
    #[must_use]
    pub fn dropping(rules: &[Rule]) -> Self {
        let set = Self::default();
        rules.iter().for_each(|rule| set.drop_rule(*rule));
        set
    }

    /// Drops a rule from now on, for every clone of this set.
    #[cfg(any(test, feature = "mutation"))]
    pub fn drop_rule(&self, rule: Rule) {
        self.dropped.fetch_or(1 << rule as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_each_dropped_alone_leave_the_others_standing() {
        assert!(Rule::ALL.len() <= 64, "the set is one word");
        for rule in Rule::ALL {
            let set = Mutations::dropping(&[*rule]);
            let off: Vec<_> = Rule::ALL.iter().filter(|r| set.off(**r)).collect();
            assert_eq!(off, vec![rule]);
        }
    }
}
