//! Requests and replies about attributes, access, extended attributes and security descriptors.

use crate::AccessRule;
use bytes::Bytes;
pub use dfs_model::XattrMode;
use dfs_model::{
    Acl, AttrMask, AttrPatch, Attrs, Credentials, FsError, FsResult, Guard, Identity, Inode, Patch, Rights,
    Target, Wcc, access,
    acl::control,
    xattr::{self, Xattrs},
};
use std::sync::Arc;

/// Asks for attributes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct GetAttr {
    pub target: Target,
    pub want: AttrMask,
}

/// Asks which of `rights` the caller has.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Access {
    pub target: Target,
    pub rights: Rights,
}

/// Rights that the caller has.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AccessReply {
    /// Those of the asked rights that are granted.
    pub granted: Rights,
    /// Those that could be decided.
    pub decided: Rights,
    pub attrs: Attrs,
}

/// Asks for attributes to change.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SetAttr {
    pub target: Target,
    pub patch: AttrPatch,
    pub guard: Guard,
    pub rule: AccessRule,
}

/// A change of one inode.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Changed {
    pub wcc: Wcc,
}

/// Name space of an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum XattrSpace {
    User,
    Ea,
    System,
}

impl XattrSpace {
    /// Whether names that differ only in the case of ASCII letters are one. *Errors:* [`FsError::NotSupported`] for the
    /// system's own attributes, which no protocol is shown.
    pub fn any_case(self) -> FsResult<bool> {
        match self {
            XattrSpace::User => Ok(false),
            XattrSpace::Ea => Ok(true),
            XattrSpace::System => Err(FsError::NotSupported),
        }
    }
}

/// Asks for extended attributes by name, or for all with values (`names` empty).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct XattrGet {
    pub target: Target,
    pub space: XattrSpace,
    pub names: Vec<Bytes>,
}

impl XattrGet {
    /// What is asked for among the attributes of an inode, in the order of the question. *Errors:* [`FsError::NoXattr`] when
    /// one is missing; [`FsError::NotSupported`].
    pub fn find(&self, have: &Xattrs) -> FsResult<Vec<(Bytes, Bytes)>> {
        let any_case = self.space.any_case()?;
        if self.names.is_empty() {
            return Ok(have.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
        }
        let one = |name: &Bytes| {
            let stored = xattr::stored_name(have, name, any_case).ok_or(FsError::NoXattr)?;
            let value = have.get(stored).ok_or(FsError::NoXattr)?;
            Ok((stored.clone(), value.clone()))
        };
        self.names.iter().map(one).collect()
    }
}

/// Sets (`Some`) or removes (`None`) extended attributes in one step.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct XattrSet {
    pub target: Target,
    pub space: XattrSpace,
    pub values: Vec<(Bytes, Option<Bytes>)>,
    pub mode: XattrMode,
}

/// Asks for a page of names of extended attributes.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct XattrList {
    pub target: Target,
    pub space: XattrSpace,
    pub cookie: u64,
    pub bytes_max: usize,
}

/// A page of names.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct XattrNames {
    pub names: Vec<Bytes>,
    pub cookie: u64,
    pub end: bool,
}

/// Parts of a security descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SecurityParts {
    pub owner: bool,
    pub group: bool,
    pub dacl: bool,
    pub sacl: bool,
}

/// A security descriptor in neutral form.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct SecurityDescriptor {
    pub owner: Option<Identity>,
    pub group: Option<Identity>,
    pub acl: Option<Acl>,
}

impl SecurityDescriptor {
    /// The parts asked for, as the caller may see them. An inode without an ACL shows the list that says its mode.
    ///
    /// *Errors:* [`FsError::PrivilegeNotHeld`] for the audit entries; [`FsError::AccessDenied`] without READ_ACL.
    pub fn of(row: &Inode, parts: SecurityParts, who: &Credentials) -> FsResult<SecurityDescriptor> {
        if parts.sacl && !(who.is_root() || who.privileges.security) {
            return Err(FsError::PrivilegeNotHeld);
        }
        if parts.owner || parts.group || parts.dacl {
            access::check(row, who, Rights::READ_ACL)?;
        }
        let acl = (parts.dacl || parts.sacl).then(|| {
            let whole = whole_acl(row);
            let sacl = if parts.sacl { whole.sacl } else { None };
            let dacl = if parts.dacl { whole.dacl } else { None };
            Acl { control: whole.control & control_of(parts), dacl, sacl }
        });
        let owner = parts.owner.then(|| row.owner.clone());
        Ok(SecurityDescriptor { owner, group: parts.group.then(|| row.group.clone()), acl })
    }
}

/// The list of an inode, or the one that says its mode.
fn whole_acl(row: &Inode) -> Acl {
    row.acl.as_ref().map_or_else(|| Acl::of_mode(row.mode, row.is_dir()), |acl| (**acl).clone())
}

/// Control bits that belong to the lists among `parts`.
fn control_of(parts: SecurityParts) -> u16 {
    let dacl = control::DACL_DEFAULTED | control::DACL_AUTO_INHERITED | control::DACL_PROTECTED;
    (if parts.dacl { dacl } else { 0 }) | (if parts.sacl { control::ALL & !dacl } else { 0 })
}

/// Asks for a security descriptor.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct GetSecurity {
    pub target: Target,
    pub parts: SecurityParts,
}

/// Sets parts of a security descriptor.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SetSecurity {
    pub target: Target,
    pub parts: SecurityParts,
    pub descriptor: SecurityDescriptor,
}

impl SetSecurity {
    /// The change of attributes that this is on `row`: what is not among the parts stays. *Errors:*
    /// [`FsError::InvalidArgument`] for a part that the descriptor lacks.
    pub fn patch(&self, row: &Inode) -> FsResult<AttrPatch> {
        let (parts, given) = (self.parts, &self.descriptor);
        let part = |asked: bool, value: &Option<Identity>| match (asked, value) {
            (false, _) => Ok(Patch::Keep),
            (true, Some(who)) => Ok(Patch::Set(who.clone())),
            (true, None) => Err(FsError::InvalidArgument),
        };
        let (owner, group) = (part(parts.owner, &given.owner)?, part(parts.group, &given.group)?);
        let mut patch = AttrPatch { owner, group, ..AttrPatch::default() };
        if parts.dacl || parts.sacl {
            let new = given.acl.as_ref().ok_or(FsError::InvalidArgument)?;
            let mut acl = whole_acl(row);
            let control = control_of(parts);
            acl.control = (acl.control & !control) | (new.control & control);
            if parts.dacl {
                acl.dacl = new.dacl.clone();
            }
            if parts.sacl {
                acl.sacl = new.sacl.clone();
            }
            patch.acl = Patch::Set(Arc::new(acl));
        }
        Ok(patch)
    }
}

/// Reparse data of an inode: get (`None`) or set/delete.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Reparse {
    Get { target: Target },
    Set { target: Target, tag: u32, data: Bytes },
    Delete { target: Target, tag: u32 },
}
