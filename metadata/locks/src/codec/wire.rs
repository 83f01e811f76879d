//! Primitive fields of the record codec. Reading checks every length against what is left.

use super::CodecError;
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// What is left to read.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    fn cut(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(CodecError::Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.cut(N)?.try_into().map_err(|_| CodecError::Damaged)
    }
}

/// A value that can be written and read back.
pub(super) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut Input<'_>) -> Result<Self, CodecError>;
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Field for $int {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
                input.array().map(<$int>::from_le_bytes)
            }
        }
    )*};
}
integers!(u8, u32, u64, i64);

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        match u8::take(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Damaged),
        }
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        input.array()
    }
}

impl Field for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        // Owners, names and blobs are bounded far below 4 GiB by their protocols.
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        out.extend_from_slice(self);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        let len = u32::take(input)? as usize;
        input.cut(len).map(Bytes::copy_from_slice)
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        if bool::take(input)? { T::take(input).map(Some) } else { Ok(None) }
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        let len = u32::take(input)?;
        // No capacity up front: the length is not to be trusted.
        (0..len).map(|_| T::take(input)).collect()
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        Ok((A::take(input)?, B::take(input)?))
    }
}

impl Field for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        self.subsec_nanos().put(out);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        let (secs, nanos) = (u64::take(input)?, u32::take(input)?);
        if nanos < 1_000_000_000 { Ok(Duration::new(secs, nanos)) } else { Err(CodecError::Damaged) }
    }
}

impl Field for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            IpAddr::V4(address) => {
                out.push(4);
                address.octets().put(out);
            }
            IpAddr::V6(address) => {
                out.push(6);
                address.octets().put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
        match u8::take(input)? {
            4 => <[u8; 4]>::take(input).map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
            6 => <[u8; 16]>::take(input).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
            _ => Err(CodecError::Damaged),
        }
    }
}
