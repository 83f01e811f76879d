//! READDIRPLUS (RFC 1813 §3.3.17). `maxcount` bounds the results, `dircount` the part that READDIR would have sent.

use crate::context::Call;
use crate::proc::readdir;
use crate::wire::{
    EntryPlus, FileName, List, Outcome, ReadDirPlusArgs, ReadDirPlusOk, ReadDirPlusReply, Verifier,
};
use dfs_vfs::{DirEntry, Failed, FileHandle};

pub(crate) async fn run(call: &Call, args: ReadDirPlusArgs) -> ReadDirPlusReply {
    match list(call, args).await {
        Ok(page) => Outcome::Ok(page),
        Err(failed) => call.fail_post(&failed),
    }
}

/// Bytes of attributes and handle, at most.
const EXTRA: usize = (4 + 84) + (4 + 4 + FileHandle::LEN.next_multiple_of(4));

fn cost(entry: &DirEntry) -> usize {
    readdir::cost(entry) + EXTRA
}

async fn list(call: &Call, args: ReadDirPlusArgs) -> Result<ReadDirPlusOk, Failed> {
    let place = (&args.dir, args.cookie, args.verifier);
    let mut page = readdir::page(call, place, args.maxcount, true, &cost).await?;
    let kept = within(&page.entries, args.dircount as usize);
    if kept < page.entries.len() {
        page.entries.truncate(kept);
        page.end = false;
    }
    let entries = page.entries.into_iter().map(|entry| entry_plus(call, entry)).collect();
    Ok(ReadDirPlusOk {
        dir: call.post(&page.dir),
        verifier: Verifier(page.verifier.0.to_be_bytes()),
        entries: List(entries),
        eof: page.end,
    })
}

/// How many of the entries fit into `dircount`; at least one, so that a listing always moves on.
fn within(entries: &[DirEntry], dircount: usize) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&DirEntry| {
        bytes += readdir::cost(entry);
        bytes <= dircount
    };
    entries.iter().take_while(fits).count().max(1)
}

fn entry_plus(call: &Call, entry: DirEntry) -> EntryPlus {
    // An entry whose attributes cannot be read is still listed; the client asks for them by itself.
    let attrs = entry.attrs.and_then(Result::ok);
    EntryPlus {
        fileid: entry.inode.0,
        name: FileName(entry.name),
        cookie: entry.cookie.0,
        attributes: attrs.as_ref().map(|attrs| call.attributes(attrs)),
        handle: entry.handle.map(|handle| call.encode(&handle)),
    }
}
