//! ACLs by content: inodes with equal ACLs name one row.
//!
//! The address is a SipHash of the stored form, keyed with the share's secret handle key, so that nobody can make two ACLs
//! meet; equal addresses of different bytes are refused all the same. The row counts the inodes that name it.
//! Row v1: version · count (u64) · the ACL's stored form.

use super::Tx;
use crate::StoreResult;
use crate::key;
use crate::rows::identity::{decode_acl, encode_acl, storable};
use crate::rows::{InodeRow, damaged};
use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use dfs_model::{Acl, AclMode, AclRef, Credentials, FsError, InodeFlags};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::sync::Arc;

const VERSION: u8 = 1;

/// Reads an ACL that a row names.
pub fn load(tx: &Tx<'_>, hash: [u8; 16]) -> StoreResult<AclRef> {
    let (_, form) = row(tx, hash)?.ok_or_else(|| damaged("ACL", "it is missing"))?;
    decode_acl(&form).map(Arc::new).map_err(|error| damaged("ACL", error))
}

/// What a change of mode does to an ACL in this share.
pub fn mode_of_share(tx: &Tx<'_>) -> StoreResult<AclMode> {
    Ok(AclMode::of_settings(&super::read_share(tx)?.settings))
}

/// Tests a change of the audit entries. *Errors:* [`FsError::PrivilegeNotHeld`].
pub fn check_audit(old: Option<&Acl>, new: &Acl, who: &Credentials) -> StoreResult<()> {
    let same = old.and_then(|acl| acl.sacl.as_ref()) == new.sacl.as_ref();
    let may = same || who.is_root() || who.privileges.security;
    if may { Ok(()) } else { Err(FsError::PrivilegeNotHeld.into()) }
}

/// Gives a row another ACL (or none) and keeps the counts and the flag right; the same one costs nothing.
/// *Errors:* [`FsError::InvalidArgument`] for an ACL beyond its caps.
pub fn replace(tx: &mut Tx<'_>, row: &mut InodeRow, acl: Option<AclRef>) -> StoreResult<()> {
    if acl == row.inode.acl {
        return Ok(());
    }
    row.inode.flags = row.inode.flags.with(InodeFlags::HAS_ACL, acl.is_some());
    let old = row.acl_hash;
    row.acl_hash = match &acl {
        Some(acl) => Some(hold(tx, acl)?),
        None => None,
    };
    row.inode.acl = acl;
    match old {
        Some(old) => drop_one(tx, old),
        None => Ok(()),
    }
}

/// The stored form of an ACL within its caps. *Errors:* [`FsError::InvalidArgument`].
pub fn checked_form(acl: &Acl) -> StoreResult<Bytes> {
    let lists = [&acl.dacl, &acl.sacl];
    let mut aces = lists.into_iter().flatten().flatten();
    let too_long = lists.into_iter().flatten().any(|list| list.len() > Acl::ACES_MAX);
    if too_long || !aces.all(|ace| storable(&ace.who)) {
        return Err(FsError::InvalidArgument.into());
    }
    let form = encode_acl(acl);
    if form.len() > Acl::BYTES_MAX { Err(FsError::InvalidArgument.into()) } else { Ok(form) }
}

fn hold(tx: &mut Tx<'_>, acl: &Acl) -> StoreResult<[u8; 16]> {
    let form = checked_form(acl)?;
    let secret = super::read_share(tx)?.handle_key;
    let mut hasher = SipHasher24::new_with_key(&secret);
    hasher.write(&form);
    let hash = hasher.finish128().as_bytes();
    let count = match row(tx, hash)? {
        Some((_, other)) if other != form => return Err(damaged("ACL", "two ACLs have one address")),
        Some((count, _)) => count,
        None => 0,
    };
    store(tx, hash, count + 1, &form);
    Ok(hash)
}

fn drop_one(tx: &mut Tx<'_>, hash: [u8; 16]) -> StoreResult<()> {
    match row(tx, hash)? {
        Some((count, form)) if count > 1 => store(tx, hash, count - 1, &form),
        _ => tx.delete(key::acl(tx.share, hash)),
    }
    Ok(())
}

fn row(tx: &Tx<'_>, hash: [u8; 16]) -> StoreResult<Option<(u64, Bytes)>> {
    let Some(bytes) = tx.get(&key::acl(tx.share, hash))? else { return Ok(None) };
    let read = || -> Result<(u64, Bytes), BadRow> {
        let mut reader = Reader::versioned(&bytes, VERSION)?;
        Ok((reader.u64()?, reader.tail()))
    };
    read().map(Some).map_err(|error| damaged("ACL", error))
}

fn store(tx: &mut Tx<'_>, hash: [u8; 16], count: u64, form: &[u8]) {
    let mut out = Writer::versioned(VERSION, 9 + form.len());
    out.u64(count).raw(form);
    tx.put(key::acl(tx.share, hash), out.finish());
}
