//! Status numbers of NFSv3 (RFC 1813 §2.6) and MOUNT v3 (appendix I).

use bytes::{BufMut, BytesMut};
use dfs_rpc::{Decode, Encode, Reader, XdrError, XdrResult};

macro_rules! numbers {
    ($(#[$doc:meta])* $type:ident { $($name:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub enum $type { $($name = $number,)* }

        impl $type {
            /// Every status.
            pub const ALL: &[$type] = &[$($type::$name),*];

            /// The status of a number.
            #[must_use]
            pub fn from_number(number: u32) -> Option<$type> {
                match number {
                    $($number => Some($type::$name),)*
                    _ => None,
                }
            }

            /// Name in lower case, for metrics and logs.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($type::$name => stringify!($name),)* }
            }
        }

        impl Encode for $type {
            fn encode(&self, out: &mut BytesMut) {
                out.put_u32(*self as u32);
            }
        }

        impl Decode for $type {
            fn decode(from: &mut Reader) -> XdrResult<$type> {
                let value = from.u32()?;
                $type::from_number(value).ok_or(XdrError::BadValue { what: stringify!($type), value })
            }
        }
    };
}

numbers! {
    /// Status of an NFSv3 procedure.
    Status {
        Ok = 0,
        Perm = 1,
        NoEnt = 2,
        Io = 5,
        Nxio = 6,
        Acces = 13,
        Exist = 17,
        Xdev = 18,
        NoDev = 19,
        NotDir = 20,
        IsDir = 21,
        Inval = 22,
        Fbig = 27,
        NoSpc = 28,
        Rofs = 30,
        Mlink = 31,
        NameTooLong = 63,
        NotEmpty = 66,
        Dquot = 69,
        Stale = 70,
        Remote = 71,
        BadHandle = 10001,
        NotSync = 10002,
        BadCookie = 10003,
        NotSupp = 10004,
        TooSmall = 10005,
        ServerFault = 10006,
        BadType = 10007,
        Jukebox = 10008,
    }
}

numbers! {
    /// Status of MNT.
    MountStatus {
        Ok = 0,
        Perm = 1,
        NoEnt = 2,
        Io = 5,
        Acces = 13,
        NotDir = 20,
        Inval = 22,
        NameTooLong = 63,
        NotSupp = 10004,
        ServerFault = 10006,
    }
}
