//! Extended attributes: names with small values that belong to an inode (SEAM §3.1, RFC 8276, xattr(7)).
//!
//! The `user.` attributes of NFSv4.2 and the extended attributes of SMB are one set. An inode's whole set is small enough to
//! be read at once: the bounds below hold in every store.

use crate::{FsError, FsResult};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Longest name in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// Largest value in bytes.
pub const VALUE_LEN_MAX: usize = 64 * 1024;
/// Most bytes of names and values of one inode.
pub const TOTAL_LEN_MAX: usize = 256 * 1024;
/// Most attributes of one inode.
pub const COUNT_MAX: usize = 1024;

/// How a new value treats an existing one (RFC 8276 §8.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// The name must be new.
    Create,
    /// The name must be there.
    Replace,
    /// Either way.
    Either,
}

/// An inode's attributes, in the order of their names.
pub type Xattrs = BTreeMap<Bytes, Bytes>;

/// One change: a new value, or `None` for the attribute's end.
pub type XattrChange = (Bytes, Option<Bytes>);

/// The stored spelling of a name: with `any_case` one that differs only in the case of ASCII letters counts too (SMB).
#[must_use]
pub fn stored_name<'a>(have: &'a Xattrs, name: &[u8], any_case: bool) -> Option<&'a Bytes> {
    match have.get_key_value(name) {
        Some((stored, _)) => Some(stored),
        None if any_case => have.keys().find(|stored| stored.eq_ignore_ascii_case(name)),
        None => None,
    }
}

/// Applies changes to an inode's attributes, in order, all or none (`have` is worthless after an error). An end is asked
/// for a name that must be there, whatever `mode` says.
///
/// *Errors:* [`FsError::InvalidArgument`] for an empty name or one with a NUL, [`FsError::NameTooLong`],
/// [`FsError::XattrTooBig`] for the value, [`FsError::Exists`] and [`FsError::NoXattr`] by `mode`, [`FsError::NoSpace`] when
/// the inode would hold too much.
pub fn change(have: &mut Xattrs, changes: &[XattrChange], mode: XattrMode, any_case: bool) -> FsResult<()> {
    for (name, value) in changes {
        check_name(name)?;
        if value.as_ref().is_some_and(|value| value.len() > VALUE_LEN_MAX) {
            return Err(FsError::XattrTooBig);
        }
        let stored = stored_name(have, name, any_case).cloned();
        match (value, stored, mode) {
            (None, None, _) | (Some(_), None, XattrMode::Replace) => return Err(FsError::NoXattr),
            (Some(_), Some(_), XattrMode::Create) => return Err(FsError::Exists),
            (None, Some(stored), _) => drop(have.remove(&stored)),
            (Some(value), stored, _) => {
                have.insert(stored.unwrap_or_else(|| name.clone()), value.clone());
            }
        }
    }
    let total: usize = have.iter().map(|(name, value)| name.len() + value.len()).sum();
    if have.len() > COUNT_MAX || total > TOTAL_LEN_MAX { Err(FsError::NoSpace) } else { Ok(()) }
}

fn check_name(name: &[u8]) -> FsResult<()> {
    match name.len() {
        0 => Err(FsError::InvalidArgument),
        len if len > NAME_LEN_MAX => Err(FsError::NameTooLong),
        _ if name.contains(&0) => Err(FsError::InvalidArgument),
        _ => Ok(()),
    }
}

/// A page of names: from the `cookie`-th name in order, as many as `bytes_max` bytes hold, each with eight bytes on top.
/// Answers the names, the cookie of the next page and whether there is none. *Errors:* [`FsError::BufferTooSmall`] when
/// not even the first fits.
pub fn page(have: &Xattrs, cookie: u64, bytes_max: usize) -> FsResult<(Vec<Bytes>, u64, bool)> {
    let start = usize::try_from(cookie).unwrap_or(usize::MAX);
    let (mut names, mut left) = (Vec::new(), bytes_max);
    for name in have.keys().skip(start) {
        match left.checked_sub(name.len() + 8) {
            Some(rest) => left = rest,
            None if names.is_empty() => return Err(FsError::BufferTooSmall),
            None => return Ok((names.clone(), cookie + names.len() as u64, false)),
        }
        names.push(name.clone());
    }
    let next = cookie.saturating_add(names.len() as u64);
    Ok((names, next, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn set(name: &str, value: &[u8]) -> XattrChange {
        (Bytes::copy_from_slice(name.as_bytes()), Some(Bytes::copy_from_slice(value)))
    }

    fn end(name: &str) -> XattrChange {
        (Bytes::copy_from_slice(name.as_bytes()), None)
    }

    #[test]
    fn modes_and_ends_answer_as_rfc_8276_says() {
        let mut have = Xattrs::new();
        assert_eq!(change(&mut have, &[set("a", b"1")], XattrMode::Replace, false), Err(FsError::NoXattr));
        change(&mut have, &[set("a", b"1")], XattrMode::Create, false).unwrap();
        assert_eq!(change(&mut have, &[set("a", b"2")], XattrMode::Create, false), Err(FsError::Exists));
        change(&mut have, &[set("a", b"2"), set("b", b"")], XattrMode::Either, false).unwrap();
        assert_eq!(change(&mut have, &[end("c")], XattrMode::Either, false), Err(FsError::NoXattr));
        change(&mut have, &[end("a")], XattrMode::Either, false).unwrap();
        assert_eq!(have, Xattrs::from([(Bytes::from("b"), Bytes::new())]));
    }

    #[test]
    fn names_and_values_have_their_bounds() {
        let one = |name: &[u8], len: usize| {
            let changes = [(Bytes::copy_from_slice(name), Some(Bytes::from(vec![0; len])))];
            change(&mut Xattrs::new(), &changes, XattrMode::Either, false)
        };
        assert_eq!(one(b"", 0), Err(FsError::InvalidArgument));
        assert_eq!(one(b"a\0", 0), Err(FsError::InvalidArgument));
        assert_eq!((one(&[b'n'; 255], 65_536), one(&[b'n'; 256], 0)), (Ok(()), Err(FsError::NameTooLong)));
        assert_eq!(one(b"a", 65_537), Err(FsError::XattrTooBig));
        let mut have = Xattrs::new();
        let full: Vec<XattrChange> = ["a", "b", "c"].iter().map(|name| set(name, &[7; 65_536])).collect();
        change(&mut have, &full, XattrMode::Either, false).unwrap();
        assert_eq!(
            change(&mut have.clone(), &[set("d", &[7; 65_536])], XattrMode::Either, false),
            Err(FsError::NoSpace)
        );
        change(&mut have, &[set("d", &[7; 65_532])], XattrMode::Either, false).unwrap();
        let many: Vec<XattrChange> = (0..=COUNT_MAX).map(|n| set(&n.to_string(), b"")).collect();
        assert_eq!(change(&mut Xattrs::new(), &many, XattrMode::Either, false), Err(FsError::NoSpace));
        assert!(change(&mut Xattrs::new(), &many[1..], XattrMode::Either, false).is_ok());
    }

    #[test]
    fn any_case_finds_the_stored_spelling_and_keeps_it() {
        let mut have = Xattrs::new();
        change(&mut have, &[set("Key", b"1"), set("kEY", b"2")], XattrMode::Either, true).unwrap();
        assert_eq!(have, Xattrs::from([(Bytes::from("Key"), Bytes::from("2"))]));
        change(&mut have, &[set("key", b"3")], XattrMode::Create, false).unwrap();
        assert_eq!(stored_name(&have, b"key", true).unwrap().as_ref(), b"key", "exact spelling wins");
    }

    #[test]
    fn pages_list_every_name_once() {
        let have: Xattrs = (0..30).map(|n| (Bytes::from(format!("name-{n:02}")), Bytes::new())).collect();
        assert_eq!(page(&have, 0, 14), Err(FsError::BufferTooSmall));
        for bytes_max in [15, 31, 100, 10_000] {
            let (mut cookie, mut all) = (0, Vec::new());
            loop {
                let (names, next, end) = page(&have, cookie, bytes_max).unwrap();
                all.extend(names);
                cookie = next;
                if end {
                    break;
                }
            }
            assert!(all.iter().eq(have.keys()));
        }
        assert_eq!(page(&have, u64::MAX, 100).unwrap().0, Vec::<Bytes>::new());
    }
}
