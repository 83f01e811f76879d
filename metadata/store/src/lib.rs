//! Names, inodes, extents and packs: the operation-level metadata store.
//!
//! One trait, [`MetadataStore`]; every operation is one atomic transaction that tests permissions, changes rows and says
//! what it found before and after. Implementations: [`MemoryStore`] (tests, ephemeral shares), [`EmbeddedStore`] (redb
//! behind a name log) and [`PostgresStore`] (a shared database). One conformance suite ([`conformance`]) runs over all of them.
//!
//! ```text
//!   MetadataStore ── shell ── ops (pure: view in, batch and reply out)
//!                 │    └───── Backend: memory │ embedded = name log → memtables → redb checkpoint
//!                 └─ postgres = one SQL function per operation
//! ```
//! What a crash leaves behind: a prefix of the operations applied, every one of them whole; nothing that
//! [`MetadataStore::durable`] confirmed is missing.

#![forbid(unsafe_code)]

pub mod api;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copies;
pub mod embedded;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod key;
mod kv;
mod lease;
mod memory;
pub mod metrics;
mod ops;
mod past;
pub mod postgres;
mod rows;
mod share;
mod shell;
mod wire;

pub use api::*;
pub use copies::*;
pub use embedded::{EmbeddedConfig, EmbeddedStore, StoreStats};
pub use error::{Retry, StoreError, StoreResult};
pub use lease::{Lease, LeaseState};
pub use memory::MemoryStore;
pub use ops::REPLAY_AGE_MAX;
pub use postgres::{POSTGRES_SCHEMA_VERSION, PostgresConfig, PostgresStore, PostgresTls};
pub use share::{QuotaEntry, ShareRecord, StateTable, Usage};
