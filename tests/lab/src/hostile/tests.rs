//! The attacker's own promises: same seed, same records; enough of them reach the procedures.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::grammar::Targets;
use super::mutate::{Framing, record};
use crate::nfs::{mount, nfs};

fn targets() -> Targets {
    Targets {
        root: vec![1; 40],
        handles: vec![vec![1; 40], vec![2; 40]],
        foreign: vec![vec![3; 40]],
        export: b"/x".to_vec(),
    }
}

fn records(seed: u64) -> (Vec<u8>, Vec<Framing>) {
    let (mut out, mut framings, mut dice) = (Vec::new(), Vec::new(), ChaCha8Rng::seed_from_u64(seed));
    for number in 0..6000 {
        let procedure = if number % 28 < 22 { nfs(number % 28) } else { mount(number % 28 - 22) };
        framings.push(record(&mut out, number, procedure, &targets(), &mut dice));
    }
    (out, framings)
}

#[test]
fn records_of_a_seed_are_the_same_and_of_another_differ() {
    assert_eq!(records(3), records(3));
    assert_ne!(records(3).0, records(4).0);
}

#[test]
fn records_reach_the_procedure_in_more_than_half() {
    let framings = records(5).1;
    let share = |wanted| framings.iter().filter(|framing| **framing == wanted).count() * 100 / framings.len();
    assert!(share(Framing::Whole) >= 70, "{}", share(Framing::Whole));
    assert!(share(Framing::Header) >= 4 && share(Framing::Broken) >= 2);
}
