//! Portmap version 2: the table and its answers, and a listener of its own over TCP and UDP.
//!
//! Off by default; where it runs it listens on loopback unless told otherwise. SET and UNSET are taken from loopback
//! only. CALLIT does not exist here: it would let anybody send calls in our name. Over UDP a reply is at most as many
//! bytes as [`DATAGRAM_MAX`], so that forged senders gain little.

use crate::wire::portmap::{Mapping, PORTMAP_PROGRAM, PORTMAP_VERSION, TCP};
use crate::wire::{List, NFS_PROGRAM, NFS_VERSION, mount};
use bytes::Bytes;
use dfs_net::{Peer, Prepared, Reply, Service};
use dfs_rpc::{AcceptStatus, CallError, CallHeader, Decode, Encode, Reader, ReplyHeader, record};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Most registrations.
const MAPPINGS_MAX: usize = 64;
/// Longest datagram read or sent.
const DATAGRAM_MAX: usize = 1400;

/// Which program listens where.
#[derive(Debug, Default)]
pub struct PortmapTable(Mutex<Vec<Mapping>>);

fn nfs_on(port: u16) -> [Mapping; 2] {
    let tcp = |program, version| Mapping { program, version, protocol: TCP, port: u32::from(port) };
    [tcp(NFS_PROGRAM, NFS_VERSION), tcp(mount::MOUNT_PROGRAM, mount::MOUNT_VERSION)]
}

impl PortmapTable {
    /// A table with NFS and MOUNT on one TCP port.
    #[must_use]
    pub fn with_nfs(port: u16) -> Arc<PortmapTable> {
        Arc::new(PortmapTable(Mutex::new(nfs_on(port).to_vec())))
    }

    /// Says where NFS and MOUNT are now, or that they are nowhere.
    pub fn set_nfs(&self, port: Option<u16>) {
        let mut mappings = self.0.lock();
        mappings.retain(|known| !matches!(known.program, NFS_PROGRAM | mount::MOUNT_PROGRAM));
        if let Some(port) = port {
            mappings.extend(nfs_on(port));
        }
    }

    fn set(&self, mapping: Mapping) -> bool {
        let mut mappings = self.0.lock();
        let taken = |known: &Mapping| {
            (known.program, known.version, known.protocol)
                == (mapping.program, mapping.version, mapping.protocol)
        };
        let ok = mappings.len() < MAPPINGS_MAX
            && mapping.port <= u32::from(u16::MAX)
            && !mappings.iter().any(taken);
        if ok {
            mappings.push(mapping);
        }
        ok
    }

    /// Takes away all protocols of a program version, as RFC 1833 has it. Our own programs stay.
    fn unset(&self, which: Mapping) -> bool {
        if matches!(which.program, NFS_PROGRAM | mount::MOUNT_PROGRAM) {
            return false;
        }
        let mut mappings = self.0.lock();
        let before = mappings.len();
        mappings.retain(|known| (known.program, known.version) != (which.program, which.version));
        mappings.len() < before
    }

    fn port(&self, which: Mapping) -> u32 {
        let mappings = self.0.lock();
        let same = |known: &&Mapping| known.program == which.program && known.protocol == which.protocol;
        let exact = mappings.iter().filter(same).find(|known| known.version == which.version);
        exact.map_or(0, |known| known.port)
    }

    /// Answers a call to program 100000.
    pub(crate) fn answer(&self, client: IpAddr, header: &CallHeader, mut args: Reader) -> Reply {
        let mut reply = Reply::with_capacity(128);
        let refuse = |status| {
            let mut refused = Reply::with_capacity(ReplyHeader::LEN_MAX);
            ReplyHeader::Accepted(status).encode(header.xid, refused.head());
            refused
        };
        if header.program != PORTMAP_PROGRAM {
            return refuse(AcceptStatus::ProgramUnavailable);
        }
        if header.version != PORTMAP_VERSION {
            return refuse(AcceptStatus::ProgramMismatch { low: PORTMAP_VERSION, high: PORTMAP_VERSION });
        }
        ReplyHeader::SUCCESS.encode(header.xid, reply.head());
        let local = client.to_canonical().is_loopback();
        match header.procedure {
            0 => {}
            1..=3 => {
                let Ok(mapping) = Mapping::decode(&mut args) else {
                    return refuse(AcceptStatus::GarbageArguments);
                };
                match header.procedure {
                    1 => (local && self.set(mapping)).encode(reply.head()),
                    2 => (local && self.unset(mapping)).encode(reply.head()),
                    _ => self.port(mapping).encode(reply.head()),
                }
            }
            4 => List(self.0.lock().clone()).encode(reply.head()),
            _ => return refuse(AcceptStatus::ProcedureUnavailable),
        }
        reply
    }

    /// Answers whole records, TCP or UDP. `None`: not a call.
    pub(crate) fn answer_record(&self, client: IpAddr, record: Bytes) -> Option<Reply> {
        match CallHeader::decode(record) {
            Ok((header, args)) => Some(self.answer(client, &header, args)),
            Err(CallError::Garbage) => None,
            Err(CallError::Rejected(xid, why)) => {
                let mut reply = Reply::with_capacity(ReplyHeader::LEN_MAX);
                ReplyHeader::Rejected(why).encode(xid, reply.head());
                Some(reply)
            }
        }
    }
}

/// The port mapper as a service of its own, for its well-known port.
pub struct PortmapService(pub Arc<PortmapTable>);

impl Service for PortmapService {
    type Job = Infallible;
    const NAME: &'static str = "portmap";

    fn parse_mark(mark: [u8; 4]) -> Option<(usize, bool)> {
        Some(record::parse_mark(mark))
    }

    fn mark(len: usize) -> [u8; 4] {
        record::mark(len, true)
    }

    fn prepare(&self, peer: &Arc<Peer>, record: Bytes) -> Prepared<Infallible> {
        match self.0.answer_record(peer.address.ip(), record) {
            Some(reply) => Prepared::Reply(reply),
            None => Prepared::Close("not an RPC call"),
        }
    }

    async fn run(self: Arc<Self>, _: Arc<Peer>, job: Infallible) -> Option<Reply> {
        match job {}
    }

    fn closed(&self, _: &Peer) {}
}

/// Answers datagrams until the future is dropped. *Errors:* those of the socket that are not about one sender.
pub async fn serve_udp(socket: UdpSocket, table: Arc<PortmapTable>) -> io::Result<Infallible> {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An earlier reply could not be delivered; nothing is wrong with the socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let record = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
        if let Some(reply) = table.answer_record(from.ip(), record) {
            let bytes = reply.to_bytes();
            if bytes.len() <= DATAGRAM_MAX {
                let _ = socket.send_to(&bytes, from).await;
            }
        }
    }
}
