//! What calls look like: the arguments of every procedure as a list of fields, and values that are worth trying in each.

use std::io;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::nfs::calls;
use crate::nfs::client::Client;
use crate::nfs::xdr::Writer;
use crate::nfs::{MOUNT, NFS, Procedure, nfs};

/// Handles and names that the attacked share knows.
pub struct Targets {
    /// The root of the export.
    pub root: Vec<u8>,
    /// Handles of files, folders, a link, and of a file that is gone.
    pub handles: Vec<Vec<u8>>,
    /// Handles that belong to another share or gateway.
    pub foreign: Vec<Vec<u8>>,
    /// The export's path.
    pub export: Vec<u8>,
}

fn from_hex(text: &str) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::other(format!("not a handle in hexadecimal: {text}"));
    let digits = text.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8)).collect())
}

/// Makes a few files of each kind on the share, and removes one whose handle is then stale.
pub async fn prepare(server: &str, export: &str, foreign: &[String]) -> io::Result<Targets> {
    let foreign = foreign.iter().map(|text| from_hex(text)).collect::<io::Result<Vec<_>>>()?;
    let mut client = Client::connect(server, 0x6000_0000).await?;
    let root = client.mount(export).await?;
    let mut handles = vec![root.clone()];
    for number in 0..4 {
        let name = format!("name-{number}");
        let file = client.create(&root, name.as_bytes(), 0o644).await?;
        client.write(&file, 0, calls::UNSTABLE, &[number; 5000]).await?;
        handles.push(file);
        handles.push(client.make_folder(&root, format!("folder-{number}").as_bytes(), 0o755).await?);
    }
    let gone = client.create(&root, b"gone", 0o644).await?;
    let results = client.call(nfs(12), |writer| calls::at(writer, &root, b"gone")).await?;
    calls::status(&mut crate::nfs::xdr::Reader(&results))?;
    handles.push(gone);
    Ok(Targets { root, handles, foreign, export: export.as_bytes().to_vec() })
}

/// One field of a call's arguments.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// A file handle.
    Handle,
    /// A name in a folder.
    Name,
    /// A path: of an export, or a link's target.
    Path,
    /// A number of 32 bits.
    Word,
    /// A count of bytes that the reply may have.
    Count,
    /// A number of 64 bits.
    Long,
    /// Zero or one, or neither.
    Flag,
    /// Data of a WRITE: count, stability and bytes.
    Data,
    /// sattr3.
    Attributes,
    /// Eight bytes.
    Verifier,
}

use Field::{Attributes, Count, Data, Flag, Handle, Long, Name, Path, Verifier, Word};

/// Returns the fields of a procedure's arguments.
pub fn fields(procedure: Procedure) -> &'static [Field] {
    match (procedure.program, procedure.number) {
        (NFS, 1 | 5 | 18 | 19 | 20) => &[Handle],
        (NFS, 2) => &[Handle, Attributes, Flag, Long],
        (NFS, 3 | 12 | 13) => &[Handle, Name],
        (NFS, 4) => &[Handle, Word],
        (NFS, 6) => &[Handle, Long, Count],
        (NFS, 7) => &[Handle, Long, Data],
        (NFS, 8) => &[Handle, Name, Flag, Attributes],
        (NFS, 9) => &[Handle, Name, Attributes],
        (NFS, 10) => &[Handle, Name, Attributes, Path],
        (NFS, 11) => &[Handle, Name, Word, Attributes, Long],
        (NFS, 14) => &[Handle, Name, Handle, Name],
        (NFS, 15) => &[Handle, Handle, Name],
        (NFS, 16) => &[Handle, Long, Verifier, Count],
        (NFS, 17) => &[Handle, Long, Verifier, Count, Count],
        (NFS, 21) => &[Handle, Long, Count],
        (MOUNT, 1 | 3) => &[Path],
        (NFS | MOUNT, _) => &[],
        (_, 1..=3) => &[Word, Word, Word, Word],
        (_, 5) => &[Word, Word, Word, Path],
        _ => &[],
    }
}

const WORDS: [u32; 14] =
    [0, 1, 2, 3, 4, 5, 6, 7, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 1, 100_003, 1000];
const LONGS: [u64; 12] = [
    0,
    1,
    4095,
    4096,
    262_144,
    1 << 32,
    (1 << 44) - 1,
    1 << 44,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX,
];

/// Writes a plausible value of a field; `odd` makes an implausible one likely.
pub fn write(field: Field, writer: &mut Writer, targets: &Targets, odd: bool, dice: &mut ChaCha8Rng) {
    match field {
        Handle => {
            let handle = handle(targets, odd, dice);
            writer.opaque(&handle);
        }
        Name => {
            let name = name(odd, dice);
            writer.opaque(&name);
        }
        Path => {
            let path = path(targets, odd, dice);
            writer.opaque(&path);
        }
        Word => {
            writer.u32(word(dice));
        }
        Count => {
            // a large count is worth trying, but each may cost a megabyte of answer
            let count = if dice.random_ratio(1, 200) { word(dice) } else { dice.random_range(0..4096) };
            writer.u32(count);
        }
        Long => {
            let long =
                if dice.random_ratio(1, 2) { dice.random_range(0..65_536) } else { pick(&LONGS, dice) };
            writer.u64(long);
        }
        Flag => {
            writer.u32(if odd { word(dice) } else { dice.random_range(0..2) });
        }
        Data => {
            let data = vec![dice.random(); dice.random_range(0..600)];
            let count = if odd { word(dice) } else { data.len() as u32 };
            let stable = if odd { word(dice) } else { dice.random_range(0..3) };
            writer.u32(count).u32(stable).opaque(&data);
        }
        Attributes => attributes(writer, odd, dice),
        Verifier => {
            writer.u64(if odd { dice.random() } else { 0 });
        }
    }
}

fn pick<T: Copy>(values: &[T], dice: &mut ChaCha8Rng) -> T {
    values[dice.random_range(0..values.len())]
}

fn word(dice: &mut ChaCha8Rng) -> u32 {
    if dice.random_ratio(1, 4) { dice.random() } else { pick(&WORDS, dice) }
}

/// A handle that is good, stale, forged (one bit, all bits), foreign, half foreign, or of a wrong length.
fn handle(targets: &Targets, odd: bool, dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut handle = targets.handles.choose(dice).cloned().unwrap_or_default();
    if !odd {
        return handle;
    }
    let foreign = targets.foreign.choose(dice).filter(|foreign| foreign.len() == handle.len());
    match (dice.random_range(0..7), foreign) {
        (5, Some(foreign)) => handle.clone_from(foreign),
        (6, Some(foreign)) => {
            let at = dice.random_range(0..handle.len());
            handle[..at].copy_from_slice(&foreign[..at]);
        }
        (0 | 1, _) if !handle.is_empty() => {
            let at = dice.random_range(0..handle.len());
            handle[at] ^= 1 << dice.random_range(0..8);
        }
        (2, _) => dice.fill(&mut handle[..]),
        (3, _) => handle.truncate(dice.random_range(0..=handle.len())),
        _ => {
            let length = pick(&[0usize, 1, 63, 64, 65, 128, 1024], dice);
            handle.resize(length, 0xa5);
        }
    }
    handle
}

fn name(odd: bool, dice: &mut ChaCha8Rng) -> Vec<u8> {
    if !odd {
        return format!(
            "{}-{}",
            if dice.random_ratio(1, 3) { "folder" } else { "name" },
            dice.random_range(0..200)
        )
        .into_bytes();
    }
    match dice.random_range(0..8) {
        0 => b".".to_vec(),
        1 => b"..".to_vec(),
        2 => b"".to_vec(),
        3 => b"a/b".to_vec(),
        4 => b"nul\0inside".to_vec(),
        5 => vec![b'n'; pick(&[254, 255, 256, 1024, 5000], dice)],
        6 => (0..dice.random_range(1..64)).map(|_| dice.random()).collect(),
        _ => b"\xff\xfe".to_vec(),
    }
}

fn path(targets: &Targets, odd: bool, dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut path = targets.export.clone();
    if odd {
        match dice.random_range(0..5) {
            0 => path.extend_from_slice(b"/../../etc"),
            1 => path = vec![b'/'; pick(&[1, 1024, 1025, 4096, 9000], dice)],
            2 => path = (0..dice.random_range(0..2000)).map(|_| dice.random()).collect(),
            3 => path.extend_from_slice(b"/folder-1/\0"),
            _ => path.clear(),
        }
    } else if dice.random_ratio(1, 2) {
        path.extend_from_slice(b"/folder-1");
    }
    path
}

fn attributes(writer: &mut Writer, odd: bool, dice: &mut ChaCha8Rng) {
    for _ in 0..3 {
        optional(writer, odd, dice, |writer, dice| {
            writer.u32(word(dice) & 0o7777);
        });
    }
    optional(writer, odd, dice, |writer, dice| {
        writer.u64(pick(&LONGS, dice));
    });
    for _ in 0..2 {
        let how = if odd { word(dice) } else { dice.random_range(0..3) };
        writer.u32(how);
        if how == 2 {
            writer.u32(word(dice)).u32(word(dice));
        }
    }
}

fn optional(
    writer: &mut Writer,
    odd: bool,
    dice: &mut ChaCha8Rng,
    value: impl Fn(&mut Writer, &mut ChaCha8Rng),
) {
    let there = if odd { word(dice) } else { dice.random_range(0..2) };
    writer.u32(there);
    if there == 1 {
        value(writer, dice);
    }
}
