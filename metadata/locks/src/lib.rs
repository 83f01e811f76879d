//! The claim table: opens with share modes, byte-range locks, leases, in-flight I/O and name operations of one share,
//! for all protocols, in one table with one conflict function (SEAM §2).
//!
//! ```text
//!   engine ──Request──▶ ClaimTable::admit ──▶ Granted(Grant) ──▶ act, then drop the guard / close / unlock
//!             │                │
//!             │                ├──▶ Wait(Ticket): await it, then ClaimTable::retry(ticket): everything is tested again
//!             │                └──▶ Refused(FsError)
//!             └─fast path─▶ Summary::enter: one fetch_add, one fetch_sub, when nothing held can matter
//!   ClaimTable::drain_notices ──▶ Break, LockGranted, … ──▶ protocols ──▶ lease_ack, lock_ack, …
//! ```
//!
//! *Invariants.* No clock, no I/O, no runtime: time comes in as [`dfs_model::Monotonic`]. Every decision is made under one
//! short mutex by [`conflict`] alone; the summary word of an inode always says at least what its claims say. Ids are never
//! reused. A notice is a value and borrows nothing.
//!
//! *Crash:* the table is lost with the process, except what its owner stored through [`codec`].
//! *Cancel:* dropping a [`Ticket`] or an [`InFlight`] leaves nothing behind.

#![forbid(unsafe_code)]

mod admit;
mod claim;
mod clients;
pub mod codec;
mod conflict;
mod grant;
mod lease;
mod leasing;
mod lifecycle;
mod locking;
pub mod metrics;
mod naming;
mod notice;
mod ops;
mod posix;
mod pump;
mod request;
mod state;
pub mod summary;
mod table;
mod tick;
mod ticket;

pub use claim::{
    Claim, ClaimBody, ClaimId, Class, Durability, Exemption, Flavour, IoBody, LeaseBody, LockBody, LockState,
    NameBody, NameRole, OpenBody, OpenLink, StreamId, Uses,
};
pub use clients::{ClientRecord, ClientState, HostRecord};
pub use codec::PersistentOpen;
pub use lease::{HolderAnswer, LeaseBits, LeaseKind, LeaseState};
pub use lifecycle::{Closed, DeleteMark, Lost, Reconnect};
pub use notice::{Notice, NoticeBody};
pub use request::{
    Admission, AttrAsk, CancelOutcome, Grant, IoAsk, IoKind, LeaseAsk, LeaseGrant, LockAsk, LockRange,
    LockWait, NameAsk, NamePart, OpenAsk, OpenGrant, Reclaim, Request,
};
pub use summary::{Fast, FastGuard, Summary};
pub use table::{Ancestry, Binding, ClaimTable, InFlight, NoAncestry, Settings};
pub use ticket::{Ticket, TicketId, WaitReason};
