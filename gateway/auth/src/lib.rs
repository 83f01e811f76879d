//! Who a caller is: squashing of AUTH_SYS ids, known users and their permissions, client lists, password hashes.
//!
//! Squashing happens here and nowhere else: what leaves [`squash::Squash::credentials`] is what every layer below
//! believes. AUTH_SYS proves nothing, so a caller must have passed its share's [`clients::ClientList`] first.

#![forbid(unsafe_code)]

pub mod clients;
pub mod identity;
pub mod password;
pub mod squash;

pub use clients::{BadClientRule, ClientList, ClientRule};
pub use identity::{Admission, Identities, IdentityTable, KnownUser, Level, Resolved};
pub use password::{PasswordError, PasswordHash};
pub use squash::{Squash, SquashMode, UnixCaller};
