//! Connections of the gateway's stream protocols: accept, permits, framing of records, replies, drain.
//!
//! Knows no protocol: a [`Service`] tells how records are marked on the stream, decodes them and runs them. The rest is
//! here, once for all protocols:
//!
//! ```text
//! socket ─▶ mark ─▶ permits (count, bytes) ─▶ body ─▶ prepare ─▶ permits for the reply ─▶ run ─▶ write queue ─▶ socket
//!            └ over a cap: the connection is closed       └ not free: nothing more is read from this connection
//! ```
//!
//! Invariants: no memory is taken for a record, or for the reply that it asks for, before permits for it are held; they
//! are held until the reply is in the kernel. A request that does not finish at its first poll runs in a task of its own
//! to its end, whatever becomes of the connection. Replies leave in the order in which they are ready.
//! A crash leaves nothing behind: there is no durable state here.

#![forbid(unsafe_code)]

mod connection;
mod inbound;
pub mod limits;
pub mod metrics;
mod outbound;
pub mod permits;
pub mod quiet;
pub mod server;
pub mod service;
#[cfg(test)]
mod tests;

pub use limits::Limits;
pub use permits::{Held, Pool};
pub use quiet::Quiet;
pub use server::{DrainReport, Late, Server, listen};
pub use service::{Peer, Prepared, Reply, ReplyGate, Service};
