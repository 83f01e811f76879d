//! What the share is: space, limits, features.

use crate::data::IO_MAX;
use crate::engine::Engine;
use dfs_vfs::{FILE_SIZE_MAX, Features, FsInfo, RequestContext, VfsResult};

/// Links that one inode may have.
const LINKS_MAX: u32 = 65_000;
/// Inodes that are shown as the share's total; ids never run out before.
const INODES_SHOWN: u64 = 1 << 40;

impl Engine {
    pub(crate) async fn do_fs_info(&self, cx: &RequestContext) -> VfsResult<FsInfo> {
        let usage = self.store.usage(self.share).await.map_err(|error| error.to_fs())?;
        let dirty = self.journal.stats().dirty_bytes;
        let used = usage.bytes.saturating_add(dirty);
        let free = self.settings.capacity.saturating_sub(used);
        let inodes_free = INODES_SHOWN.saturating_sub(usage.inodes);
        let left = self.quota_left(&cx.credentials);
        Ok(FsInfo {
            share: self.share,
            fsid: self.record.fsid,
            space_total: self.settings.capacity,
            space_free: free,
            space_available: free.min(left.bytes),
            inodes_total: INODES_SHOWN,
            inodes_free,
            inodes_available: inodes_free.min(left.inodes),
            file_size_max: FILE_SIZE_MAX,
            name_len_max: dfs_model::Name::LEN_MAX as u32,
            links_max: LINKS_MAX,
            read_max: IO_MAX,
            write_max: IO_MAX,
            time_granularity_nanos: 1,
            features: Features { clone: true, snapshots: true, ..Features::default() },
            label: self.settings.label.clone(),
            serial: self.record.fsid as u32,
            clone_unit: self.record.block_size,
            case_sensitive: true,
            read_only: self.check_writable().is_err(),
        })
    }
}
