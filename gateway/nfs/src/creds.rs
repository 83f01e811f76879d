//! From an RPC credential to the credentials that count, through the one place that squashes (`dfs-auth`).
//!
//! The result depends on nothing but the credential's bytes and the export's settings, so each thread remembers the last
//! few: most calls of a connection come from the same few users.

use crate::exports::ShareExport;
use bytes::Bytes;
use dfs_auth::{Squash, UnixCaller};
use dfs_model::{Credentials, ShareCeiling};
use dfs_rpc::{AuthStatus, AuthSys, Flavor, OpaqueAuth};
use std::cell::RefCell;
use std::sync::Arc;

/// Remembered credentials per thread; compared one by one.
const REMEMBERED: usize = 16;

struct Known {
    flavor: Flavor,
    body: Bytes,
    squash: Squash,
    ceiling: ShareCeiling,
    credentials: Arc<Credentials>,
}

thread_local! {
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// Makes the credentials of a caller. *Errors:* the reason for the rejection.
pub(crate) fn credentials(auth: &OpaqueAuth, export: &ShareExport) -> Result<Arc<Credentials>, AuthStatus> {
    let (squash, ceiling) = (export.squash, export.ceiling);
    let same = |known: &Known| {
        known.flavor == auth.flavor
            && known.body == auth.body
            && known.squash == squash
            && known.ceiling == ceiling
    };
    let found =
        KNOWN.with_borrow(|known| known.iter().find(|known| same(known)).map(|k| k.credentials.clone()));
    if let Some(found) = found {
        return Ok(found);
    }
    let credentials = Arc::new(match auth.flavor {
        Flavor::NONE => squash.credentials(UnixCaller::Nobody, ceiling),
        Flavor::SYS => {
            let sys = AuthSys::from_body(auth.body.clone()).map_err(|_| AuthStatus::BadCredential)?;
            let caller = UnixCaller::Ids { uid: sys.uid, gid: sys.gid, groups: &sys.gids };
            squash.credentials(caller, ceiling)
        }
        _ => return Err(AuthStatus::BadCredential),
    });
    let body = Bytes::copy_from_slice(&auth.body);
    let entry = Known { flavor: auth.flavor, body, squash, ceiling, credentials: credentials.clone() };
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= REMEMBERED {
            known.remove(0);
        }
        known.push(entry);
    });
    Ok(credentials)
}
