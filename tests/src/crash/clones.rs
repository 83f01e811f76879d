//! Clones in a history: a file becomes another, and both go their own ways afterwards.

use super::ledger::Entry;
use super::steps::{FILE_MAX, Outcome, Player, Step};
use dfs_model::{FsError, InodeKind, Target};
use dfs_vfs::{CopyHow, CopyRange, Vfs};
use rand::Rng;
use std::time::Duration;

impl Player<'_> {
    /// Clones a file, or some blocks of it, over another.
    pub(super) async fn clone_file(&mut self) -> Step {
        let (Some((from, source)), Some((to, target))) =
            (self.pick(InodeKind::File), self.pick(InodeKind::File))
        else {
            return Ok(Outcome::Answered);
        };
        if source.file == target.file {
            return Ok(Outcome::Answered);
        }
        let (from, to) = match (self.inode(&from).await, self.inode(&to).await) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(failed), _) | (_, Err(failed)) => return self.judge("walk", &failed),
        };
        if self.rng.random_bool(0.5) {
            self.world.calm();
        }
        let mut request = CopyRange {
            from: Target::Inode(from),
            from_offset: 0,
            to: Target::Inode(to),
            to_offset: 0,
            len: 0,
            how: CopyHow::Replace,
            resume: None,
        };
        let new = match self.rng.random_bool(0.7) {
            true => self.ledger.bytes(source.file).to_vec(),
            false => self.plan_part(&source, &target, &mut request),
        };
        self.send_clone(request, &source, &target, new).await
    }

    /// Some blocks of the source; answers what the target is then.
    fn plan_part(&mut self, source: &Entry, target: &Entry, request: &mut CopyRange) -> Vec<u8> {
        const UNIT: u64 = 64 << 10;
        let (old, mut new) =
            (self.ledger.bytes(source.file).to_vec(), self.ledger.bytes(target.file).to_vec());
        request.how = CopyHow::Clone;
        request.from_offset = UNIT * self.rng.random_range(0..=old.len() as u64 / UNIT);
        request.to_offset = UNIT * self.rng.random_range(0..FILE_MAX / UNIT);
        let left = old.len() - request.from_offset as usize;
        let len = if self.rng.random_bool(0.5) { left } else { self.rng.random_range(0..=left) };
        request.len = if len == left { 0 } else { len as u64 };
        let len = if request.len == 0 { left } else { len };
        if len > 0 {
            let (at, end) = (request.to_offset as usize, request.to_offset as usize + len);
            new.resize(new.len().max(end), 0);
            new[at..end].copy_from_slice(&old[request.from_offset as usize..][..len]);
        }
        new
    }

    async fn send_clone(&mut self, request: CopyRange, source: &Entry, target: &Entry, new: Vec<u8>) -> Step {
        let patience = Duration::from_secs(self.rng.random_range(1..200));
        let mut cx = self.world.root_context();
        cx.deadline = Some(self.world.monotonic().plus(patience));
        match self.world.engine().copy(&cx, request).await {
            Ok(reply) => {
                let now = self.now();
                if reply.copied > 0 || request.how == CopyHow::Replace {
                    self.ledger.push_data(target.file, new, Some(reply.wcc.post.mtime), Some(now));
                    // Whatever the class: what was cloned was placed, and the clone is durable.
                    self.ledger.stabilize(source.file);
                    self.ledger.stabilize(target.file);
                }
                Ok(Outcome::Answered)
            }
            // The object store is away, or a file is busy: nothing happened.
            Err(failed) if matches!(failed.error, FsError::ColdUnavailable | FsError::Delay { .. }) => {
                Ok(Outcome::Answered)
            }
            Err(failed) if failed.error == FsError::NoSpace && self.world.is_full() => Ok(Outcome::Answered),
            Err(failed) => {
                self.ledger.push_data(target.file, new, None, None);
                self.judge("clone", &failed)
            }
        }
    }
}
