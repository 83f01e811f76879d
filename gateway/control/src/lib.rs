//! The control plane: who may manage the gateway, what is configured, and the REST routes under `/api/v1`.
//!
//! State lives in an embedded database of its own (`control.redb` in the data folder, mode 0600); what runs is behind the
//! [`Backend`] that the server implements. A change is made to the running gateway first and written down when it worked, so
//! a crash in between leaves at most a running thing that the next start does not know, never the reverse.

#![forbid(unsafe_code)]

pub mod backend;
mod brake;
mod copies;
pub mod database;
mod guard;
mod jobs;
mod manage;
pub mod metrics;
mod plane;
mod routes;
mod tokens;
mod users;

pub use backend::Backend;
pub use copies::CopiesBackend;
pub use database::{ControlDatabase, DatabaseError};
pub use manage::ManageBackend;
pub use plane::{ControlPlane, PlaneOptions};
pub use users::User;
