//! What things are called: ids, units, attributes, names, identities, errors and the context of a request.
//!
//! Pure: no I/O, no clock, no randomness of its own. Every crate may depend on this one; it depends on none of ours.
//! The words are the glossary's, and a word here is the word in the CLI, REST, metrics and docs.

#![forbid(unsafe_code)]

pub mod access;
pub mod acl;
pub mod actor;
pub mod attr;
pub mod clock;
pub mod error;
pub mod extent;
pub mod identity;
pub mod ids;
pub mod inode;
pub mod name;
pub mod quota;
pub mod range;
pub mod time;
pub mod xattr;

pub use access::Rights;
pub use acl::{Ace, AceType, Acl, AclMode, AclRef};
pub use actor::{
    Activity, ActivityClass, Actor, ClientRef, Credentials, InternalJob, LeaseKey, LockOwner, Privileges,
    ReplayKey, ShareCeiling, Strength, Target,
};
pub use attr::{AttrMask, AttrPatch, Attrs, Guard, Patch, PreAttrs, TimePatch, Wcc};
pub use clock::{Clock, Entropy, Monotonic};
pub use error::{FsError, FsResult, LockHolder};
pub use extent::{
    BLOCK_LEN_MAX, BLOCKS_PER_RUN_MAX, BadExtent, BlockPiece, BlockRef, Compression, ExtentRun,
};
pub use identity::{Identity, WellKnown};
pub use ids::*;
pub use inode::{DeviceNumber, Inode, InodeFlags, InodeKind};
pub use name::Name;
pub use range::ByteRange;
pub use time::Timestamp;
pub use xattr::XattrMode;
