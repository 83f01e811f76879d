//! The composition root: configuration, commands, and the one place where every part is put together.
//!
//! `dfs start` takes the data folder's lock, opens log, stores and cache, opens every share (JOURNAL §7), then listens. A
//! signal ends it in the reverse order: no new connections, requests under way end, journals are synced, tiers close.

#![forbid(unsafe_code)]

pub mod commands;
pub mod config;
mod doors;
mod limits;
mod listeners;
mod logging;
mod logs;
pub mod metrics;
mod ready;
mod runtime;
mod serve;
mod system;
mod tls;

pub use commands::{Failure, run};
pub use config::Config;
pub use system::{OsEntropy, SystemClock};
