//! What the control plane speaks: types of requests and replies under `/api/v1`, and a client for them.
//!
//! Shared by the server and `dfsctl`; knows no HTTP server and nothing of the gateway's inside. Unknown fields in requests
//! are refused, unknown fields in replies ignored, so that an older client can talk to a newer server.

#![forbid(unsafe_code)]

pub mod access;
pub mod adapters;
pub mod auth;
pub mod client;
pub mod copies;
pub mod health;
pub mod keep;
pub mod manage;
pub mod owners;
pub mod people;
pub mod problem;
pub mod shares;
pub mod stores;
pub mod tier;
pub mod units;

pub use access::*;
pub use adapters::*;
pub use auth::*;
pub use client::{Client, ClientError, ClientOptions, Exchange, Renew, Watch};
pub use copies::*;
pub use health::*;
pub use keep::*;
pub use manage::*;
pub use owners::*;
pub use people::*;
pub use problem::Problem;
pub use shares::*;
pub use stores::*;
pub use tier::*;

/// Prefix of every path.
pub const PREFIX: &str = "/api/v1";
