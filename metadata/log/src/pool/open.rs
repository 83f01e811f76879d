//! Opening a pool: what the folder holds, what is missing, what is too much.
//!
//! *A crash* anywhere here leaves `….new` files, whole ones of which the next open takes over; the rest it removes.

use super::{HeldSegment, PoolConfig, PoolState, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Shared, Slot};
use crate::{
    disk::{Disk, DiskFile, DiskLock, read_exact},
    error::{Damage, PoolError},
    format::{HeaderRead, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION},
    metrics::PoolMetrics,
    mutation::Rule,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::AtomicU64},
};

const LOCK_NAME: &str = "lock";
const PREFIX: &str = "segment-";
const RAW_SUFFIX: &str = ".new";
/// Most segments of one pool: their files stay open while in use.
const SEGMENTS_MAX: u64 = 65_536;

pub(super) fn failed(what: String) -> impl FnOnce(io::Error) -> PoolError {
    move |source| PoolError::Io { what, source }
}

pub(super) fn lock(disk: &dyn Disk) -> Result<DiskLock, PoolError> {
    disk.lock(LOCK_NAME).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => PoolError::InUse,
        io::ErrorKind::Unsupported => PoolError::NoLock(error),
        _ => PoolError::Io { what: "lock".to_owned(), source: error },
    })
}

pub(super) fn final_name(number: u64) -> String {
    format!("{PREFIX}{number:06}")
}

pub(super) fn raw_name(name: &str) -> String {
    format!("{name}{RAW_SUFFIX}")
}

/// What one file of the folder is.
enum Found {
    Used(SegmentHeader),
    Free { generation: u64 },
    Raw,
}

/// A file of the folder, by its number.
struct Entry {
    bytes: u64,
    found: Found,
}

fn check(config: &PoolConfig) -> Result<u64, PoolError> {
    let bytes = config.segment_bytes;
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes)
        || !bytes.is_multiple_of(SEGMENT_HEADER_BYTES)
    {
        return Err(PoolError::Config(format!(
            "segments of {bytes} bytes; give a multiple of 4096 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
        )));
    }
    let want = config.total_bytes / bytes;
    let least = 2 + config.small_reserve as u64;
    if !(least..=SEGMENTS_MAX).contains(&want) {
        return Err(PoolError::Config(format!(
            "{} bytes hold {want} segments of {bytes} bytes; {least} to {SEGMENTS_MAX} are possible",
            config.total_bytes
        )));
    }
    Ok(want)
}

pub(super) fn build(disk: Arc<dyn Disk>, config: PoolConfig) -> Result<Shared, PoolError> {
    let want = check(&config)?;
    let mut entries = scan(&*disk, &config)?;
    remove_surplus(&*disk, &config, want, &mut entries)?;
    allocate_missing(&*disk, &config, want, &mut entries)?;
    sync_raw(&*disk, &entries)?;
    disk.sync_dir().map_err(failed("sync of the log folder".to_owned()))?;
    let metrics = PoolMetrics::new(config.label);
    let (slots, state) = assemble(&entries);
    let changed = tokio::sync::Notify::new();
    let work = parking_lot::Condvar::new();
    Ok(Shared { disk, config, slots, state: Mutex::new(state), work, changed, metrics })
}

fn assemble(entries: &BTreeMap<u64, Entry>) -> (Vec<Slot>, PoolState) {
    let mut state = PoolState::default();
    let mut slots = Vec::new();
    for (index, (number, entry)) in (0u32..).zip(entries) {
        let mut life = 0;
        match &entry.found {
            Found::Used(header) => {
                life = header.generation;
                state
                    .held
                    .entry(header.journal)
                    .or_default()
                    .push(HeldSegment { slot: index, header: *header });
            }
            Found::Free { .. } => state.ready.push(index),
            Found::Raw => state.raw.push(index),
        }
        let generation = match &entry.found {
            Found::Used(header) => header.generation,
            Found::Free { generation } => *generation,
            Found::Raw => 0,
        };
        state.next_generation = state.next_generation.max(generation);
        let name = final_name(*number);
        slots.push(Slot { name, bytes: entry.bytes, life: AtomicU64::new(life), file: Mutex::new(None) });
    }
    state.ready.reverse();
    state.raw.reverse();
    (slots, state)
}

fn scan(disk: &dyn Disk, config: &PoolConfig) -> Result<BTreeMap<u64, Entry>, PoolError> {
    let mut entries = BTreeMap::new();
    for name in disk.list().map_err(failed("listing of the log folder".to_owned()))? {
        let Some(digits) = name.strip_prefix(PREFIX) else { continue };
        let (digits, raw) = match digits.strip_suffix(RAW_SUFFIX) {
            Some(digits) => (digits, true),
            None => (digits, false),
        };
        let Ok(number) = digits.parse::<u64>() else { continue };
        let file = disk.open(&name).map_err(failed(format!("open of {name}")))?;
        let bytes = file.len().map_err(failed(format!("size of {name}")))?;
        if raw {
            match bytes == config.segment_bytes && !entries.contains_key(&number) {
                true => drop(entries.insert(number, Entry { bytes, found: Found::Raw })),
                false => disk.remove(&name).map_err(failed(format!("removal of {name}")))?,
            }
            continue;
        }
        let found = read_header(&*file, &name, bytes, config)?;
        entries.insert(number, Entry { bytes, found });
    }
    Ok(entries)
}

fn read_header(file: &dyn DiskFile, name: &str, bytes: u64, config: &PoolConfig) -> Result<Found, PoolError> {
    let damaged = |found: String| PoolError::Damaged(Damage { file: name.to_owned(), offset: 0, found });
    if bytes < SEGMENT_BYTES_MIN {
        return Err(damaged(format!("the file has {bytes} bytes, less than any segment")));
    }
    let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
    let device = !config.mutations.off(Rule::ReadDevice);
    read_exact(file, device, 0, &mut page).map_err(failed(format!("read of {name}")))?;
    match SegmentHeader::decode(&page) {
        HeaderRead::Blank => Ok(Found::Free { generation: 0 }),
        HeaderRead::Valid(header) if header.free => Ok(Found::Free { generation: header.generation }),
        HeaderRead::Valid(header) => Ok(Found::Used(header)),
        HeaderRead::Newer(found) => {
            Err(PoolError::NewerFormat { file: name.to_owned(), found, known: VERSION })
        }
        HeaderRead::Bad => Err(damaged("neither copy of its header has a valid checksum".to_owned())),
    }
}

fn remove_surplus(
    disk: &dyn Disk,
    config: &PoolConfig,
    want: u64,
    entries: &mut BTreeMap<u64, Entry>,
) -> Result<(), PoolError> {
    let mut count = entries.len() as u64;
    let mut gone = Vec::new();
    for (number, entry) in entries.iter().rev() {
        let name = match entry.found {
            Found::Used(_) => continue,
            Found::Free { .. } => final_name(*number),
            Found::Raw => raw_name(&final_name(*number)),
        };
        if count > want || entry.bytes != config.segment_bytes {
            disk.remove(&name).map_err(failed(format!("removal of {name}")))?;
            gone.push(*number);
            count -= 1;
        }
    }
    entries.retain(|number, _| !gone.contains(number));
    Ok(())
}

fn allocate_missing(
    disk: &dyn Disk,
    config: &PoolConfig,
    want: u64,
    entries: &mut BTreeMap<u64, Entry>,
) -> Result<(), PoolError> {
    let missing = want.saturating_sub(entries.len() as u64);
    let needed_bytes = missing * config.segment_bytes;
    let free_bytes = disk.free_bytes().map_err(failed("size of the disk".to_owned()))?;
    if needed_bytes > free_bytes {
        return Err(PoolError::TooSmall { needed_bytes, free_bytes });
    }
    let numbers: Vec<u64> = (0..).filter(|n| !entries.contains_key(n)).take(missing as usize).collect();
    for number in numbers {
        let name = raw_name(&final_name(number));
        let file = disk.create(&name).map_err(failed(format!("creation of {name}")))?;
        file.allocate(config.segment_bytes).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                PoolError::TooSmall { needed_bytes, free_bytes }
            }
            _ => PoolError::Io { what: format!("allocation of {name}"), source: error },
        })?;
        entries.insert(number, Entry { bytes: config.segment_bytes, found: Found::Raw });
    }
    Ok(())
}

/// Makes the blocks of raw segments durable: a power cut must not give them to somebody else. After all were allocated, so
/// that the file system writes its own journal once for all of them.
fn sync_raw(disk: &dyn Disk, entries: &BTreeMap<u64, Entry>) -> Result<(), PoolError> {
    for (number, _) in entries.iter().filter(|(_, entry)| matches!(entry.found, Found::Raw)) {
        let name = raw_name(&final_name(*number));
        disk.open(&name).and_then(|file| file.sync()).map_err(failed(format!("sync of {name}")))?;
    }
    Ok(())
}
