//! A small NFSv3 client of the laboratory's own: enough of XDR, ONC RPC, MOUNT and NFS to load, to check and to attack.
//!
//! It shares nothing with the product, so the two have to agree through the RFCs (4506, 5531, 1813).

pub mod calls;
pub mod client;
#[cfg(test)]
mod tests;
pub mod xdr;

/// Program number, version and procedure of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Procedure {
    /// RPC program.
    pub program: u32,
    /// Version of it.
    pub version: u32,
    /// Procedure of that.
    pub number: u32,
}

/// RPC program number of NFS.
pub const NFS: u32 = 100_003;
/// RPC program number of MOUNT.
pub const MOUNT: u32 = 100_005;
/// RPC program number of the port mapper.
pub const PORTMAP: u32 = 100_000;

/// Returns an NFSv3 procedure.
pub const fn nfs(number: u32) -> Procedure {
    Procedure { program: NFS, version: 3, number }
}

/// Returns a MOUNT v3 procedure.
pub const fn mount(number: u32) -> Procedure {
    Procedure { program: MOUNT, version: 3, number }
}
