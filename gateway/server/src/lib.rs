//! The composition root: configuration, commands, and the one place where every part is put together.
//!
//! `dfs start` takes the data folder's lock, opens log, stores and cache, opens every share (JOURNAL §7), then listens. A
//! signal ends it in the reverse order: no new connections, requests under way end, journals are synced, tiers close.

#![forbid(unsafe_code)]

pub mod commands;
pub mod config;
mod listeners;
mod logging;
mod ready;
mod runtime;
mod runtime_metrics;
mod serve;
mod system;

pub use commands::{run, Failure};
pub use config::Config;
pub use system::{OsEntropy, SystemClock};
