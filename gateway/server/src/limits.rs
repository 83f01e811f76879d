//! Limits of the process: how many files (connections, segments, warm regions, packs) it may have open, and the pages that its
//! memory is made of.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer than this and a busy gateway runs out: 4096 connections, 1024 warm regions, a segment each 64 MiB of journal, and
/// a file for every pack that is written or read in a directory.
pub(crate) const FILES_ENOUGH: u64 = 65_536;

/// Takes its memory in plain pages. The allocator asks for huge ones, and the kernel then backs 2 MiB wherever a few KiB of them
/// are used, also later and by itself (`khugepaged` joins pages of memory that was given back): resident memory grew by a third
/// without a byte more in use. A gateway shares its machine by a budget, so it must hold what it uses.
pub(crate) fn refuse_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "huge pages could not be refused: more memory than is in use may be resident");
    }
}

/// Raises the limit of open files to the most that this process may have, and says so where that is little.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < FILES_ENOUGH {
        tracing::warn!(
            files,
            "few files may be open at once: a busy gateway wants {FILES_ENOUGH}; raise LimitNOFILE of its service, or the hard limit of `ulimit -n`"
        );
    } else {
        tracing::info!(files, "limit of open files");
    }
}
