//! Reading the gateway's own log back: the last lines, those since a moment, and those to come, over files that were put aside.

mod follow;
mod tail;
pub(crate) mod time;

pub(crate) use follow::Follower;
pub(crate) use tail::{Tail, last_lines};
