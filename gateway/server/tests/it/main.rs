//! The real `dfs` binary, started as an operator starts it, driven over REST and NFS; killed, damaged and misused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod bed;
mod commands;
mod copies;
mod damage;
mod failed;
mod folder;
mod live;
mod login;
mod mistakes;
mod numbers;
mod replays;
mod routes;
mod rules;
mod s3;
mod spelled;
mod tls;
