//! Mode and ACL of a new object, and after a change of either: the one place that keeps the two in step.

use super::{Acl, AclMode, AclRef, Heir};
use crate::{AttrPatch, FsError, FsResult, Inode, InodeKind, inode};
use std::sync::Arc;

/// The nine bits that a list decides.
const NINE: u16 = 0o777;

/// The new object, before its directory had its say.
#[derive(Clone, Copy, Debug)]
pub struct Newborn<'a> {
    /// Its kind, owner and group.
    pub kind: InodeKind,
    #[allow(missing_docs)]
    pub heir: Heir<'a>,
    /// The list of its directory.
    pub parent: Option<&'a AclRef>,
    /// What its maker asked for; `mode` and `acl` count.
    pub asked: &'a AttrPatch,
    /// Mode where its maker asked for none.
    pub default_mode: u16,
    /// Mask of the maker, where the protocol passed one; used where nothing is inherited.
    pub umask: u16,
}

/// Mode and ACL of a new object (RFC 7530 §6.4.3, SEAM §3.5): a list that was asked for is taken as it is; else what the
/// directory hands on, cut down to the mode if one was asked for; else the mode. A link has neither to speak of.
///
/// *Errors:* [`FsError::InvalidArgument`] for a list that cannot be stored.
pub fn newborn(new: Newborn<'_>, how: AclMode) -> FsResult<(u16, Option<AclRef>)> {
    if new.kind == InodeKind::Symlink {
        return Ok((NINE, None));
    }
    let is_dir = new.heir.is_dir;
    let asked = new.asked.mode.as_set().map(|bits| bits & inode::mode::ALL);
    let bits = asked.unwrap_or(new.default_mode);
    if let Some(acl) = new.asked.acl.as_set() {
        return set(bits, acl, is_dir);
    }
    let masked = bits & !(new.umask & NINE);
    let Some(mut acl) = new.parent.and_then(|acl| acl.inherited(new.heir)) else { return Ok((masked, None)) };
    if acl.dacl.is_none() {
        acl.dacl = Acl::of_mode(masked, is_dir).dacl;
        return Ok((masked, Some(Arc::new(acl))));
    }
    match asked {
        None => Ok(((bits & !NINE) | acl.mode(), Some(Arc::new(acl)))),
        Some(bits) => {
            let kept = if how == AclMode::Passthrough { how } else { AclMode::Masked };
            Ok((bits, acl.with_mode(bits, is_dir, kept).map(Arc::new)))
        }
    }
}

/// Mode and ACL of an inode after a patch of either (RFC 7530 §6.4.1): a list decides the nine bits, also where a mode came
/// with it; a mode alone changes the list as the share says.
///
/// *Errors:* [`FsError::InvalidArgument`] for a list that cannot be stored; [`FsError::NotPermitted`] where the share
/// refuses a change of mode.
pub fn changed(row: &Inode, patch: &AttrPatch, how: AclMode) -> FsResult<(u16, Option<AclRef>)> {
    let mask = match patch.mode.as_set() {
        Some(_) => patch.mode_mask.unwrap_or(inode::mode::ALL) & inode::mode::ALL,
        None => 0,
    };
    let bits = (row.mode & !mask) | (patch.mode.as_set().copied().unwrap_or(0) & mask);
    if let Some(acl) = patch.acl.as_set() {
        return set(bits, acl, row.is_dir());
    }
    match &row.acl {
        Some(_) if mask & NINE != 0 && how == AclMode::Refuse => Err(FsError::NotPermitted),
        Some(acl) if mask & NINE != 0 => Ok((bits, acl.with_mode(bits, row.is_dir(), how).map(Arc::new))),
        unchanged => Ok((bits, unchanged.clone())),
    }
}

fn set(bits: u16, acl: &AclRef, is_dir: bool) -> FsResult<(u16, Option<AclRef>)> {
    let acl = acl.checked()?;
    let bits = (bits & !NINE) | acl.mode();
    Ok((bits, (!acl.is_trivial(is_dir)).then(|| Arc::new(acl))))
}
