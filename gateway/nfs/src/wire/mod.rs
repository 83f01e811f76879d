//! The bytes of NFSv3, MOUNT v3 and portmap v2, both directions, with no I/O and no meaning.
//!
//! Each procedure is a type that implements [`Procedure`]: its number, arguments and results. Server, client, load
//! generator and the hostile mutator use the same ones. Invariants: decoding never panics and never takes memory for a
//! length before comparing it with its cap; what was encoded decodes to the same value; a truncated form is an error.
//! *Spec:* RFC 1813, RFC 1833.

pub mod args;
pub mod mount;
pub mod portmap;
pub mod results;
pub mod status;
#[cfg(test)]
mod tests;
pub mod types;

pub use args::*;
pub use results::*;
pub use status::{MountStatus, Status};
pub use types::*;

use dfs_rpc::{Decode, Encode};

/// Program number of NFS.
pub const NFS_PROGRAM: u32 = 100_003;
/// Version served.
pub const NFS_VERSION: u32 = 3;

/// A remote procedure: its numbers and the types of its arguments and results.
pub trait Procedure {
    /// Program number.
    const PROGRAM: u32;
    /// Program version.
    const VERSION: u32;
    /// Procedure number.
    const NUMBER: u32;
    /// Name in lower case, as in metrics.
    const NAME: &'static str;
    /// Arguments.
    type Args: Encode + Decode + Send;
    /// Results.
    type Reply: Encode + Decode + Send;
}

/// Declares XDR structures whose fields are encoded in order.
macro_rules! xdr_struct {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl dfs_rpc::Encode for $name {
            fn encode(&self, out: &mut bytes::BytesMut) {
                $(self.$field.encode(out);)*
            }
        }

        impl dfs_rpc::Decode for $name {
            fn decode(from: &mut dfs_rpc::Reader) -> dfs_rpc::XdrResult<Self> {
                Ok($name { $($field: dfs_rpc::Decode::decode(from)?,)* })
            }
        }
    )*};
}

/// Declares the procedures of a program version, and their names by number.
macro_rules! procedures {
    ($names:ident, $program:expr, $version:expr; $($(#[$doc:meta])* $proc:ident = $number:literal $name:literal ($args:ty) -> $reply:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $proc;

            impl $crate::wire::Procedure for $proc {
                const PROGRAM: u32 = $program;
                const VERSION: u32 = $version;
                const NUMBER: u32 = $number;
                const NAME: &'static str = $name;
                type Args = $args;
                type Reply = $reply;
            }
        )*

        /// Names of the procedures, by number.
        pub const $names: &[&str] = &[$($name),*];
    };
}

pub(crate) use {procedures, xdr_struct};

/// The procedures of NFSv3.
pub mod nfs3 {
    use super::*;

    procedures! { NAMES, NFS_PROGRAM, NFS_VERSION;
        /// Does nothing.
        Null = 0 "null" (()) -> ();
        /// Reads attributes.
        GetAttr = 1 "getattr" (Handle) -> GetAttrReply;
        /// Changes attributes.
        SetAttr = 2 "setattr" (SetAttrArgs) -> SetAttrReply;
        /// Finds a name.
        Lookup = 3 "lookup" (DirOp) -> LookupReply;
        /// Evaluates access.
        Access = 4 "access" (AccessArgs) -> AccessReply;
        /// Reads a symlink.
        ReadLink = 5 "readlink" (Handle) -> ReadLinkReply;
        /// Reads bytes.
        Read = 6 "read" (ReadArgs) -> ReadReply;
        /// Writes bytes.
        Write = 7 "write" (WriteArgs) -> WriteReply;
        /// Makes a file.
        Create = 8 "create" (CreateArgs) -> NewObjectReply;
        /// Makes a directory.
        Mkdir = 9 "mkdir" (MkdirArgs) -> NewObjectReply;
        /// Makes a symlink.
        Symlink = 10 "symlink" (SymlinkArgs) -> NewObjectReply;
        /// Makes a special file.
        Mknod = 11 "mknod" (MknodArgs) -> NewObjectReply;
        /// Removes a file.
        Remove = 12 "remove" (DirOp) -> SetAttrReply;
        /// Removes a directory.
        Rmdir = 13 "rmdir" (DirOp) -> SetAttrReply;
        /// Moves a name.
        Rename = 14 "rename" (RenameArgs) -> RenameReply;
        /// Adds a name.
        Link = 15 "link" (LinkArgs) -> LinkReply;
        /// Lists names.
        ReadDir = 16 "readdir" (ReadDirArgs) -> ReadDirReply;
        /// Lists names with attributes and handles.
        ReadDirPlus = 17 "readdirplus" (ReadDirPlusArgs) -> ReadDirPlusReply;
        /// Tells space.
        FsStat = 18 "fsstat" (Handle) -> FsStatReply;
        /// Tells limits.
        FsInfo = 19 "fsinfo" (Handle) -> FsInfoReply;
        /// Tells POSIX limits.
        PathConf = 20 "pathconf" (Handle) -> PathConfReply;
        /// Makes writes stable.
        Commit = 21 "commit" (CommitArgs) -> CommitReply;
    }
}
