//! Each rule of the log, dropped alone, is caught by some seed of the histories; the other three by directed tests in
//! `damage.rs` (vouching records, seeded checksums, verifying readers).

use super::history::run;
use crate::Rule;

/// Seeds tried for a mutant before it counts as not caught.
const SEEDS: u64 = 4_000;

fn caught_by(rule: Rule) -> (u64, String) {
    let found = (0..SEEDS).find_map(|seed| run(seed, &[rule]).err().map(|why| (seed, why)));
    let (seed, why) =
        found.unwrap_or_else(|| panic!("{} dropped and not caught by seeds 0..{SEEDS}", rule.name()));
    println!("{} dropped: {why}", rule.name());
    assert!(run(seed, &[]).is_ok(), "seed {seed} fails without the mutation too");
    (seed, why)
}

#[test]
fn seal_before_next_dropped_is_caught() {
    caught_by(Rule::SealBeforeNext);
}

#[test]
fn header_sync_dropped_is_caught() {
    caught_by(Rule::HeaderSync);
}

#[test]
fn fsync_in_recovery_dropped_is_caught() {
    caught_by(Rule::FsyncInRecovery);
}

#[test]
fn read_device_dropped_is_caught() {
    caught_by(Rule::ReadDevice);
}

#[test]
fn poison_dropped_is_caught() {
    caught_by(Rule::Poison);
}

#[test]
fn epoch_in_seq_dropped_is_caught() {
    let (_, why) = caught_by(Rule::SeqHasEpoch);
    assert!(why.contains("issued before"), "{why}");
}

#[test]
fn cut_at_first_bad_dropped_is_caught() {
    caught_by(Rule::CutAtFirstBad);
}

#[test]
fn torn_tail_refused_is_caught() {
    let (_, why) = caught_by(Rule::TornTailOpens);
    assert!(why.contains("refused"), "{why}");
}
