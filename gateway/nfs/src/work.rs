//! A decoded NFSv3 request: which procedure with which arguments, and running it into a reply.

use crate::context::Call;
use crate::metrics::NfsMetrics;
use crate::proc::{self, readdir::PAGE_MAX};
use crate::wire::*;
use bytes::{BufMut, BytesMut};
use dfs_net::Reply;
use dfs_rpc::{Decode, Encode, Reader, XdrResult, pad_of};
use dfs_vfs::Operation;

/// A request. NULL is answered where it is decoded.
pub(crate) enum Work {
    GetAttr(Handle),
    SetAttr(SetAttrArgs),
    Lookup(DirOp),
    Access(AccessArgs),
    ReadLink(Handle),
    Read(ReadArgs),
    Write(WriteArgs),
    Create(CreateArgs),
    Mkdir(MkdirArgs),
    Symlink(SymlinkArgs),
    Mknod(MknodArgs),
    Remove(DirOp),
    Rmdir(DirOp),
    Rename(RenameArgs),
    Link(LinkArgs),
    ReadDir(ReadDirArgs),
    ReadDirPlus(ReadDirPlusArgs),
    FsStat(Handle),
    FsInfo(Handle),
    PathConf(Handle),
    Commit(CommitArgs),
}

/// Room for headers and attributes around bulk data in a reply.
const AROUND: usize = 512;

impl Work {
    /// Decodes the arguments of procedure `number`; `None` when there is no such procedure. Bytes after the arguments
    /// are ignored, as other servers do.
    pub(crate) fn decode(number: u32, from: &mut Reader) -> XdrResult<Option<Work>> {
        Ok(Some(match number {
            1 => Work::GetAttr(Decode::decode(from)?),
            2 => Work::SetAttr(Decode::decode(from)?),
            3 => Work::Lookup(Decode::decode(from)?),
            4 => Work::Access(Decode::decode(from)?),
            5 => Work::ReadLink(Decode::decode(from)?),
            6 => Work::Read(Decode::decode(from)?),
            7 => Work::Write(Decode::decode(from)?),
            8 => Work::Create(Decode::decode(from)?),
            9 => Work::Mkdir(Decode::decode(from)?),
            10 => Work::Symlink(Decode::decode(from)?),
            11 => Work::Mknod(Decode::decode(from)?),
            12 => Work::Remove(Decode::decode(from)?),
            13 => Work::Rmdir(Decode::decode(from)?),
            14 => Work::Rename(Decode::decode(from)?),
            15 => Work::Link(Decode::decode(from)?),
            16 => Work::ReadDir(Decode::decode(from)?),
            17 => Work::ReadDirPlus(Decode::decode(from)?),
            18 => Work::FsStat(Decode::decode(from)?),
            19 => Work::FsInfo(Decode::decode(from)?),
            20 => Work::PathConf(Decode::decode(from)?),
            21 => Work::Commit(Decode::decode(from)?),
            _ => return Ok(None),
        }))
    }

    /// The handle that says which share is meant (of two, the first).
    pub(crate) fn handle(&self) -> &Handle {
        match self {
            Work::GetAttr(handle)
            | Work::ReadLink(handle)
            | Work::FsStat(handle)
            | Work::FsInfo(handle)
            | Work::PathConf(handle) => handle,
            Work::SetAttr(args) => &args.object,
            Work::Lookup(args) | Work::Remove(args) | Work::Rmdir(args) => &args.dir,
            Work::Access(args) => &args.object,
            Work::Read(args) => &args.file,
            Work::Write(args) => &args.file,
            Work::Create(args) => &args.place.dir,
            Work::Mkdir(args) => &args.place.dir,
            Work::Symlink(args) => &args.place.dir,
            Work::Mknod(args) => &args.place.dir,
            Work::Rename(args) => &args.from.dir,
            Work::Link(args) => &args.file,
            Work::ReadDir(args) => &args.dir,
            Work::ReadDirPlus(args) => &args.dir,
            Work::Commit(args) => &args.file,
        }
    }

    /// What this is in an administrator's words; nothing for what cannot be blocked.
    pub(crate) fn operation(&self) -> Option<Operation> {
        Some(match self {
            Work::Read(_) => Operation::Read,
            Work::Write(_) => Operation::Write,
            Work::SetAttr(args) if args.attributes.size.is_some() => Operation::Write,
            Work::SetAttr(_) => Operation::SetAttr,
            Work::Create(_) => Operation::Create,
            Work::Mkdir(_) => Operation::Mkdir,
            Work::Symlink(_) => Operation::Symlink,
            Work::Mknod(_) => Operation::Mknod,
            Work::Link(_) => Operation::Link,
            Work::Remove(_) | Work::Rmdir(_) => Operation::Remove,
            Work::Rename(_) => Operation::Rename,
            Work::GetAttr(_)
            | Work::Lookup(_)
            | Work::Access(_)
            | Work::ReadLink(_)
            | Work::ReadDir(_)
            | Work::ReadDirPlus(_)
            | Work::FsStat(_)
            | Work::FsInfo(_)
            | Work::PathConf(_)
            | Work::Commit(_) => return None,
        })
    }

    /// Whether it is among the few calls with which a client's kernel sets a mount up.
    pub(crate) fn is_look(&self) -> bool {
        matches!(
            self,
            Work::GetAttr(_) | Work::Access(_) | Work::FsStat(_) | Work::FsInfo(_) | Work::PathConf(_)
        )
    }

    /// Whether a repeat must not run again (everything whose second run could answer otherwise than the first).
    pub(crate) fn replays(&self) -> bool {
        match self {
            Work::SetAttr(_)
            | Work::Create(_)
            | Work::Mkdir(_)
            | Work::Symlink(_)
            | Work::Mknod(_)
            | Work::Remove(_)
            | Work::Rmdir(_)
            | Work::Rename(_)
            | Work::Link(_) => true,
            Work::GetAttr(_)
            | Work::Lookup(_)
            | Work::Access(_)
            | Work::ReadLink(_)
            | Work::Read(_)
            | Work::Write(_)
            | Work::ReadDir(_)
            | Work::ReadDirPlus(_)
            | Work::FsStat(_)
            | Work::FsInfo(_)
            | Work::PathConf(_)
            | Work::Commit(_) => false,
        }
    }

    /// Upper bound of the reply in bytes.
    pub(crate) fn reply_bytes(&self) -> usize {
        AROUND
            + match self {
                Work::Read(args) => args.count.min(DATA_MAX) as usize,
                Work::ReadDir(args) => args.count.min(PAGE_MAX) as usize,
                Work::ReadDirPlus(args) => args.maxcount.min(PAGE_MAX) as usize,
                Work::ReadLink(_) => PATH_WIRE_MAX as usize,
                _ => 0,
            }
    }

    /// Appends the results of a refusal that knows no attributes.
    pub(crate) fn refuse(&self, status: Status, out: &mut BytesMut) {
        status.encode(out);
        let absent = match self {
            Work::GetAttr(_) => 0,
            Work::Lookup(_)
            | Work::Access(_)
            | Work::ReadLink(_)
            | Work::Read(_)
            | Work::ReadDir(_)
            | Work::ReadDirPlus(_)
            | Work::FsStat(_)
            | Work::FsInfo(_)
            | Work::PathConf(_) => 1,
            Work::SetAttr(_)
            | Work::Write(_)
            | Work::Create(_)
            | Work::Mkdir(_)
            | Work::Symlink(_)
            | Work::Mknod(_)
            | Work::Remove(_)
            | Work::Rmdir(_)
            | Work::Commit(_) => 2,
            Work::Link(_) => 3,
            Work::Rename(_) => 4,
        };
        out.put_bytes(0, 4 * absent);
    }

    /// Runs the procedure and appends its results. The large futures are boxed, or every GETATTR would carry and copy room
    /// for a RENAME.
    pub(crate) async fn run(self, call: &Call, metrics: &NfsMetrics, reply: &mut Reply) -> Status {
        match self {
            Work::GetAttr(args) => put(reply, &proc::getattr::run(call, args).await),
            Work::SetAttr(args) => put(reply, &Box::pin(proc::setattr::run(call, args)).await),
            Work::Lookup(args) => put(reply, &proc::lookup::run(call, args).await),
            Work::Access(args) => put(reply, &proc::access::run(call, args).await),
            Work::ReadLink(args) => put(reply, &proc::readlink::run(call, args).await),
            Work::Read(args) => {
                let (outcome, data) = proc::read::run(call, args).await;
                let status = put(reply, &outcome);
                let len: usize = data.iter().map(bytes::Bytes::len).sum();
                metrics.read_bytes.increment(len as u64);
                data.into_iter().for_each(|part| reply.push_payload(part));
                reply.set_padding(pad_of(len));
                status
            }
            Work::Write(args) => {
                let outcome = proc::write::run(call, args).await;
                if let Outcome::Ok(written) = &outcome {
                    metrics.written_bytes.increment(u64::from(written.count));
                }
                put(reply, &outcome)
            }
            Work::Create(args) => put(reply, &Box::pin(proc::create::run(call, args)).await),
            Work::Mkdir(args) => put(reply, &Box::pin(proc::mkdir::run(call, args)).await),
            Work::Symlink(args) => put(reply, &Box::pin(proc::symlink::run(call, args)).await),
            Work::Mknod(args) => put(reply, &Box::pin(proc::mknod::run(call, args)).await),
            Work::Remove(args) => put(reply, &Box::pin(proc::remove::run(call, args)).await),
            Work::Rmdir(args) => put(reply, &Box::pin(proc::rmdir::run(call, args)).await),
            Work::Rename(args) => put(reply, &Box::pin(proc::rename::run(call, args)).await),
            Work::Link(args) => put(reply, &Box::pin(proc::link::run(call, args)).await),
            Work::ReadDir(args) => put(reply, &Box::pin(proc::readdir::run(call, args)).await),
            Work::ReadDirPlus(args) => put(reply, &Box::pin(proc::readdirplus::run(call, args)).await),
            Work::FsStat(args) => put(reply, &Box::pin(proc::fsstat::run(call, args)).await),
            Work::FsInfo(args) => put(reply, &Box::pin(proc::fsinfo::run(call, args)).await),
            Work::PathConf(args) => put(reply, &Box::pin(proc::pathconf::run(call, args)).await),
            Work::Commit(args) => put(reply, &proc::commit::run(call, args).await),
        }
    }
}

fn put<Good: Encode, Bad: Encode>(reply: &mut Reply, outcome: &Outcome<Good, Bad>) -> Status {
    outcome.encode(reply.head());
    outcome.status()
}
