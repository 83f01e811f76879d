//! What a pack says about itself: its block table and the place records of the cuts it holds, as one archive.
//!
//! The archive is relative, little-endian and unaligned. Field order is the format: these structs never change; version 2
//! gets structs of its own. The trailer's checksum holds before [`parse`] looks at a byte, and the archive is validated
//! before it is read, so hostile bytes with a right checksum fail as cleanly as damaged ones.

use crate::PackError;
use crate::frame::{BLOCKS_PER_PACK_MAX, HEADER_LEN, PackIdentity, VERSION};
use crate::reader::PackBlock;
use dfs_model::{
    BLOCKS_PER_RUN_MAX, BlockRef, Change, Compression, Epoch, ExtentRun, Generation, InodeId, PackId, Seq,
    ShareId, Timestamp,
};
use rkyv::rancor::{Error as RkyvError, Strategy};
use rkyv::{Archive, Deserialize, Serialize};

/// Longest footer: room for the most blocks and records, small against any machine's memory.
pub const FOOTER_LEN_MAX: usize = 32 << 20;
/// Most place records of a pack: a pack of tiny files has one for each block.
pub const RECORDS_PER_PACK_MAX: usize = 1 << 16;

/// One inode's part of the place that a pack was made for (JOURNAL §5.3), enough to do it again without any journal.
/// A cut that needs several packs leaves a record in each: the same inode and seqs, extents of that pack only, numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceRecord {
    /// The inode.
    pub inode: InodeId,
    /// Its incarnation.
    pub generation: Generation,
    /// The cut starts behind this record of the journal …
    pub from_seq: Seq,
    /// … and ends with this one.
    pub to_seq: Seq,
    /// Number of this record among those of the cut, from 0.
    pub part: u32,
    /// Whether it is the cut's last: only then zero ranges, sizes and times are complete.
    pub last_part: bool,
    /// Extents in this pack.
    pub extents: Vec<ExtentRun>,
    /// Half-open byte ranges that read as zeros at `to_seq` and hold no extent.
    pub zeros: Vec<(u64, u64)>,
    /// Lowest size that the file had in the cut.
    pub size_low: u64,
    /// Size at `to_seq`.
    pub size: u64,
    /// Access time, where the cut set it.
    pub atime: Option<Timestamp>,
    /// Time of the last change of the bytes, where the cut changed it.
    pub mtime: Option<Timestamp>,
    /// Time of the last change of anything.
    pub ctime: Timestamp,
    /// Change number.
    pub change: Change,
    /// Change number of the last record that clears suid/sgid.
    pub clear_suid: Option<Change>,
    /// Change number of the last record that sets ARCHIVE.
    pub set_archive: Option<Change>,
}

#[derive(Archive, Serialize, Deserialize)]
struct FooterV1 {
    version: u16,
    share: u128,
    pack: u128,
    epoch: u32,
    blocks: Vec<BlockV1>,
    places: Vec<PlaceV1>,
}

#[derive(Archive, Serialize, Deserialize)]
struct BlockV1 {
    offset: u64,
    stored_len: u32,
    decoded_len: u32,
    compression: u8,
    hash: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct PlaceV1 {
    inode: u64,
    generation: u32,
    from_seq: u64,
    to_seq: u64,
    part: u32,
    last_part: bool,
    extents: Vec<ExtentV1>,
    zeros: Vec<RangeV1>,
    size_low: u64,
    size: u64,
    atime: Option<TimeV1>,
    mtime: Option<TimeV1>,
    ctime: TimeV1,
    change: u64,
    clear_suid: Option<u64>,
    set_archive: Option<u64>,
}

#[derive(Archive, Serialize, Deserialize)]
struct ExtentV1 {
    offset: u64,
    len: u64,
    first_block: u32,
    blocks: u32,
    skip: u32,
}

#[derive(Archive, Serialize, Deserialize)]
struct RangeV1 {
    start: u64,
    end: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct TimeV1 {
    secs: i64,
    nanos: u32,
}

impl TimeV1 {
    fn new(time: Timestamp) -> TimeV1 {
        TimeV1 { secs: time.secs, nanos: time.nanos }
    }
}

/// Makes the footer's bytes. *Errors:* [`PackError::Full`] when they are more than [`FOOTER_LEN_MAX`].
pub(crate) fn build(
    identity: &PackIdentity,
    blocks: &[PackBlock],
    places: &[PlaceRecord],
) -> Result<Vec<u8>, PackError> {
    let block = |b: &PackBlock| BlockV1 {
        offset: b.offset,
        stored_len: b.reference.stored_len,
        decoded_len: b.reference.decoded_len,
        compression: b.reference.compression as u8,
        hash: b.reference.hash,
    };
    let footer = FooterV1 {
        version: VERSION,
        share: identity.share.0,
        pack: identity.pack.0,
        epoch: identity.epoch.0,
        blocks: blocks.iter().map(block).collect(),
        places: places.iter().map(place_to_archive).collect(),
    };
    let pack = identity.pack;
    let bytes = rkyv::to_bytes::<RkyvError>(&footer).map_err(|_| PackError::Full {
        pack,
        what: "footer bytes",
        max: FOOTER_LEN_MAX as u64,
    })?;
    match bytes.len() {
        0..=FOOTER_LEN_MAX => Ok(bytes.into_vec()),
        _ => Err(PackError::Full { pack, what: "footer bytes", max: FOOTER_LEN_MAX as u64 }),
    }
}

fn place_to_archive(record: &PlaceRecord) -> PlaceV1 {
    let extent = |run: &ExtentRun| ExtentV1 {
        offset: run.offset,
        len: run.len,
        first_block: run.first_block,
        blocks: run.blocks.len() as u32,
        skip: run.skip,
    };
    PlaceV1 {
        inode: record.inode.0,
        generation: record.generation.0,
        from_seq: record.from_seq.0,
        to_seq: record.to_seq.0,
        part: record.part,
        last_part: record.last_part,
        extents: record.extents.iter().map(extent).collect(),
        zeros: record.zeros.iter().map(|(start, end)| RangeV1 { start: *start, end: *end }).collect(),
        size_low: record.size_low,
        size: record.size,
        atime: record.atime.map(TimeV1::new),
        mtime: record.mtime.map(TimeV1::new),
        ctime: TimeV1::new(record.ctime),
        change: record.change.0,
        clear_suid: record.clear_suid.map(|change| change.0),
        set_archive: record.set_archive.map(|change| change.0),
    }
}

/// What a footer says, checked.
pub(crate) struct Parsed {
    pub identity: PackIdentity,
    pub blocks: Vec<PackBlock>,
    pub places: Vec<PlaceRecord>,
}

/// Reads a footer whose checksum holds, of a pack whose blocks end at `blocks_end`. *Errors:* [`PackError`].
pub(crate) fn parse(pack: PackId, blocks_end: u64, bytes: &[u8]) -> Result<Parsed, PackError> {
    let invalid = |what| PackError::Invalid { pack, what };
    let archive =
        rkyv::access::<ArchivedFooterV1, RkyvError>(bytes).map_err(|_| invalid("structure of the footer"))?;
    match archive.version.to_native() {
        VERSION => {}
        version => return Err(PackError::Newer { pack, version }),
    }
    let found = PackId(archive.pack.to_native());
    if found != pack {
        return Err(PackError::OtherPack { expected: pack, found });
    }
    if archive.blocks.len() > BLOCKS_PER_PACK_MAX || archive.places.len() > RECORDS_PER_PACK_MAX {
        return Err(invalid("number of blocks or records"));
    }
    let epoch = Epoch(archive.epoch.to_native());
    let identity = PackIdentity { share: ShareId(archive.share.to_native()), pack, epoch };
    let blocks = parse_blocks(pack, blocks_end, &archive.blocks)?;
    let places = archive
        .places
        .iter()
        .map(|place| parse_place(pack, &blocks, place))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Parsed { identity, blocks, places })
}

fn parse_blocks(
    pack: PackId,
    blocks_end: u64,
    rows: &[ArchivedBlockV1],
) -> Result<Vec<PackBlock>, PackError> {
    let mut at = HEADER_LEN as u64;
    let mut blocks = Vec::with_capacity(rows.len());
    for row in rows {
        let compression = Compression::from_number(row.compression)
            .ok_or(PackError::Invalid { pack, what: "compression" })?;
        let reference = BlockRef {
            stored_len: row.stored_len.to_native(),
            decoded_len: row.decoded_len.to_native(),
            compression,
            hash: row.hash.to_native(),
        };
        if row.offset.to_native() != at || !reference.is_plausible() {
            return Err(PackError::Invalid { pack, what: "block table" });
        }
        blocks.push(PackBlock { offset: at, reference });
        at += u64::from(reference.stored_len);
    }
    match at == blocks_end {
        true => Ok(blocks),
        false => Err(PackError::Length { pack, what: "row of blocks", have: blocks_end, want: at }),
    }
}

fn parse_place(
    pack: PackId,
    blocks: &[PackBlock],
    place: &ArchivedPlaceV1,
) -> Result<PlaceRecord, PackError> {
    let place: PlaceV1 = Deserialize::<PlaceV1, Strategy<rkyv::de::Pool, RkyvError>>::deserialize(
        place,
        Strategy::wrap(&mut rkyv::de::Pool::new()),
    )
    .map_err(|_| PackError::Invalid { pack, what: "place record" })?;
    let to_seq = Seq(place.to_seq);
    let change = Change(place.change);
    let extents = place
        .extents
        .iter()
        .map(|extent| {
            parse_extent(pack, blocks, extent).map(|run| ExtentRun { seq: to_seq, born: change, ..run })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if place.zeros.iter().any(|range| range.start >= range.end) || place.from_seq > place.to_seq {
        return Err(PackError::Invalid { pack, what: "place record" });
    }
    let time = |time: TimeV1| Timestamp::new(time.secs, time.nanos);
    Ok(PlaceRecord {
        inode: InodeId(place.inode),
        generation: Generation(place.generation),
        from_seq: Seq(place.from_seq),
        to_seq,
        part: place.part,
        last_part: place.last_part,
        extents,
        zeros: place.zeros.iter().map(|range| (range.start, range.end)).collect(),
        size_low: place.size_low,
        size: place.size,
        atime: place.atime.map(time),
        mtime: place.mtime.map(time),
        ctime: time(place.ctime),
        change,
        clear_suid: place.clear_suid.map(Change),
        set_archive: place.set_archive.map(Change),
    })
}

fn parse_extent(pack: PackId, blocks: &[PackBlock], extent: &ExtentV1) -> Result<ExtentRun, PackError> {
    let (first, count) = (extent.first_block as usize, extent.blocks as usize);
    let used = first.checked_add(count).and_then(|end| blocks.get(first..end));
    let used = match used {
        Some(used) if (1..=BLOCKS_PER_RUN_MAX).contains(&count) => used,
        _ => return Err(PackError::Invalid { pack, what: "blocks of an extent" }),
    };
    let run = ExtentRun {
        offset: extent.offset,
        len: extent.len,
        pack,
        first_block: extent.first_block,
        pack_offset: used.first().map_or(0, |block| block.offset),
        skip: extent.skip,
        seq: Seq::ZERO,
        born: Change::ZERO,
        blocks: used.iter().map(|block| block.reference).collect(),
        tail: bytes::Bytes::new(),
    };
    run.validate().map_err(|error| PackError::Extent { pack, error })?;
    Ok(run)
}
