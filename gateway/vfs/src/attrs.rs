//! Requests and replies about attributes, access, extended attributes and security descriptors.

use crate::AccessRule;
use bytes::Bytes;
use dfs_model::{Acl, AttrMask, AttrPatch, Attrs, Guard, Identity, Rights, Target, Wcc};

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

/// How a new value treats an existing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum XattrMode {
    Create,
    Replace,
    Either,
}

/// Asks for extended attributes by name, or for all with values (`names` empty).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct XattrGet {
    pub target: Target,
    pub space: XattrSpace,
    pub names: Vec<Bytes>,
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

/// Reparse data of an inode: get (`None`) or set/delete.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Reparse {
    Get { target: Target },
    Set { target: Target, tag: u32, data: Bytes },
    Delete { target: Target, tag: u32 },
}
