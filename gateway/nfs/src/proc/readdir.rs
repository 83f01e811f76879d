//! READDIR (RFC 1813 §3.3.16). The budget is bytes of the encoded results, counted entry by entry below the seam.

use crate::context::Call;
use crate::wire::{Entry, FileName, List, Outcome, ReadDirArgs, ReadDirOk, ReadDirReply, Verifier};
use dfs_model::{AttrMask, Cookie, FsError, Target};
use dfs_rpc::pad_of;
use dfs_vfs::{DirEntry, DirVerifier, Failed, ReadDir, ReadDirReply as Page};

/// Most bytes of one page, whatever the client asks for.
pub(crate) const PAGE_MAX: u32 = 1 << 20;
/// Most entries of one page: bounds the time that one call takes.
const ENTRIES_MAX: usize = 16 * 1024;
/// Status, attributes of the directory, verifier, end of list, eof.
const OVERHEAD: usize = 4 + (4 + 84) + 8 + 4 + 4;

pub(crate) async fn run(call: &Call, args: ReadDirArgs) -> ReadDirReply {
    match list(call, args).await {
        Ok(page) => Outcome::Ok(page),
        Err(failed) => call.fail_post(&failed),
    }
}

/// Bytes of an entry in READDIR: follows-flag, fileid, name, cookie.
pub(crate) fn cost(entry: &DirEntry) -> usize {
    4 + 8 + 4 + entry.name.len() + pad_of(entry.name.len()) + 8
}

/// Reads a page under a budget of `count` bytes; what READDIR and READDIRPLUS have in common.
pub(crate) async fn page(
    call: &Call,
    place: (&crate::wire::Handle, u64, Verifier),
    count: u32,
    plus: bool,
    cost: &(dyn Fn(&DirEntry) -> usize + Send + Sync),
) -> Result<Page, Failed> {
    let (dir, cookie, verifier) = place;
    let dir = call.resolve(dir).await?.inode;
    let bytes_max = (count.min(PAGE_MAX) as usize).saturating_sub(OVERHEAD);
    if bytes_max == 0 {
        return Err(call.refuse(dir, FsError::BufferTooSmall).await);
    }
    let request = ReadDir {
        dir: Target::Inode(dir),
        cookie: Cookie(cookie),
        verifier: DirVerifier(u64::from_be_bytes(verifier.0)),
        want: plus.then_some(AttrMask::BASIC),
        handles: plus,
        real_only: false,
        bytes_max,
        entries_max: ENTRIES_MAX,
        cost,
        pattern: None,
    };
    call.vfs().read_dir(&call.cx, request).await
}

async fn list(call: &Call, args: ReadDirArgs) -> Result<ReadDirOk, Failed> {
    let page = page(call, (&args.dir, args.cookie, args.verifier), args.count, false, &cost).await?;
    let entry =
        |entry: DirEntry| Entry { fileid: entry.inode.0, name: FileName(entry.name), cookie: entry.cookie.0 };
    Ok(ReadDirOk {
        dir: call.post(&page.dir),
        verifier: Verifier(page.verifier.0.to_be_bytes()),
        entries: List(page.entries.into_iter().map(entry).collect()),
        eof: page.end,
    })
}
