//! The real `dfs` binary, started as an operator starts it, driven over REST and NFS; killed, damaged and misused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod bed;
mod commands;
mod configure;
mod copies;
mod damage;
mod doctor;
mod failed;
mod folder;
mod kept;
mod live;
mod login;
mod logs;
mod mistakes;
mod numbers;
mod replays;
mod routes;
mod rules;
mod s3;
mod spelled;
mod tls;
