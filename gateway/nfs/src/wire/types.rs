//! Types that several NFSv3 procedures share (RFC 1813 §2.5, §2.6).

use crate::wire::xdr_struct;
use bytes::{BufMut, Bytes, BytesMut};
use dfs_rpc::{Decode, Encode, Reader, XdrError, XdrResult, encode_opaque};

/// Longest handle (RFC 1813 §2.4).
pub const HANDLE_MAX: u32 = 64;
/// Longest name that is decoded. Names above 255 bytes are answered with NAMETOOLONG, longer ones than this with
/// GARBAGE_ARGS.
pub const NAME_WIRE_MAX: u32 = 4096;
/// Longest symlink target that is decoded.
pub const PATH_WIRE_MAX: u32 = 8192;
/// Most data in one READ or WRITE.
pub const DATA_MAX: u32 = 1 << 20;

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident($max:expr)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub Bytes);

        impl Encode for $name {
            fn encode(&self, out: &mut BytesMut) {
                encode_opaque(out, &self.0);
            }
        }

        impl Decode for $name {
            fn decode(from: &mut Reader) -> XdrResult<$name> {
                from.opaque($max).map($name)
            }
        }

        impl From<&[u8]> for $name {
            fn from(bytes: &[u8]) -> $name {
                $name(Bytes::copy_from_slice(bytes))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name::from(text.as_bytes())
            }
        }
    };
}

opaque! {
    /// A file handle: at most 64 opaque bytes.
    Handle(HANDLE_MAX)
}
opaque! {
    /// A name in a directory, not yet validated.
    FileName(NAME_WIRE_MAX)
}
opaque! {
    /// A symlink's target.
    Path(PATH_WIRE_MAX)
}
opaque! {
    /// Bytes of a file.
    Data(DATA_MAX)
}

/// Eight opaque bytes: a verifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verifier(pub [u8; 8]);

impl Encode for Verifier {
    fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&self.0);
    }
}

impl Decode for Verifier {
    fn decode(from: &mut Reader) -> XdrResult<Verifier> {
        from.fixed().map(Verifier)
    }
}

macro_rules! xdr_enum {
    ($(#[$doc:meta])* $type:ident { $($name:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub enum $type { $($name = $number,)* }

        impl Encode for $type {
            fn encode(&self, out: &mut BytesMut) {
                out.put_u32(*self as u32);
            }
        }

        impl Decode for $type {
            fn decode(from: &mut Reader) -> XdrResult<$type> {
                match from.u32()? {
                    $($number => Ok($type::$name),)*
                    value => Err(XdrError::BadValue { what: stringify!($type), value }),
                }
            }
        }
    };
}

xdr_enum! {
    /// Kind of a file.
    FileType { Regular = 1, Directory = 2, Block = 3, Character = 4, Symlink = 5, Socket = 6, Fifo = 7, }
}
xdr_enum! {
    /// How stable a write must be, or is.
    Stable { Unstable = 0, DataSync = 1, FileSync = 2, }
}

xdr_struct! {
    /// A time as NFSv3 has it: unsigned seconds.
    #[derive(Copy, Default, PartialOrd, Ord, Hash)]
    Time3 { seconds: u32, nanos: u32, }

    /// Major and minor number of a device.
    #[derive(Copy, Default)]
    Device3 { major: u32, minor: u32, }

    /// Attributes.
    Attributes {
        kind: FileType,
        mode: u32,
        nlink: u32,
        uid: u32,
        gid: u32,
        size: u64,
        used: u64,
        device: Device3,
        fsid: u64,
        fileid: u64,
        atime: Time3,
        mtime: Time3,
        ctime: Time3,
    }

    /// Attributes from before a change.
    #[derive(Copy)]
    WccAttributes { size: u64, mtime: Time3, ctime: Time3, }

    /// Attributes before and after a change.
    #[derive(Default)]
    WccData { before: Option<WccAttributes>, after: Option<Attributes>, }

    /// Attributes to set.
    #[derive(Default)]
    SetAttributes {
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: SetTime,
        mtime: SetTime,
    }

    /// A name in a directory.
    DirOp { dir: Handle, name: FileName, }
}

/// How a time is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// Not at all.
    #[default]
    Keep,
    /// To the server's clock.
    Server,
    /// To this.
    Client(Time3),
}

impl Encode for SetTime {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            SetTime::Keep => out.put_u32(0),
            SetTime::Server => out.put_u32(1),
            SetTime::Client(time) => {
                out.put_u32(2);
                time.encode(out);
            }
        }
    }
}

impl Decode for SetTime {
    fn decode(from: &mut Reader) -> XdrResult<SetTime> {
        match from.u32()? {
            0 => Ok(SetTime::Keep),
            1 => Ok(SetTime::Server),
            2 => Ok(SetTime::Client(Time3::decode(from)?)),
            value => Err(XdrError::BadValue { what: "time_how", value }),
        }
    }
}
