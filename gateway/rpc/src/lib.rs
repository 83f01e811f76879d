//! XDR and ONC RPC version 2, as bytes only: no sockets, no time, no knowledge of any program.
//!
//! [`xdr`] reads and writes the data encoding (RFC 4506), [`record`] marks records on a stream (RFC 5531 §11),
//! [`message`] holds call and reply headers (RFC 5531 §9), [`auth`] the bodies of AUTH_SYS credentials.
//!
//! Invariants: nothing here panics on any input; every length that a peer controls is compared with a named cap before
//! memory is taken for it; what is decoded as opaque data is a slice of the record, never a copy.

#![forbid(unsafe_code)]

pub mod auth;
pub mod message;
pub mod record;
pub mod xdr;

pub use auth::{AuthSys, Flavor, OpaqueAuth};
pub use message::{AcceptStatus, AuthStatus, CallError, CallHeader, Rejected, ReplyHeader};
pub use record::{Assembler, RecordError};
pub use xdr::{Decode, Encode, Reader, XdrError, XdrResult, encode_opaque, pad_of};
