//! Portmap version 2 (RFC 1833 §3). CALLIT is not served: it lets anybody send calls in our name.

use crate::wire::results::List;
use crate::wire::{procedures, xdr_struct};

/// Program number of the port mapper.
pub const PORTMAP_PROGRAM: u32 = 100_000;
/// Version served.
pub const PORTMAP_VERSION: u32 = 2;
/// Protocol number of TCP.
pub const TCP: u32 = 6;
/// Protocol number of UDP.
pub const UDP: u32 = 17;

xdr_struct! {
    /// Where a program listens.
    #[derive(Copy, Hash)]
    Mapping { program: u32, version: u32, protocol: u32, port: u32, }
}

procedures! { NAMES, PORTMAP_PROGRAM, PORTMAP_VERSION;
    /// Does nothing.
    PortmapNull = 0 "portmap_null" (()) -> ();
    /// Registers a program.
    Set = 1 "portmap_set" (Mapping) -> bool;
    /// Takes a registration back.
    Unset = 2 "portmap_unset" (Mapping) -> bool;
    /// Asks for a port; 0 is none.
    GetPort = 3 "portmap_getport" (Mapping) -> u32;
    /// Lists registrations.
    PortmapDump = 4 "portmap_dump" (()) -> List<Mapping>;
}
