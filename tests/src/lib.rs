//! Whole-system tests in one process: the engine against the model, and the engine under power cuts.
//!
//! `sim` is the world they run in: one thread, paused time, a disk that loses what was not synced, an object store that
//! fails, a cache that forgets. A seed decides everything; a failing seed replays alone.

#![forbid(unsafe_code)]
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod crash;
mod model;
mod quota;
mod recycle;
mod settings;
mod sim;
