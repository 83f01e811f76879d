//! Every rule of the journal protocol that is built, dropped alone, is caught, and what catches it passes with the rule in place.
//!
//! The table below is the protocol's own, row by row: the switch, and the play whose seed notices that it is off, or the test of
//! the one crate in which the rule lies. A recorded seed is tried first; where the code moved on and it catches nothing any
//! more, others are, and the test says which to record.
//!
//! `TESTS_MUTATION_SEED=n cargo nextest run --cargo-profile gate -p dfs-tests NAME_OF_THE_TEST --no-capture` tries seed n first.

use super::directed;
use super::life::{Plan, history};
use crate::sim::{Tuning, number};
use dfs_engine::DurabilityClass;
use dfs_log::{Mutations, Rule};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

type Play = Box<dyn Fn(u64, &Mutations) -> Result<(), String>>;

/// What notices that a rule is dropped.
enum Catch {
    /// A play over the engine, and the seed that was seen to catch it.
    Seed(u64, Play),
    /// A test of the crate in which the rule lies, by source file and name, and why not over the engine.
    Crate(&'static str, &'static str, &'static str),
    /// Nothing that is built needs the rule yet.
    NotBuilt(&'static str),
}

/// One line of the protocol's table.
struct Row {
    row: &'static str,
    rule: Rule,
    catch: Catch,
}

/// Seeds tried before a rule counts as not caught.
const SEEDS: u64 = 4000;

fn guarded(play: &Play, seed: u64, mutations: &Mutations) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| play(seed, mutations))).unwrap_or_else(|_| Err("a panic".to_owned()))
}

/// Tries the recorded seed, then others until one fails, and shows that it passes with the rule in place.
fn caught(rule: Rule) {
    let row = rows().into_iter().find(|row| row.rule == rule).unwrap();
    let Catch::Seed(recorded, play) = row.catch else { panic!("{} has no play", rule.name()) };
    let recorded = number("TESTS_MUTATION_SEED", recorded);
    let dropped = Mutations::dropping(&[rule]);
    let found = std::iter::once(recorded)
        .chain(1..=SEEDS)
        .find_map(|seed| guarded(&play, seed, &dropped).err().map(|why| (seed, why)));
    let Some((seed, why)) = found else {
        panic!("{} dropped is not caught by seeds 1 to {SEEDS}", rule.name())
    };
    let record = if seed == recorded { "" } else { " (record this seed)" };
    println!("{} | {} | seed {seed}{record}: {}", row.row, rule.name(), why.replace('\n', "; "));
    if let Err(why) = guarded(&play, seed, &Mutations::none()) {
        panic!("seed {seed} fails with every rule in place: {why}");
    }
}

fn played(plan: Plan) -> Play {
    Box::new(move |seed, mutations| history(seed, &plan, mutations).map(drop))
}

fn local() -> Plan {
    Plan { full_disk: 0, ..Plan::of(DurabilityClass::Local) }
}

fn relaxed() -> Plan {
    Plan { full_disk: 0, ..Plan::of(DurabilityClass::Relaxed) }
}

/// A journal that must use every segment again soon.
fn tight_journal() -> Option<Tuning> {
    Some(Tuning { segments: 7, flush_after: Duration::from_millis(300), ..Tuning::default() })
}

/// Each rule that a play catches: its line of the protocol, its test, its switch, the recorded seed, the play.
macro_rules! dropped_are_caught {
    ($($row:literal: $test:ident, $rule:ident by seed $seed:literal of $play:expr;)*) => {
        $(
            #[test]
            fn $test() {
                caught(Rule::$rule);
            }
        )*

        fn played_rows() -> Vec<Row> {
            vec![$(Row { row: $row, rule: Rule::$rule, catch: Catch::Seed($seed, $play) },)*]
        }
    };
}

dropped_are_caught! {
    "truncate is a record": truncate_is_record_dropped_is_caught,
        TruncateIsRecord by seed 2 of played(local());
    "explicit mtime is a record": mtime_is_record_dropped_is_caught,
        MtimeIsRecord by seed 1 of played(local());
    "seq has the epoch": seq_has_epoch_dropped_is_caught,
        SeqHasEpoch by seed 4 of played(relaxed());
    "epoch durable first": epoch_durable_first_dropped_is_caught,
        EpochDurableFirst by seed 1 of played(Plan { cut_below: 200, ..relaxed() });
    "`ends`": ends_dropped_is_caught,
        Ends by seed 1 of Box::new(directed::moved_journal);
    "`ends` takes the minimum": ends_takes_minimum_dropped_is_caught,
        EndsTakesMinimum by seed 1 of Box::new(directed::moved_journal);
    "cut at first bad record": cut_at_first_bad_dropped_is_caught,
        CutAtFirstBad by seed 3 of played(relaxed());
    "… do not refuse": torn_tail_opens_dropped_is_caught,
        TornTailOpens by seed 3 of played(relaxed());
    "… but refuse what is vouched for": vouched_refuses_dropped_is_caught,
        VouchedRefuses by seed 1 of Box::new(directed::rot_in_the_journal);
    "J1 seal before next segment": seal_before_next_dropped_is_caught,
        SealBeforeNext by seed 6 of played(local());
    "J1 header synced before the first record": header_sync_dropped_is_caught,
        HeaderSync by seed 8 of Box::new(directed::cut_while_recycling);
    "fsync in recovery": fsync_in_recovery_dropped_is_caught,
        FsyncInRecovery by seed 11 of played(local());
    "read the device": read_device_dropped_is_caught,
        ReadDevice by seed 2 of played(Plan { failing_disk: 1, ..local() });
    "poison": poison_dropped_is_caught,
        Poison by seed 1 of played(Plan { failing_disk: 1, ..local() });
    "exact cut": exact_cut_dropped_is_caught,
        ExactCut by seed 1 of played(local());
    "place compares `from_seq`": place_compares_from_dropped_is_caught,
        PlaceComparesFrom by seed 6 of played(Plan { tuning: tight_journal(), ..local() });
    "place without data": place_without_data_dropped_is_caught,
        PlaceWithoutData by seed 2 of played(local());
    "place needs the inode": place_needs_inode_dropped_is_caught,
        PlaceNeedsInode by seed 45 of played(local());
    "free by durable metadata": free_by_durable_metadata_dropped_is_caught,
        FreeByDurableMetadata by seed 5 of Box::new(directed::freed_while_unlinking);
    "free by seq only": free_not_by_newer_dropped_is_caught,
        FreeNotByNewer by seed 1 of Box::new(directed::overwritten_whole);
    "gone = absent everywhere": gone_everywhere_dropped_is_caught,
        GoneEverywhere by seed 27 of played(local());
    "birth `flushed_seq`": birth_flushed_seq_dropped_is_caught,
        BirthFlushedSeq by seed 14 of played(relaxed());
    "ack waits for the create": ack_waits_for_create_dropped_is_caught,
        AckWaitsForCreate by seed 1 of Box::new(directed::acked_while_created);
    "data before rename-over": data_before_rename_over_dropped_is_caught,
        DataBeforeRenameOver by seed 3 of Box::new(directed::renamed_over);
    "row before object": row_before_object_dropped_is_caught,
        RowBeforeObject by seed 3 of Box::new(directed::swept_while_put);
    "confirmed PUT only": confirmed_put_only_dropped_is_caught,
        ConfirmedPutOnly by seed 8 of played(local());
    "pack id unique": pack_id_unique_dropped_is_caught,
        PackIdUnique by seed 54 of played(relaxed());
    "delete after durable": delete_after_durable_dropped_is_caught,
        DeleteAfterDurable by seed 1 of Box::new(directed::deleted_while_unlinking);
    "clone drains source and target": clone_drains_dropped_is_caught,
        CloneDrains by seed 2 of played(Plan { copies: true, ..local() });
    "clone durable before next record": clone_durable_first_dropped_is_caught,
        CloneDurableFirst by seed 6 of Box::new(directed::written_while_cloned);
    "reader verifies segment": reader_verifies_dropped_is_caught,
        ReaderVerifies by seed 4 of Box::new(directed::late_reader);
    "reader resolves again": reader_resolves_again_dropped_is_caught,
        ReaderResolvesAgain by seed 3 of Box::new(directed::deleted_while_read);
    "fence, inside the transaction": fence_in_transaction_dropped_is_caught,
        FenceInTransaction by seed 1 of Box::new(directed::placed_after_takeover);
    "lease on every reply": lease_on_every_reply_dropped_is_caught,
        LeaseOnEveryReply by seed 1 of Box::new(directed::replied_after_takeover);
}

/// The rest of the table.
fn other_rows() -> Vec<Row> {
    let row = |row, rule, catch| Row { row, rule, catch };
    vec![
        row(
            "punch is a record",
            Rule::PunchIsRecord,
            Catch::Crate(
                "tiers/journal/src/tests/mutations.rs",
                "punch_is_record_dropped_is_caught",
                "no protocol that is served punches holes",
            ),
        ),
        row(
            "record checksum seeded with journal id and generation (§3)",
            Rule::SeededChecksum,
            Catch::Crate(
                "metadata/log/src/log/tests/damage.rs",
                "stale_records_of_a_recycled_segment_are_never_taken",
                "it shows with planted bytes only",
            ),
        ),
        row("compaction compares", Rule::CompactionCompares, Catch::NotBuilt("compaction")),
    ]
}

/// The whole table.
fn rows() -> Vec<Row> {
    let mut rows = played_rows();
    rows.extend(other_rows());
    rows
}

#[test]
fn rules_of_the_protocol_are_all_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for rule in Rule::ALL {
        let here: Vec<Row> = rows().into_iter().filter(|row| row.rule == *rule).collect();
        let [row] = here.as_slice() else { panic!("{} is in the table {} times", rule.name(), here.len()) };
        match &row.catch {
            Catch::Seed(seed, _) => println!("{} | {} | seed {seed}", row.row, rule.name()),
            Catch::Crate(file, test, why) => {
                println!("{} | {} | {test} in {file}: {why}", row.row, rule.name());
                let source = std::fs::read_to_string(root.join(file)).unwrap();
                assert!(source.contains(test), "{file} has no {test}");
                assert!(source.contains(rule.name()), "{file} does not drop {}", rule.name());
            }
            Catch::NotBuilt(what) => println!("{} | {} | not built: {what}", row.row, rule.name()),
        }
    }
}
