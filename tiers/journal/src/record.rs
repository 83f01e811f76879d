//! Records of file changes and their bytes.
//!
//! The log frames a record (kind, inode, flags, checksum); this is the payload, version 1, little-endian:
//!
//! ```text
//!  0 version u8 = 1 · 1 head length u8 · 2 ctime (i64 s, u32 ns) · 14 change u64 · 22 kind's fields · [tail of a newer
//!  version, kept out by the head length] · at the head length: data (Write only)
//!    Write     mtime · offset u64               flags: 1 clear suid · 2 set ARCHIVE · 4 has mtime · 8 has atime
//!    SetSize   size u64 · [mtime]
//!    Zero      mtime · offset u64 · len u64
//!    SetTimes  [atime] · [mtime]
//! ```
//!
//! Pure; decoding hostile bytes gives an error, never a panic and never a range beyond the largest file size.

use bytes::Bytes;
use dfs_model::{Change, Timestamp};

/// Format that this program writes.
const VERSION: u8 = 1;
/// Largest head that this program writes (Zero: 22 + 12 + 16), rounded up.
pub(crate) const HEAD_MAX: usize = 56;
/// Largest file size.
pub(crate) const SIZE_MAX: u64 = i64::MAX as u64;

const CLEAR_SUID: u16 = 1;
const SET_ARCHIVE: u16 = 2;
const HAS_MTIME: u16 = 4;
const HAS_ATIME: u16 = 8;

const WRITE: u8 = 1;
const SET_SIZE: u8 = 2;
const ZERO: u8 = 3;
const SET_TIMES: u8 = 4;

/// What every kind of record carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordMeta {
    /// ctime after the change; never lowers the row's.
    pub ctime: Timestamp,
    /// Change number of the change.
    pub change: Change,
    /// Clears suid/sgid unless the mode was set explicitly later.
    pub clear_suid: bool,
    /// Sets ARCHIVE unless the DOS bits were set explicitly later.
    pub set_archive: bool,
}

/// One change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Bytes; size becomes at least their end.
    Write {
        /// First byte.
        offset: u64,
        /// mtime after it.
        mtime: Timestamp,
        /// The bytes.
        data: Bytes,
    },
    /// Truncates down or up; bytes beyond are zero.
    SetSize {
        /// New size.
        size: u64,
        /// mtime after it, if it moves.
        mtime: Option<Timestamp>,
    },
    /// Punches a hole; the size stays.
    Zero {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
        /// mtime after it.
        mtime: Timestamp,
    },
    /// Times that a client set.
    SetTimes {
        /// New atime.
        atime: Option<Timestamp>,
        /// New mtime.
        mtime: Option<Timestamp>,
    },
}

impl Record {
    /// Bytes of data that the record carries.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        match self {
            Record::Write { data, .. } => data.len() as u64,
            _ => 0,
        }
    }

    /// Data bytes, for the log.
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Record::Write { data, .. } => data,
            _ => &[],
        }
    }

    /// What the record does, without the bytes.
    pub(crate) fn effect(&self) -> Effect {
        match self {
            Record::Write { offset, mtime, data } => Effect {
                act: Act::Write { offset: *offset, len: data.len() as u64 },
                atime: None,
                mtime: Some(*mtime),
            },
            Record::SetSize { size, mtime } => {
                Effect { act: Act::SetSize { size: *size }, atime: None, mtime: *mtime }
            }
            Record::Zero { offset, len, mtime } => {
                Effect { act: Act::Zero { offset: *offset, len: *len }, atime: None, mtime: Some(*mtime) }
            }
            Record::SetTimes { atime, mtime } => Effect { act: Act::Times, atime: *atime, mtime: *mtime },
        }
    }
}

/// What a record does to bytes and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Write { offset: u64, len: u64 },
    SetSize { size: u64 },
    Zero { offset: u64, len: u64 },
    Times,
}

impl Act {
    /// Offset and length of the range, when it lies within the largest file size; else `Err` of them.
    pub fn check(self) -> Result<(), (u64, u64)> {
        let (offset, len) = match self {
            Act::Write { offset, len } | Act::Zero { offset, len } => (offset, len),
            Act::SetSize { size } => (size, 0),
            Act::Times => return Ok(()),
        };
        let fits = offset.checked_add(len).is_some_and(|end| end <= SIZE_MAX);
        if fits { Ok(()) } else { Err((offset, len)) }
    }
}

/// What a record does, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub act: Act,
    pub atime: Option<Timestamp>,
    pub mtime: Option<Timestamp>,
}

/// A record as read back, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub meta: RecordMeta,
    pub effect: Effect,
    /// Byte of the payload at which the data starts.
    pub data_at: u32,
}

/// The head of a payload, built without allocation.
pub(crate) struct Head {
    bytes: [u8; HEAD_MAX],
    len: usize,
    pub kind: u8,
    pub flags: u16,
}

impl Head {
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    fn put_time(&mut self, time: Timestamp) {
        self.put(&time.secs.to_le_bytes());
        self.put(&time.nanos.to_le_bytes());
    }
}

/// Builds the head of a record's payload.
pub(crate) fn encode(meta: &RecordMeta, record: &Record) -> Head {
    let mut head = Head { bytes: [0; HEAD_MAX], len: 2, kind: 0, flags: 0 };
    head.put_time(meta.ctime);
    head.put(&meta.change.0.to_le_bytes());
    let effect = record.effect();
    let mtime = |head: &mut Head| {
        if let Some(time) = effect.mtime {
            head.put_time(time);
        }
    };
    match record {
        Record::Write { offset, .. } => {
            head.kind = WRITE;
            mtime(&mut head);
            head.put(&offset.to_le_bytes());
        }
        Record::SetSize { size, .. } => {
            head.kind = SET_SIZE;
            head.put(&size.to_le_bytes());
            mtime(&mut head);
        }
        Record::Zero { offset, len, .. } => {
            head.kind = ZERO;
            mtime(&mut head);
            head.put(&offset.to_le_bytes());
            head.put(&len.to_le_bytes());
        }
        Record::SetTimes { atime, .. } => {
            head.kind = SET_TIMES;
            if let Some(time) = atime {
                head.put_time(*time);
            }
            mtime(&mut head);
        }
    }
    head.flags = flags_of(meta, &effect);
    head.bytes[0] = VERSION;
    head.bytes[1] = head.len as u8;
    head
}

fn flags_of(meta: &RecordMeta, effect: &Effect) -> u16 {
    let bit = |on: bool, bit: u16| if on { bit } else { 0 };
    bit(meta.clear_suid, CLEAR_SUID)
        | bit(meta.set_archive, SET_ARCHIVE)
        | bit(effect.mtime.is_some(), HAS_MTIME)
        | bit(effect.atime.is_some(), HAS_ATIME)
}

/// Takes fields off the front of a head.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or("the head is too short")?;
        self.0 = rest;
        Ok(*field)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, String> {
        let secs = i64::from_le_bytes(self.take()?);
        let nanos = u32::from_le_bytes(self.take()?);
        if nanos > 999_999_999 { Err(format!("{nanos} nanoseconds")) } else { Ok(Timestamp { secs, nanos }) }
    }

    fn time_if(&mut self, there: bool) -> Result<Option<Timestamp>, String> {
        if there { self.time().map(Some) } else { Ok(None) }
    }
}

/// Reads a payload's head. *Errors:* what is wrong with it; a newer version says so.
pub(crate) fn decode(kind: u8, flags: u16, payload: &[u8]) -> Result<Decoded, String> {
    let (version, head_len) = match payload {
        [version, head_len, ..] => (*version, usize::from(*head_len)),
        _ => return Err("the payload is too short".into()),
    };
    if version != VERSION {
        return Err(format!("format {version}, this version reads up to {VERSION}; start the newer version"));
    }
    let head = payload.get(2..head_len).ok_or("the head is longer than the payload")?;
    let data_len = (payload.len() - head_len) as u64;
    let mut fields = Fields(head);
    let (ctime, change) = (fields.time()?, Change(fields.u64()?));
    let has_mtime = flags & HAS_MTIME != 0;
    let effect = match kind {
        WRITE => {
            let mtime = fields.time_if(has_mtime)?;
            Effect { act: Act::Write { offset: fields.u64()?, len: data_len }, atime: None, mtime }
        }
        SET_SIZE => {
            let act = Act::SetSize { size: fields.u64()? };
            Effect { act, atime: None, mtime: fields.time_if(has_mtime)? }
        }
        ZERO => {
            let mtime = fields.time_if(has_mtime)?;
            Effect { act: Act::Zero { offset: fields.u64()?, len: fields.u64()? }, atime: None, mtime }
        }
        SET_TIMES => {
            let atime = fields.time_if(flags & HAS_ATIME != 0)?;
            Effect { act: Act::Times, atime, mtime: fields.time_if(has_mtime)? }
        }
        other => return Err(format!("unknown kind {other}; start the newer version")),
    };
    effect
        .act
        .check()
        .map_err(|(offset, len)| format!("range {offset}+{len} beyond the largest file size"))?;
    let (clear_suid, set_archive) = (flags & CLEAR_SUID != 0, flags & SET_ARCHIVE != 0);
    let meta = RecordMeta { ctime, change, clear_suid, set_archive };
    Ok(Decoded { meta, effect, data_at: head_len as u32 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    fn samples() -> Vec<Record> {
        let (t, u) = (Timestamp::new(-5, 999_999_999), Timestamp::new(1 << 40, 1));
        vec![
            Record::Write { offset: 7, mtime: t, data: Bytes::from_static(b"hello") },
            Record::Write { offset: SIZE_MAX, mtime: t, data: Bytes::new() },
            Record::SetSize { size: SIZE_MAX, mtime: None },
            Record::SetSize { size: 0, mtime: Some(u) },
            Record::Zero { offset: 1, len: 2, mtime: u },
            Record::SetTimes { atime: Some(t), mtime: None },
            Record::SetTimes { atime: Some(t), mtime: Some(u) },
            Record::SetTimes { atime: None, mtime: None },
        ]
    }

    fn payload(meta: &RecordMeta, record: &Record) -> (u8, u16, Vec<u8>) {
        let head = encode(meta, record);
        (head.kind, head.flags, [head.as_slice(), record.data()].concat())
    }

    #[test]
    fn record_of_each_kind_reads_back_as_written() {
        for (nth, record) in samples().iter().enumerate() {
            let meta = RecordMeta {
                ctime: Timestamp::new(9, 9),
                change: Change(77),
                clear_suid: nth % 2 == 0,
                set_archive: nth % 3 == 0,
            };
            let (kind, flags, bytes) = payload(&meta, record);
            let back = decode(kind, flags, &bytes).unwrap();
            assert_eq!((back.meta, back.effect), (meta, record.effect()));
            assert_eq!(&bytes[back.data_at as usize..], record.data());
        }
    }

    #[test]
    fn record_v1_bytes_stay_as_released() {
        let meta = RecordMeta {
            ctime: Timestamp::new(1, 2),
            change: Change(3),
            clear_suid: true,
            set_archive: false,
        };
        let (kind, flags, bytes) =
            payload(&meta, &Record::SetSize { size: 4, mtime: Some(Timestamp::new(5, 6)) });
        let want = [
            &[1u8, 42][..],
            &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0],
        ]
        .concat();
        assert_eq!((kind, flags, bytes), (2, CLEAR_SUID | HAS_MTIME, want));
    }

    #[test]
    fn record_with_a_longer_head_of_a_later_writer_keeps_data_apart() {
        let record = Record::Write { offset: 1, mtime: Timestamp::EPOCH, data: Bytes::from_static(b"abc") };
        let (kind, flags, mut bytes) = payload(&RecordMeta::default(), &record);
        let head = usize::from(bytes[1]);
        bytes.splice(head..head, [9, 9, 9]);
        bytes[1] += 3;
        let back = decode(kind, flags, &bytes).unwrap();
        assert_eq!(&bytes[back.data_at as usize..], b"abc");
        assert_eq!(back.effect, record.effect());
    }

    #[test]
    fn record_of_hostile_bytes_never_panics_nor_overflows() {
        let seed = 0x6a6f_7572;
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let mut good = 0;
        for _ in 0..50_000 {
            let record = &samples()[random.random_range(0..8)];
            let (mut kind, mut flags, mut bytes) = payload(&RecordMeta::default(), record);
            for _ in 0..random.random_range(0..3) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            if random.random_bool(0.2) {
                bytes.truncate(random.random_range(0..=bytes.len()));
            }
            if random.random_bool(0.1) {
                (kind, flags) = (random.random_range(0..6), random.random());
            }
            if let Ok(back) = decode(kind, flags, &bytes) {
                back.effect.act.check().unwrap();
                assert!(back.data_at as usize <= bytes.len());
                good += 1;
            }
        }
        assert!(good > 1000, "the mutator must leave some records readable");
    }
}
