//! The real `dfsctl` against a stub of the control plane: exit codes, forms of output, what is remembered and what is sent.
//!
//! The stub answers by method and path and keeps what it was sent; the real gateway is driven by the whole-system tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod completion;
mod contexts;
mod editing;
mod exits;
mod gateway;
mod lists;
mod login;
mod man;
mod requests;
mod stub;
mod tier;
