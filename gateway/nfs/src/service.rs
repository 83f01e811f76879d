//! The service on the NFS port: RPC headers, programs, the share and its rules, credentials, replay cache, then the
//! procedure.
//!
//! What can be refused without the seam is refused in `prepare`, before any permit for a reply is taken. A request that
//! changes something runs to its end once begun, whether its client is there or not, and its reply goes to the replay
//! cache; the end of a connection raises the cancel flag, which the seam looks at before the begin point only.

use crate::context::Call;
use crate::creds::{self, Caller, Reach};
use crate::drc::{Begin, Drc, DrcLimits};
use crate::exports::{Exports, ShareExport};
use crate::metrics::{Drop, NfsMetrics};
use crate::mountd::{self, Door, MountWork};
use crate::mounts::{LIST_BYTES_MAX, MountRecord, Mounts};
use crate::portmap::PortmapTable;
use crate::status;
use crate::usage::{Usage, Used};
use crate::wire::mount::{MOUNT_PROGRAM, MOUNT_VERSION, MountReply};
use crate::wire::portmap::PORTMAP_PROGRAM;
use crate::wire::{NFS_PROGRAM, NFS_VERSION, Status, nfs3};
use crate::work::Work;
use dfs_auth::IdentityTable;
use dfs_model::{Activity, Actor, Clock, Credentials, Monotonic, ReplayKey};
use dfs_net::{Peer, Prepared, Quiet, Reply, Service};
use dfs_rpc::{
    AcceptStatus, AuthStatus, AuthSys, CallError, CallHeader, Decode, Encode, Flavor, OpaqueAuth, Reader,
};
use dfs_rpc::{Rejected, ReplyHeader, record};
use dfs_vfs::{CancelFlag, FileHandle, OperationSet, RequestContext, Standing};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;
use tracing::Instrument;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Settings of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NfsConfig {
    /// How long a request may wait before it is answered with JUKEBOX. Clients then sleep for seconds, so waiting is
    /// cheaper.
    pub deadline: Duration,
    /// Bounds of the replay cache.
    pub replay: DrcLimits,
    /// How long a reply waits for a lapsed lease to be renewed before its connection is closed: the database may be away for
    /// a moment, and a client that is cut off comes back at once.
    pub lapse: Duration,
}

/// How often a lapsed lease is looked at.
const LAPSE_LOOK: Duration = Duration::from_millis(20);

impl Default for NfsConfig {
    fn default() -> NfsConfig {
        NfsConfig {
            deadline: Duration::from_secs(10),
            replay: DrcLimits::default(),
            lapse: Duration::from_secs(10),
        }
    }
}

/// NFSv3 and MOUNT v3, and portmap where asked for, as a [`Service`].
pub struct NfsService {
    exports: Arc<dyn Exports>,
    identities: Arc<IdentityTable>,
    clock: Arc<dyn Clock>,
    config: NfsConfig,
    portmap: Option<Arc<PortmapTable>>,
    /// Operations that are blocked on every share.
    blocked: AtomicU16,
    drc: Arc<Drc>,
    mounts: Mounts,
    metrics: NfsMetrics,
    requests: AtomicU64,
    quiet: Quiet,
}

/// What is kept per connection.
#[derive(Default)]
struct ConnectionState {
    cancel: CancelFlag,
    usage: Usage,
}

/// A decoded request.
pub struct Job(JobKind);

enum JobKind {
    Nfs(Box<NfsJob>),
    Mount { xid: u32, credential: OpaqueAuth, work: MountWork },
}

struct NfsJob {
    xid: u32,
    procedure: u32,
    work: Work,
    call: Call,
    started: Monotonic,
}

/// The answer to a call that is refused by its header.
fn refusal<J>(xid: u32, header: ReplyHeader) -> Prepared<J> {
    let mut reply = Reply::with_capacity(ReplyHeader::LEN_MAX);
    header.encode(xid, reply.head());
    Prepared::Reply(reply)
}

fn accepted<J>(xid: u32, status: AcceptStatus) -> Prepared<J> {
    refusal(xid, ReplyHeader::Accepted(status))
}

/// A successful reply with room for `capacity` bytes of results.
fn success(xid: u32, capacity: usize) -> Reply {
    let mut reply = Reply::with_capacity(ReplyHeader::LEN_MAX + capacity);
    ReplyHeader::SUCCESS.encode(xid, reply.head());
    reply
}

impl NfsService {
    /// Makes the service. With `portmap`, program 100000 is answered on the same port too.
    #[must_use]
    pub fn new(
        exports: Arc<dyn Exports>,
        identities: Arc<IdentityTable>,
        clock: Arc<dyn Clock>,
        config: NfsConfig,
        portmap: Option<Arc<PortmapTable>>,
    ) -> Arc<NfsService> {
        Arc::new(NfsService {
            drc: Drc::new(config.replay),
            blocked: AtomicU16::new(0),
            identities,
            exports,
            clock,
            config,
            portmap,
            mounts: Mounts::default(),
            metrics: NfsMetrics::new(),
            requests: AtomicU64::new(1),
            quiet: Quiet::default(),
        })
    }

    /// Blocks operations on every share, whoever asks; from the next call on.
    pub fn block(&self, operations: OperationSet) {
        self.blocked.store(operations.bits(), Ordering::Relaxed);
    }

    /// Mounts that clients told of or are seen to use, by client and path.
    #[must_use]
    pub fn mounts(&self) -> Vec<MountRecord> {
        self.mounts.list()
    }

    /// Takes mounts off the list whose client has been silent for a day, except for those who have a connection, and those of
    /// shares that are no more.
    pub fn prune_mounts(&self, connected: &HashSet<IpAddr>) {
        let exists =
            |share: &[u8]| self.exports.by_name(share).is_some() || self.exports.is_down_by_name(share);
        self.mounts.prune(connected, exists, self.clock.wall(), &self.metrics);
    }

    /// What a connection was used for.
    #[must_use]
    pub fn used(&self, peer: &Peer) -> Used {
        peer.state::<ConnectionState>().map(|state| state.usage.get()).unwrap_or_default()
    }

    fn context(
        &self,
        peer: &Peer,
        export: &ShareExport,
        credentials: Arc<Credentials>,
        replay: Option<ReplayKey>,
        now: Monotonic,
    ) -> RequestContext {
        RequestContext {
            request: self.requests.fetch_add(1, Ordering::Relaxed),
            replay,
            share: export.id,
            credentials,
            actor: Actor::nfs3(peer.address.ip()),
            deadline: Some(now.plus(self.config.deadline)),
            cancel: peer.state::<ConnectionState>().map(|state| state.cancel.clone()).unwrap_or_default(),
            activity: Activity::INTERACTIVE,
        }
    }

    fn prepare_nfs(&self, peer: &Arc<Peer>, header: &CallHeader, mut args: Reader) -> Prepared<Job> {
        let xid = header.xid;
        if header.version != NFS_VERSION {
            self.metrics.dropped(Drop::Rpc);
            return accepted(xid, AcceptStatus::ProgramMismatch { low: NFS_VERSION, high: NFS_VERSION });
        }
        if header.procedure == 0 {
            self.metrics.answered(0, Status::Ok, Duration::ZERO);
            return accepted(xid, AcceptStatus::Success);
        }
        let encoded = args.rest();
        let work = match Work::decode(header.procedure, &mut args) {
            Ok(Some(work)) => work,
            Ok(None) => {
                self.metrics.dropped(Drop::Rpc);
                return accepted(xid, AcceptStatus::ProcedureUnavailable);
            }
            Err(error) => {
                self.metrics.dropped(Drop::Args);
                if let Some(left_out) = self.quiet.allow() {
                    let procedure = nfs3::NAMES.get(header.procedure as usize);
                    tracing::info!(client = %peer.address, procedure, %error, left_out, "garbage arguments");
                }
                return accepted(xid, AcceptStatus::GarbageArguments);
            }
        };
        let share = FileHandle::peek_share(&work.handle().0);
        let Ok(share) = share else { return self.refuse(xid, header.procedure, &work, Status::BadHandle) };
        let Some(export) = self.exports.by_id(share) else {
            if self.exports.is_down(share) {
                return self.refuse(xid, header.procedure, &work, Status::Jukebox);
            }
            self.metrics.dropped(Drop::StaleShare);
            return self.refuse(xid, header.procedure, &work, Status::Stale);
        };
        if !export.admits(peer.address) {
            self.metrics.dropped(Drop::Client);
            if let Some(left_out) = self.quiet.allow() {
                tracing::info!(client = %peer.address, share = %export.name, left_out, "not in the share's client list");
            }
            return self.refuse(xid, header.procedure, &work, Status::Acces);
        }
        let caller = match creds::caller(&header.credential, &export, &self.identities) {
            Ok(caller) => caller,
            Err(status) => {
                self.metrics.dropped(Drop::Auth);
                return refusal(xid, ReplyHeader::Rejected(Rejected::Auth(status)));
            }
        };
        let blocked = OperationSet::from_bits(self.blocked.load(Ordering::Relaxed));
        if let Some(why) = self.denied(&caller, &work, blocked) {
            self.metrics.dropped(why);
            return self.refuse(xid, header.procedure, &work, Status::Acces);
        }
        let Caller { credentials, reach } = caller;
        self.note_use(peer, &export, &credentials);
        let replay = work.replays().then(|| replay_key(peer, header, &encoded));
        let started = self.clock.monotonic();
        let cx = self.context(peer, &export, credentials, replay, started);
        let reply_bytes = work.reply_bytes();
        let call = Call { export, cx, reach, blocked };
        let job = NfsJob { xid, procedure: header.procedure, work, call, started };
        Prepared::Run { job: Job(JobKind::Nfs(Box::new(job))), reply_bytes }
    }

    /// Why a call is refused before any file is asked.
    fn denied(&self, caller: &Caller, work: &Work, blocked: OperationSet) -> Option<Drop> {
        let may = match caller.reach {
            Reach::Files => true,
            Reach::Root => work.is_look(),
            Reach::Nothing => false,
        };
        if !may {
            return Some(Drop::Permission);
        }
        let is_blocked =
            !blocked.is_empty() && work.operation().is_some_and(|operation| blocked.has(operation));
        is_blocked.then_some(Drop::Blocked)
    }

    /// Notes who uses what. A share that is new to the connection counts as mounted, whether the client told of it or not.
    fn note_use(&self, peer: &Peer, export: &ShareExport, credentials: &Credentials) {
        let Some(state) = peer.state::<ConnectionState>() else { return };
        if state.usage.note(export, credentials.uid) {
            self.mounts.seen(peer.address.ip(), &export.name, self.clock.wall(), &self.metrics);
        }
    }

    fn refuse(&self, xid: u32, procedure: u32, work: &Work, status: Status) -> Prepared<Job> {
        let mut reply = success(xid, 32);
        work.refuse(status, reply.head());
        self.metrics.answered(procedure, status, Duration::ZERO);
        Prepared::Reply(reply)
    }

    fn prepare_mount(&self, header: CallHeader, mut args: Reader) -> Prepared<Job> {
        let xid = header.xid;
        // UMNT and its like are the same in versions 1 and 2, but handles are not.
        if header.version != MOUNT_VERSION {
            return accepted(xid, AcceptStatus::ProgramMismatch { low: MOUNT_VERSION, high: MOUNT_VERSION });
        }
        let work = match header.procedure {
            0 => {
                self.metrics.mount_answered(0);
                return accepted(xid, AcceptStatus::Success);
            }
            1 => Decode::decode(&mut args).map(MountWork::Mount),
            2 => Ok(MountWork::Dump),
            3 => Decode::decode(&mut args).map(MountWork::Unmount),
            4 => Ok(MountWork::UnmountAll),
            5 => Ok(MountWork::Export),
            _ => return accepted(xid, AcceptStatus::ProcedureUnavailable),
        };
        self.metrics.mount_answered(header.procedure);
        match work {
            Ok(work) => {
                let reply_bytes = match work {
                    MountWork::Dump | MountWork::Export => LIST_BYTES_MAX + ReplyHeader::LEN_MAX,
                    _ => 256,
                };
                let job = Job(JobKind::Mount { xid, credential: header.credential, work });
                Prepared::Run { job, reply_bytes }
            }
            Err(_) => {
                self.metrics.dropped(Drop::Args);
                accepted(xid, AcceptStatus::GarbageArguments)
            }
        }
    }

    /// The job stays in its box: what a future holds is copied each time it is moved.
    async fn run_nfs(&self, peer: &Arc<Peer>, job: Box<NfsJob>) -> Option<Reply> {
        let export = job.call.export.clone();
        let reply = self.answer_nfs(peer, job).await?;
        Some(self.behind_lease(reply, export).await)
    }

    async fn answer_nfs(&self, peer: &Arc<Peer>, mut job: Box<NfsJob>) -> Option<Reply> {
        let (xid, procedure, started) = (job.xid, job.procedure, job.started);
        let guard = match &job.call.cx.replay {
            None => None,
            Some(key) => match self.drc.begin(key, peer, started).await {
                Begin::New(guard) => Some(guard),
                Begin::Other => {
                    // Not ours to be answered by what is stored, nor to be stored over it.
                    job.call.cx.replay = None;
                    None
                }
                Begin::Repeat(reply) => return Some(Reply::whole(reply)),
            },
        };
        let (work, call) = (job.work, &job.call);
        let mut reply = success(xid, 288);
        let status = work.run(call, &self.metrics, &mut reply).await;
        let now = self.clock.monotonic();
        self.metrics.answered(procedure, status, now.since(started));
        if status::is_transient(status) {
            if call.cx.cancel.is_cancelled() {
                self.metrics.dropped(Drop::Cancelled);
                return None;
            }
        } else if let Some(guard) = guard
            && self.may_tell(&call.export).await
        {
            // What may not be told now must not be told to a repeat either, when the share has come back.
            guard.finish(reply.to_bytes(), now);
        }
        Some(reply)
    }

    /// Waits for a lapsed lease to be renewed. Answers whether what was found out about the share may be told.
    async fn may_tell(&self, export: &ShareExport) -> bool {
        let since = self.clock.monotonic();
        while export.vfs.standing() == Standing::Lapsed
            && self.clock.monotonic().since(since) < self.config.lapse
        {
            tokio::time::sleep(LAPSE_LOOK).await;
        }
        export.vfs.standing() == Standing::Valid
    }

    /// Puts what was found out about a share behind its lease, which is looked at again as the reply leaves (JOURNAL F2).
    async fn behind_lease(&self, reply: Reply, export: Arc<ShareExport>) -> Reply {
        self.may_tell(&export).await;
        reply.behind(export)
    }

    async fn run_mount(&self, peer: &Peer, xid: u32, credential: OpaqueAuth, work: MountWork) -> Reply {
        let mut reply = success(xid, 128);
        let client = peer.address.ip();
        let mut about = None;
        match work {
            MountWork::Mount(path) => {
                let now = self.clock.monotonic();
                let context = |export: &Arc<ShareExport>, credentials| {
                    about = Some(export.clone());
                    self.context(peer, export, credentials, None, now)
                };
                let (exports, identities) = (self.exports.as_ref(), self.identities.as_ref());
                let door = Door { exports, identities, quiet: &self.quiet };
                let mounted = mountd::mount(door, peer, &credential, &path, context).await;
                if matches!(mounted, MountReply::Ok { .. }) {
                    self.mounts.add(client, &path.0, self.clock.wall(), &self.metrics);
                }
                mounted.encode(reply.head());
            }
            MountWork::Dump => self.mounts.dump().encode(reply.head()),
            MountWork::Unmount(path) => self.mounts.remove(client, Some(&path), &self.metrics),
            MountWork::UnmountAll => self.mounts.remove(client, None, &self.metrics),
            MountWork::Export => mountd::export_list(self.exports.as_ref()).encode(reply.head()),
        }
        match about {
            Some(export) => self.behind_lease(reply, export).await,
            None => reply,
        }
    }
}

/// The key of a call: who, which, and a checksum over what and for whom. The client machine's own name is part of it: behind
/// a translated address several machines are one address, and each keeps its name over a reconnect and our restart.
fn replay_key(peer: &Peer, header: &CallHeader, args: &[u8]) -> ReplayKey {
    let principal = match header.credential.flavor {
        Flavor::SYS => AuthSys::from_body(header.credential.body.clone()).map_or(1, |sys| {
            let groups =
                sys.gids.iter().fold(u64::from(sys.gid), |all, gid| all.rotate_left(7) ^ u64::from(*gid));
            xxh3_64_with_seed(&sys.machine, (u64::from(sys.uid) << 32) ^ groups)
        }),
        _ => u64::MAX,
    };
    ReplayKey::Rpc {
        client: peer.address.ip(),
        xid: header.xid,
        procedure: (NFS_VERSION << 8) | header.procedure,
        checksum: xxh3_64_with_seed(args, principal),
    }
}

impl Service for NfsService {
    type Job = Job;
    const NAME: &'static str = "nfs";

    fn parse_mark(mark: [u8; 4]) -> Option<(usize, bool)> {
        Some(record::parse_mark(mark))
    }

    fn mark(len: usize) -> [u8; 4] {
        record::mark(len, true)
    }

    fn prepare(&self, peer: &Arc<Peer>, record: bytes::Bytes) -> Prepared<Job> {
        let (header, args) = match CallHeader::decode(record) {
            Ok(decoded) => decoded,
            Err(CallError::Garbage) => return Prepared::Close("not an RPC call"),
            Err(CallError::Rejected(xid, why)) => {
                self.metrics.dropped(if why == Rejected::RpcMismatch { Drop::Rpc } else { Drop::Auth });
                return refusal(xid, ReplyHeader::Rejected(why));
            }
        };
        if !matches!(header.credential.flavor, Flavor::NONE | Flavor::SYS) {
            self.metrics.dropped(Drop::Auth);
            return refusal(header.xid, ReplyHeader::Rejected(Rejected::Auth(AuthStatus::BadCredential)));
        }
        match (header.program, &self.portmap) {
            (NFS_PROGRAM, _) => self.prepare_nfs(peer, &header, args),
            (MOUNT_PROGRAM, _) => self.prepare_mount(header, args),
            (PORTMAP_PROGRAM, Some(table)) => Prepared::Reply(table.answer(peer.address.ip(), &header, args)),
            _ => {
                self.metrics.dropped(Drop::Rpc);
                accepted(header.xid, AcceptStatus::ProgramUnavailable)
            }
        }
    }

    async fn run(self: Arc<Self>, peer: Arc<Peer>, job: Job) -> Option<Reply> {
        match job.0 {
            JobKind::Nfs(job) => {
                let span = tracing::debug_span!(
                    "nfs",
                    proc = nfs3::NAMES.get(job.procedure as usize),
                    client = %peer.address,
                    share = %job.call.export.name,
                    xid = job.xid,
                    request = job.call.cx.request,
                );
                if span.is_disabled() {
                    return self.run_nfs(&peer, job).await;
                }
                Box::pin(self.run_nfs(&peer, job).instrument(span)).await
            }
            JobKind::Mount { xid, credential, work } => {
                Some(Box::pin(self.run_mount(&peer, xid, credential, work)).await)
            }
        }
    }

    fn closed(&self, peer: &Peer) {
        if let Some(state) = peer.state::<ConnectionState>() {
            state.cancel.cancel();
        }
        self.mounts.heard(peer.address.ip(), self.clock.wall());
    }
}
