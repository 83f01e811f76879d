//! What a connection is used for: the shares and users seen last, for those who ask who is there.
//!
//! Looked at by every request, so the common case (the same user on the same share as before) is one comparison; only a
//! change takes the lock. Bounded: of more than fit, the oldest go.

use crate::exports::ShareExport;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shares remembered of a connection.
const SHARES_MAX: usize = 16;
/// Users remembered of a connection.
const USERS_MAX: usize = 32;

/// Shares and users of a connection, the last one last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Names of shares.
    pub shares: Vec<String>,
    /// User ids as they counted: after squashing.
    pub users: Vec<u32>,
}

/// Of one connection.
#[derive(Default)]
pub(crate) struct Usage {
    last: AtomicU64,
    used: Mutex<Used>,
}

impl Usage {
    /// Notes a request. Answers whether the share is new to this connection.
    pub(crate) fn note(&self, export: &ShareExport, user: u32) -> bool {
        let mark = (export.id.0 as u64 ^ (export.id.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (u64::from(user) + 1);
        if self.last.load(Ordering::Relaxed) == mark {
            return false;
        }
        self.last.store(mark, Ordering::Relaxed);
        let mut used = self.used.lock();
        remember(&mut used.users, USERS_MAX, |known| *known == user, || user);
        remember(&mut used.shares, SHARES_MAX, |known| *known == export.name, || export.name.clone())
    }

    pub(crate) fn get(&self) -> Used {
        self.used.lock().clone()
    }
}

/// Moves what is known to the end, or appends it. Answers whether it is new.
fn remember<T>(list: &mut Vec<T>, max: usize, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> bool {
    if let Some(at) = list.iter().position(is) {
        let known = list.remove(at);
        list.push(known);
        return false;
    }
    if list.len() >= max {
        list.remove(0);
    }
    list.push(make());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_model::ShareId;

    #[test]
    fn last_shares_and_users_are_known_each_once_and_no_more_than_fit() {
        let usage = Usage::default();
        let docs = crate::tests::export();
        let other = ShareExport { id: ShareId(1), name: "other".to_owned(), ..docs.clone() };
        assert!(usage.note(&docs, 7));
        assert!(!usage.note(&docs, 7) && !usage.note(&docs, 8));
        assert!(usage.note(&other, 7));
        assert!(!usage.note(&docs, 7));
        assert_eq!(usage.get(), Used { shares: vec!["other".into(), "docs".into()], users: vec![8, 7] });
        for user in 100..200 {
            usage.note(&docs, user);
        }
        let used = usage.get();
        assert_eq!((used.users.len(), used.users.last()), (USERS_MAX, Some(&199)));
    }
}
