//! The control plane: who may manage the gateway, what is configured, and the REST routes under `/api/v1`.
//!
//! State lives in an embedded database of its own (`control.redb` in the data folder, mode 0600); what runs is behind the
//! [`Backend`] that the server implements. A change is made to the running gateway first and written down when it worked, so
//! a crash in between leaves at most a running thing that the next start does not know, never the reverse.

#![forbid(unsafe_code)]

mod around;
pub mod backend;
pub mod backup;
mod brake;
mod change;
mod copies;
pub mod database;
mod guard;
mod jobs;
mod live;
mod manage;
pub mod metrics;
pub mod mirror;
mod openapi;
pub mod people;
mod plane;
mod routes;
pub mod rows;
#[cfg(test)]
mod scale;
pub mod secrets;
mod sessions;
mod store;
#[cfg(test)]
mod testing;
mod tokens;
mod users;

pub use around::Peer;
pub use backend::Backend;
pub use change::Change;
pub use copies::CopiesBackend;
pub use database::{ControlDatabase, DatabaseError, Planned};
pub use live::PlaneLimits;
pub use manage::ManageBackend;
pub use mirror::Snapshot;
pub use people::{identities, same_people};
pub use plane::{ControlPlane, PlaneOptions};
pub use rows::{Row, UserRow};
pub use secrets::{SecretsError, SecretsKey};
pub use store::{CONTROL_SCHEMA_VERSION, PostgresLook, PostgresOptions, PostgresTls, look_at_postgres};
pub use tokens::{LOCAL_USER, TOKEN_KEY_BYTES, local_token, rotated_token_key};
pub use users::HashedPassword;
