//! Damage to records.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::grammar::{Targets, fields, write};
use crate::nfs::Procedure;
use crate::nfs::xdr::{Writer, record as whole_record};

/// Bytes of the mark and of the header before the credential.
const HEADER_BYTES: usize = 28;

/// What a record's damage did to the stream it travels in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// The header is whole: the procedure sees the arguments.
    Whole,
    /// Whole, but in several fragments, which a server may refuse.
    Pieces,
    /// The frame is whole, the header is not.
    Header,
    /// The frame is broken: nothing sensible can follow on this connection.
    Broken,
}

/// Appends one record for a procedure, damaged or (one in eight) not at all.
pub fn record(
    out: &mut Vec<u8>,
    xid: u32,
    procedure: Procedure,
    targets: &Targets,
    dice: &mut ChaCha8Rng,
) -> Framing {
    let mut bytes = Vec::new();
    let uid = if dice.random_ratio(1, 8) { dice.random() } else { 0 };
    let odd_rate = if dice.random_ratio(1, 8) { 0.0 } else { 0.3 };
    whole_record(&mut bytes, xid, procedure, uid, |writer| {
        arguments(writer, procedure, targets, odd_rate, dice)
    });
    let arguments_at = arguments_at(&bytes);
    let framing = match dice.random_range(0..100) {
        0..55 => Framing::Whole,
        55..70 => {
            flip(&mut bytes[arguments_at..], dice);
            Framing::Whole
        }
        70..80 => {
            let keep = dice.random_range(arguments_at..=bytes.len());
            bytes.truncate(keep);
            mark(&mut bytes, true);
            Framing::Whole
        }
        80..85 => {
            bytes.extend((0..dice.random_range(1..200)).map(|_| dice.random::<u8>()));
            mark(&mut bytes, true);
            Framing::Whole
        }
        85..93 => {
            header(&mut bytes, arguments_at, dice);
            Framing::Header
        }
        93..96 => {
            fragments(&mut bytes, dice);
            Framing::Pieces
        }
        _ => {
            frame(&mut bytes, dice);
            Framing::Broken
        }
    };
    out.extend_from_slice(&bytes);
    framing
}

fn arguments(
    writer: &mut Writer,
    procedure: Procedure,
    targets: &Targets,
    odd_rate: f64,
    dice: &mut ChaCha8Rng,
) {
    for field in fields(procedure) {
        let odd = dice.random_bool(odd_rate);
        write(*field, writer, targets, odd, dice);
    }
}

/// Where the arguments begin: behind the credential and the empty verifier.
fn arguments_at(bytes: &[u8]) -> usize {
    let length = bytes.get(HEADER_BYTES + 4..HEADER_BYTES + 8).and_then(|word| word.first_chunk::<4>());
    let length = length.map_or(0, |word| u32::from_be_bytes(*word) as usize);
    (HEADER_BYTES + 8 + length.next_multiple_of(4) + 8).min(bytes.len())
}

fn mark(bytes: &mut [u8], last: bool) {
    let length = (bytes.len() - 4) as u32 | if last { 0x8000_0000 } else { 0 };
    bytes[..4].copy_from_slice(&length.to_be_bytes());
}

fn flip(bytes: &mut [u8], dice: &mut ChaCha8Rng) {
    if !bytes.is_empty() {
        for _ in 0..dice.random_range(1..4) {
            let at = dice.random_range(0..bytes.len());
            bytes[at] ^= 1 << dice.random_range(0..8);
        }
    }
}

/// Damages a field of the RPC header: message type, versions, program, procedure, credential.
fn header(bytes: &mut [u8], end: usize, dice: &mut ChaCha8Rng) {
    if dice.random_ratio(1, 2) {
        flip(&mut bytes[8..end], dice);
        return;
    }
    let word = dice.random_range(2..(end / 4).max(3));
    let value: u32 = match dice.random_range(0..4) {
        0 => 0,
        1 => u32::MAX,
        2 => dice.random_range(0..32),
        _ => dice.random(),
    };
    bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_be_bytes());
}

/// Cuts a record into fragments, empty ones too.
fn fragments(bytes: &mut Vec<u8>, dice: &mut ChaCha8Rng) {
    let body = bytes.split_off(4);
    bytes.clear();
    let mut rest = &body[..];
    while !rest.is_empty() {
        let take = dice.random_range(0..=rest.len().min(40));
        let (piece, after) = rest.split_at(take);
        bytes.extend_from_slice(
            &(piece.len() as u32 | if after.is_empty() { 0x8000_0000 } else { 0 }).to_be_bytes(),
        );
        bytes.extend_from_slice(piece);
        rest = after;
    }
}

/// Breaks the frame: a mark that promises more than comes, far too much, or noise.
fn frame(bytes: &mut Vec<u8>, dice: &mut ChaCha8Rng) {
    match dice.random_range(0..4) {
        0 => {
            let keep = dice.random_range(1..bytes.len());
            bytes.truncate(keep);
        }
        1 => bytes[..4].copy_from_slice(&dice.random_range(0x8010_0000..=u32::MAX).to_be_bytes()),
        2 => bytes[..4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes()),
        _ => bytes.iter_mut().for_each(|byte| *byte = dice.random()),
    }
}
