//! The neutral seam: what every protocol asks of a share, and the reference that says what the answers are.
//!
//! [`Vfs`] is one share. Every call decides and acts in one step (SEAM §0): permission, deny modes, locks, lease breaks,
//! guard, change, attributes before and after, and the change event. The engine implements it over metadata, locks and
//! tiers; [`ModelVfs`](model::ModelVfs) in memory, by the plainest code that can be right. Random histories must agree.

#![forbid(unsafe_code)]

pub mod attrs;
pub mod context;
pub mod data;
pub mod dirs;
pub mod handle;
pub mod model;
pub mod names;
pub mod operation;
pub mod seam;
pub mod share;
pub mod state;

pub use attrs::*;
pub use context::*;
pub use data::*;
pub use dirs::*;
pub use handle::{BadHandle, FileHandle, HandleKind};
pub use model::ModelVfs;
pub use names::*;
pub use operation::{Operation, OperationSet, UnknownOperation};
pub use seam::Vfs;
pub use share::*;
pub use state::*;
