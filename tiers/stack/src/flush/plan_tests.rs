#![allow(clippy::unwrap_used, clippy::panic)]
//! The window rule against a model: a file as bytes, its map as a list of extents with their bytes.

use super::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

const BLOCK: u64 = 64;
const FILE: u64 = 256;

/// A place in a pretended log: index into `Model::log`.
impl Spot for u64 {
    fn advanced(self, bytes: u64) -> u64 {
        self + bytes
    }
}

#[derive(Default)]
struct Model {
    log: Vec<u8>,
    /// What the file shows.
    bytes: Vec<u8>,
    /// The map: (start, bytes), in order.
    map: Vec<(u64, Vec<u8>)>,
}

struct TestCut {
    writes: Vec<(u64, u64, u64)>,
    zeros: Vec<(u64, u64)>,
    size_low: u64,
}

impl Model {
    /// A random cut: disjoint writes and holes in order.
    fn cut(&mut self, rng: &mut SmallRng) -> TestCut {
        let size_low = if rng.random_ratio(1, 8) { rng.random_range(0..FILE) } else { FILE };
        let mut cut = TestCut { writes: Vec::new(), zeros: Vec::new(), size_low };
        self.bytes[size_low as usize..].fill(0);
        let mut at = 0;
        while at < FILE {
            at += rng.random_range(0..40);
            let longest = if rng.random_ratio(1, 10) { 150 } else { 9 };
            let end = (at + rng.random_range(1..longest)).min(FILE);
            if at >= end {
                break;
            }
            match rng.random_range(0..5) {
                0 => {
                    cut.zeros.push((at, end));
                    self.bytes[at as usize..end as usize].fill(0);
                }
                1 | 2 => {
                    let start = self.log.len() as u64;
                    self.log.extend((at..end).map(|_| rng.random_range(1..=255u8)));
                    self.bytes[at as usize..end as usize].copy_from_slice(&self.log[start as usize..]);
                    cut.writes.push((at, end - at, start));
                }
                _ => {}
            }
            at = end;
        }
        cut
    }

    fn clear(&mut self, start: u64, end: u64) {
        let mut map = Vec::new();
        for (at, bytes) in self.map.drain(..) {
            for (from, to) in subtract(&[(at, at + bytes.len() as u64)], start, end) {
                map.push((from, bytes[(from - at) as usize..(to - at) as usize].to_vec()));
            }
        }
        self.map = map;
    }

    fn base(&self, offset: u64) -> u8 {
        let found = self.map.iter().find(|(at, bytes)| (*at..at + bytes.len() as u64).contains(&offset));
        found.map_or(0, |(at, bytes)| bytes[(offset - at) as usize])
    }

    fn ranges(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let ranges = self.map.iter().map(|(at, bytes)| (*at, at + bytes.len() as u64));
        ranges.filter(|(from, to)| *from < end && *to > start).collect()
    }

    /// Plans and places as the flusher does. Returns how many windows were written anew.
    fn flush(&mut self, cut: &TestCut) -> usize {
        let mut blocks = blocks_of(&cut.writes, BLOCK);
        let windows = pieces_by_window(&cut.writes, &cut.zeros, BLOCK);
        let mut rewritten = 0;
        for (window, pieces) in windows {
            let (start, end) = (window * BLOCK, (window + 1) * BLOCK);
            let own: Vec<_> =
                blocks.iter().filter(|b| b.offset() >= start && b.offset() < end).cloned().collect();
            assert!(own.iter().all(|b| b.end() <= end), "a block crosses its window");
            let base = self.ranges(start, end);
            let view =
                Window { start, end, size_low: cut.size_low, zeros: &cut.zeros, blocks: &own, base: &base };
            assert!(view.after() <= 2 * pieces + base.len(), "the cheap bound is too low");
            if view.after() > EXTENTS_PER_WINDOW {
                rewritten += 1;
                let spec = view.rewritten().unwrap();
                blocks.retain(|b| b.offset() < start || b.offset() >= end);
                blocks.push(spec);
            }
        }
        blocks.sort_by_key(BlockSpec::offset);
        let ready: Vec<(u64, Vec<u8>)> =
            blocks.iter().map(|spec| (spec.offset(), self.bytes_of(spec))).collect();
        self.clear(cut.size_low, u64::MAX);
        cut.zeros.iter().for_each(|(start, end)| self.clear(*start, *end));
        ready.iter().for_each(|(at, bytes)| self.clear(*at, at + bytes.len() as u64));
        self.map.extend(ready);
        self.map.sort_by_key(|(at, _)| *at);
        rewritten
    }

    fn bytes_of(&self, spec: &BlockSpec<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for fill in &spec.fills {
            assert_eq!(fill.offset, spec.offset() + bytes.len() as u64, "a gap in a block");
            bytes.extend((0..fill.len).map(|n| match fill.from {
                From::Log(at) => self.log[(at + n) as usize],
                From::Zero => 0,
                From::Base => self.base(fill.offset + n),
            }));
        }
        bytes
    }
}

#[test]
fn cuts_in_any_number_keep_the_bytes_and_at_most_eight_extents_in_a_window() {
    let mut rewritten = 0;
    for seed in 0..300u64 {
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut model = Model { bytes: vec![0; FILE as usize], ..Model::default() };
        for step in 0..30 {
            let cut = model.cut(&mut rng);
            rewritten += model.flush(&cut);
            for offset in 0..FILE {
                assert_eq!(
                    model.base(offset),
                    model.bytes[offset as usize],
                    "seed {seed} step {step} byte {offset}"
                );
            }
            for window in 0..FILE / BLOCK {
                let held = model.ranges(window * BLOCK, (window + 1) * BLOCK).len();
                assert!(held <= EXTENTS_PER_WINDOW, "seed {seed} step {step}: window {window} holds {held}");
            }
        }
    }
    assert!(rewritten > 300, "the rule was hardly tested: {rewritten}");
}

#[test]
fn adjacent_writes_within_a_window_become_one_block() {
    let writes: Vec<(u64, u64, u64)> = (0..40).map(|n| (n * 8, 8, n * 1000)).collect();
    let blocks = blocks_of(&writes, BLOCK);
    let spans: Vec<_> = blocks.iter().map(|b| (b.offset(), b.end())).collect();
    assert_eq!(spans, [(0, 64), (64, 128), (128, 192), (192, 256), (256, 320)]);
    assert_eq!(blocks[0].fills.len(), 8);
    assert_eq!(pieces_by_window(&writes, &[], BLOCK).into_values().collect::<Vec<_>>(), [1; 5]);
}

#[test]
fn write_across_windows_is_split_and_its_places_advance() {
    let blocks = blocks_of(&[(50u64, 100, 7u64)], BLOCK);
    let fills: Vec<_> = blocks.iter().map(|b| (b.offset(), b.end(), b.fills[0].from)).collect();
    assert_eq!(fills, [(50, 64, From::Log(7)), (64, 128, From::Log(21)), (128, 150, From::Log(85))]);
}
