//! From an RPC credential to the credentials that count, through the one place that squashes and looks up (`dfs-auth`).
//!
//! The result depends on nothing but the credential's bytes, the export's settings and the state of the identity table, so
//! each thread remembers the last few: most calls of a connection come from the same few users. A remembered caller costs
//! one look at the table's stamp and one comparison; a change of the table or the export is felt by the next call.
//!
//! **Who has no permission on a share** is refused every call with ACCES, with one exception. MOUNT is the client machine's
//! own errand, done as its root, and so are the few calls with which its kernel sets a mount up; they prove nothing of the
//! users that come through the mount later. So MNT goes by the client list alone, and a root whom the table does not know
//! (squashed to the guest or not) and who has nothing by the share's default may still look at the share's root directory:
//! GETATTR, ACCESS (which grants nothing), FSSTAT, FSINFO, PATHCONF. He sees no name in it and nothing below it. A user whom
//! the table knows gets nothing at all, neither does anybody else without permission.

use crate::exports::ShareExport;
use bytes::Bytes;
use dfs_auth::{Admission, IdentityTable, Level, UnixCaller};
use dfs_model::{Credentials, ShareId};
use dfs_rpc::{AuthStatus, AuthSys, Flavor, OpaqueAuth};
use std::cell::RefCell;
use std::sync::Arc;

/// Remembered credentials per thread; compared one by one.
const REMEMBERED: usize = 16;

/// How far a caller gets on a share before any file is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// As far as files let him.
    Files,
    /// A look at the root directory: what mounting takes.
    Root,
    /// Nowhere.
    Nothing,
}

/// A caller of a share.
#[derive(Clone)]
pub(crate) struct Caller {
    pub credentials: Arc<Credentials>,
    pub reach: Reach,
}

struct Known {
    stamp: u64,
    share: ShareId,
    flavor: Flavor,
    body: Bytes,
    admission: Admission,
    caller: Caller,
}

thread_local! {
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// Makes the credentials of a caller. *Errors:* the reason for the rejection.
pub(crate) fn caller(
    auth: &OpaqueAuth,
    export: &ShareExport,
    identities: &IdentityTable,
) -> Result<Caller, AuthStatus> {
    // The stamp before the table: a change in between is then looked up again the next time.
    let stamp = identities.stamp();
    let same = |known: &Known| {
        known.stamp == stamp
            && known.share == export.id
            && known.flavor == auth.flavor
            && known.body == auth.body
            && known.admission == export.admission
    };
    let found = KNOWN.with_borrow(|known| known.iter().find(|known| same(known)).map(|k| k.caller.clone()));
    if let Some(found) = found {
        return Ok(found);
    }
    let caller = look_up(auth, export, identities)?;
    let entry = Known {
        stamp,
        share: export.id,
        flavor: auth.flavor,
        body: Bytes::copy_from_slice(&auth.body),
        admission: export.admission,
        caller: caller.clone(),
    };
    KNOWN.with_borrow_mut(|known| {
        // What was derived from another state of this table, or from a table that is gone, is of no use any more.
        if known.len() >= REMEMBERED {
            let old = known.iter().position(|known| known.stamp != stamp).unwrap_or(0);
            known.remove(old);
        }
        known.push(entry);
    });
    Ok(caller)
}

fn look_up(
    auth: &OpaqueAuth,
    export: &ShareExport,
    identities: &IdentityTable,
) -> Result<Caller, AuthStatus> {
    let table = identities.get();
    let sys = match auth.flavor {
        Flavor::NONE => None,
        Flavor::SYS => Some(AuthSys::from_body(auth.body.clone()).map_err(|_| AuthStatus::BadCredential)?),
        _ => return Err(AuthStatus::BadCredential),
    };
    let sent = match &sys {
        None => UnixCaller::Nobody,
        Some(sys) => UnixCaller::Ids { uid: sys.uid, gid: sys.gid, groups: &sys.gids },
    };
    let (credentials, found) = table.credentials(&export.name, &export.admission, sent);
    let by_root = sys.is_some_and(|sys| sys.uid == 0);
    let reach = match found.level {
        Level::None if found.user.is_none() && by_root => Reach::Root,
        Level::None => Reach::Nothing,
        Level::Read | Level::ReadWrite | Level::Admin => Reach::Files,
    };
    Ok(Caller { credentials: Arc::new(credentials), reach })
}
