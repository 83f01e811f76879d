//! Every rule of the journal protocol that is built, dropped alone, is caught by some seed, and that seed passes with it.
//!
//! `cargo test mutations -- --nocapture` shows the seeds; `TESTS_MUTATION_SEED=n` plays one of them with every rule in place. Not here, since nothing built needs them yet: punch (no protocol
//! that is served has it; the journal's own tests cover the record), compaction, clone, two gateways at once (fence), lease.
//! Proved beside the log, whose tests plant the damage: seeded checksums.

use super::directed;
use super::life::{Plan, history};
use super::steps::Favourite;
use crate::sim::Tuning;
use dfs_engine::DurabilityClass;
use dfs_log::{Mutations, Rule};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Rules that no test here drops, each with the reason.
const NOT_HERE: &[(Rule, &str)] = &[
    (Rule::PunchIsRecord, "no protocol that is served punches holes; the journal's tests cover the record"),
    (Rule::SeededChecksum, "needs planted bytes; caught in the tests of the log"),
    (Rule::CompactionCompares, "compaction is not built"),
    (Rule::CloneDrains, "clones are not built"),
    (Rule::CloneDurableFirst, "clones are not built"),
    (Rule::FenceInTransaction, "two gateways on one share are not built"),
    (Rule::LeaseOnEveryReply, "leases between gateways are not built"),
];

/// Seeds tried before a rule counts as not caught.
const SEEDS: u64 = 4000;

/// Tries seeds until one fails, and shows that it passes with the rule in place.
fn caught(rule: Rule, play: impl Fn(u64, &Mutations) -> Result<(), String>) {
    let guarded = |seed: u64, mutations: &Mutations| {
        catch_unwind(AssertUnwindSafe(|| play(seed, mutations))).unwrap_or_else(|_| Err("a panic".to_owned()))
    };
    if let Some(seed) = std::env::var("TESTS_MUTATION_SEED").ok().and_then(|seed| seed.parse().ok()) {
        println!("seed {seed} with every rule in place: {:?}", guarded(seed, &Mutations::none()));
        return;
    }
    let found = (1..=SEEDS)
        .find_map(|seed| guarded(seed, &Mutations::dropping(&[rule])).err().map(|why| (seed, why)));
    let Some((seed, why)) = found else {
        panic!("{} dropped is not caught by seeds 1 to {SEEDS}", rule.name())
    };
    println!("{} caught by seed {seed}: {why}", rule.name());
    if let Err(why) = play(seed, &Mutations::none()) {
        panic!("seed {seed} fails with every rule in place: {why}");
    }
}

fn played(plan: Plan) -> impl Fn(u64, &Mutations) -> Result<(), String> {
    move |seed, mutations| history(seed, &plan, mutations).map(drop)
}

fn local() -> Plan {
    Plan { full_disk: 0, ..Plan::of(DurabilityClass::Local) }
}

fn relaxed() -> Plan {
    Plan { full_disk: 0, ..Plan::of(DurabilityClass::Relaxed) }
}

/// The cleaner is always at work and leaves nothing alone.
fn eager_cleaner() -> Option<Tuning> {
    Some(Tuning {
        segments: 12,
        flush_after: Duration::from_millis(200),
        pack_delete_after: Duration::ZERO,
        gc_every: Duration::from_millis(15),
        sweep_every: Duration::from_millis(25),
        ..Tuning::default()
    })
}

/// A journal that must use every segment again soon.
fn tight_journal() -> Option<Tuning> {
    Some(Tuning { segments: 7, flush_after: Duration::from_millis(300), ..Tuning::default() })
}

macro_rules! dropped_are_caught {
    ($($test:ident: $rule:ident by $play:expr;)*) => {
        $(
            #[test]
            fn $test() {
                caught(Rule::$rule, $play);
            }
        )*

        #[test]
        fn rules_of_the_protocol_are_all_dropped_or_excused() {
            let here = [$(Rule::$rule,)*];
            for rule in Rule::ALL {
                let excuse = NOT_HERE.iter().find(|(excused, _)| excused == rule);
                if let Some((rule, why)) = excuse {
                    println!("{} is not dropped here: {why}", rule.name());
                }
                assert!(here.contains(rule) != excuse.is_some(), "{}", rule.name());
            }
        }
    };
}

dropped_are_caught! {
    truncate_is_record_dropped_is_caught: TruncateIsRecord by played(local());
    mtime_is_record_dropped_is_caught: MtimeIsRecord by played(local());
    seq_has_epoch_dropped_is_caught: SeqHasEpoch by played(relaxed());
    epoch_durable_first_dropped_is_caught: EpochDurableFirst by played(Plan { cut_below: 200, ..relaxed() });
    ends_dropped_is_caught: Ends by directed::moved_journal;
    ends_takes_minimum_dropped_is_caught: EndsTakesMinimum by directed::moved_journal;
    cut_at_first_bad_dropped_is_caught: CutAtFirstBad by played(relaxed());
    torn_tail_opens_dropped_is_caught: TornTailOpens by played(relaxed());
    vouched_refuses_dropped_is_caught: VouchedRefuses by directed::rot_in_the_journal;
    seal_before_next_dropped_is_caught: SealBeforeNext by played(local());
    header_sync_dropped_is_caught: HeaderSync by played(local());
    fsync_in_recovery_dropped_is_caught: FsyncInRecovery by played(local());
    read_device_dropped_is_caught: ReadDevice by played(Plan { failing_disk: 1, ..local() });
    poison_dropped_is_caught: Poison by played(Plan { failing_disk: 1, ..local() });
    exact_cut_dropped_is_caught: ExactCut by played(local());
    place_compares_from_dropped_is_caught: PlaceComparesFrom by played(Plan { tuning: tight_journal(), ..local() });
    place_without_data_dropped_is_caught: PlaceWithoutData by played(local());
    place_needs_inode_dropped_is_caught: PlaceNeedsInode by played(local());
    free_by_durable_metadata_dropped_is_caught: FreeByDurableMetadata by
        played(Plan { tuning: tight_journal(), ..relaxed() });
    free_not_by_newer_dropped_is_caught: FreeNotByNewer by directed::overwritten_whole;
    gone_everywhere_dropped_is_caught: GoneEverywhere by played(local());
    birth_flushed_seq_dropped_is_caught: BirthFlushedSeq by played(relaxed());
    ack_waits_for_create_dropped_is_caught: AckWaitsForCreate by
        played(Plan { favourite: Some(Favourite::FoundWhileCreated), cut_below: 400, ..local() });
    data_before_rename_over_dropped_is_caught: DataBeforeRenameOver by played(local());
    row_before_object_dropped_is_caught: RowBeforeObject by played(Plan { tuning: eager_cleaner(), ..local() });
    confirmed_put_only_dropped_is_caught: ConfirmedPutOnly by played(local());
    pack_id_unique_dropped_is_caught: PackIdUnique by played(relaxed());
    delete_after_durable_dropped_is_caught: DeleteAfterDurable by
        played(Plan { favourite: Some(Favourite::RemovedAndCleaned), tuning: eager_cleaner(), steps: 12, ..relaxed() });
    reader_verifies_dropped_is_caught: ReaderVerifies by directed::late_reader;
    reader_resolves_again_dropped_is_caught: ReaderResolvesAgain by
        played(Plan { favourite: Some(Favourite::ReaderAmongWriters), tuning: eager_cleaner(), ..local() });
}
