//! The stream and RPC level: cut records, refusals, pipelining, repeats, drain, portmap.

use super::*;
use crate::client::encode_call;
use crate::portmap::{PortmapService, PortmapTable, serve_udp};
use crate::wire::portmap::{GetPort, Mapping, PortmapDump, Set, TCP, UDP, Unset};
use crate::wire::*;
use bytes::{Bytes, BytesMut};
use dfs_rpc::{
    AcceptStatus, AuthStatus, Encode, Flavor, OpaqueAuth, Reader, Rejected, ReplyHeader, message::plain_call,
    record,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

async fn receive(stream: &mut TcpStream) -> Bytes {
    let len = stream.read_u32().await.unwrap() & 0x7fff_ffff;
    let mut bytes = vec![0; len as usize];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes.into()
}

#[tokio::test]
async fn call_cut_at_every_byte_is_answered() {
    let fixture = Fixture::start().await;
    let (_, root) = fixture.mounted(1).await;
    let mut bytes = BytesMut::new();
    encode_call::<nfs3::GetAttr>(9, &OpaqueAuth::NONE, &root, &mut bytes);
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for cut in 0..bytes.len() {
        stream.write_all(&bytes[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(&bytes[cut..]).await.unwrap();
        let (xid, header, _) = ReplyHeader::decode(receive(&mut stream).await).unwrap();
        assert_eq!((xid, header), (9, ReplyHeader::SUCCESS), "cut at {cut}");
    }
}

#[tokio::test]
async fn oversized_record_and_reply_sent_to_the_server_close_the_connection() {
    let fixture = Fixture::start().await;
    let mut reply = BytesMut::new();
    ReplyHeader::SUCCESS.encode(1, &mut reply);
    let reply = [&record::mark(reply.len(), true)[..], &reply].concat();
    for bytes in [record::mark((1 << 20) + (64 << 10) + 1, true).to_vec(), reply] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn calls_that_cannot_run_are_refused_as_rfc_5531_says() {
    let fixture = Fixture::start().await;
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    let gss = OpaqueAuth { flavor: Flavor::GSS, body: Bytes::new() };
    let short = OpaqueAuth { flavor: Flavor::SYS, body: Bytes::from_static(&[0; 8]) };
    let (_, root) = fixture.mounted(1).await;
    let mut handle = BytesMut::new();
    root.encode(&mut handle);
    let mismatch = AcceptStatus::ProgramMismatch { low: 3, high: 3 };
    let bad = ReplyHeader::Rejected(Rejected::Auth(AuthStatus::BadCredential));
    let cases = [
        (plain_call(1, 200_000, 3, 0), ReplyHeader::Accepted(AcceptStatus::ProgramUnavailable)),
        (plain_call(2, 100_000, 2, 0), ReplyHeader::Accepted(AcceptStatus::ProgramUnavailable)),
        (plain_call(3, NFS_PROGRAM, 4, 0), ReplyHeader::Accepted(mismatch)),
        (plain_call(4, NFS_PROGRAM, 3, 22), ReplyHeader::Accepted(AcceptStatus::ProcedureUnavailable)),
        (plain_call(5, NFS_PROGRAM, 3, 6), ReplyHeader::Accepted(AcceptStatus::GarbageArguments)),
        (plain_call(6, mount::MOUNT_PROGRAM, 1, 0), ReplyHeader::Accepted(mismatch)),
        (
            plain_call(7, mount::MOUNT_PROGRAM, 3, 6),
            ReplyHeader::Accepted(AcceptStatus::ProcedureUnavailable),
        ),
        (dfs_rpc::CallHeader { credential: gss, ..plain_call(8, NFS_PROGRAM, 3, 1) }, bad),
        (dfs_rpc::CallHeader { credential: short, ..plain_call(9, NFS_PROGRAM, 3, 1) }, bad),
    ];
    for (call, expected) in cases {
        let mut bytes = BytesMut::new();
        call.encode(&mut bytes);
        if call.procedure != 6 {
            bytes.extend_from_slice(&handle);
        }
        stream.write_all(&record::mark(bytes.len(), true)).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let (xid, header, results) = ReplyHeader::decode(receive(&mut stream).await).unwrap();
        assert_eq!((xid, header, results.left()), (call.xid, expected, 0));
    }
}

#[tokio::test]
async fn thousand_pipelined_calls_of_many_kinds_each_get_their_own_reply() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let mut files = Vec::new();
    for n in 0..10u8 {
        let object = file(&mut pipe, &root, &format!("f{n}")).await;
        let data = Data(Bytes::from(vec![n; 10_000]));
        let args =
            WriteArgs { file: object.clone(), offset: 0, count: 10_000, stable: Stable::Unstable, data };
        pipe.call::<nfs3::Write>(&args).await.unwrap().ok().unwrap();
        files.push(object);
    }
    let mut sent = std::collections::HashMap::new();
    for n in 0..1000usize {
        let which = n % 10;
        let xid = match n % 3 {
            0 => pipe.send::<nfs3::GetAttr>(&files[which]),
            1 => pipe.send::<nfs3::Read>(&ReadArgs { file: files[which].clone(), offset: 0, count: 10_000 }),
            _ => pipe.send::<nfs3::Lookup>(&place(&root, &format!("f{which}"))),
        };
        sent.insert(xid, n);
    }
    for _ in 0..1000 {
        let arrived = pipe.receive().await.unwrap();
        let n = sent.remove(&arrived.xid).unwrap();
        let which = n % 10;
        match n % 3 {
            0 => assert_eq!(arrived.decode::<nfs3::GetAttr>().unwrap().ok().unwrap().size, 10_000),
            1 => {
                let read = arrived.decode::<nfs3::Read>().unwrap().ok().unwrap();
                assert_eq!(read.data.0, vec![which as u8; 10_000]);
            }
            _ => assert_eq!(arrived.decode::<nfs3::Lookup>().unwrap().ok().unwrap().object, files[which]),
        }
    }
    assert!(sent.is_empty());
}

/// Sends the same call twice under one xid, then under another; the first two replies must be the same bytes.
async fn repeat<P: Procedure>(pipe: &mut Pipe, xid: u32, args: &P::Args) -> (P::Reply, P::Reply) {
    let mut replies = Vec::new();
    for xid in [xid, xid, xid + 500_000] {
        pipe.send_as::<P>(xid, args);
        replies.push(pipe.receive_for(xid).await.unwrap());
    }
    let third = replies.pop().unwrap();
    let second = replies.pop().unwrap();
    let first = replies.pop().unwrap();
    assert_eq!(first.results.rest(), second.results.rest());
    (second.decode::<P>().unwrap(), third.decode::<P>().unwrap())
}

#[tokio::test]
async fn repeats_of_name_operations_get_the_first_reply_and_new_calls_do_not() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let guarded = CreateArgs { place: place(&root, "a"), how: CreateHow::Guarded(mode(0o644)) };
    let (again, new) = repeat::<nfs3::Create>(&mut pipe, 9001, &guarded).await;
    assert_eq!((again.status(), new.status()), (Status::Ok, Status::Exist));
    let made = MkdirArgs { place: place(&root, "d"), attributes: mode(0o755) };
    let (again, new) = repeat::<nfs3::Mkdir>(&mut pipe, 9002, &made).await;
    assert_eq!((again.status(), new.status()), (Status::Ok, Status::Exist));
    let rename = RenameArgs { from: place(&root, "a"), to: place(&root, "b") };
    let (again, new) = repeat::<nfs3::Rename>(&mut pipe, 9003, &rename).await;
    assert_eq!((again.status(), new.status()), (Status::Ok, Status::NoEnt));
    let (again, new) = repeat::<nfs3::Remove>(&mut pipe, 9004, &place(&root, "b")).await;
    assert_eq!((again.status(), new.status()), (Status::Ok, Status::NoEnt));
    let (again, new) = repeat::<nfs3::Rmdir>(&mut pipe, 9005, &place(&root, "d")).await;
    assert_eq!((again.status(), new.status()), (Status::Ok, Status::NoEnt));
}

#[tokio::test]
async fn repeat_over_a_new_connection_gets_the_first_reply_and_another_user_does_not() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let args = MkdirArgs { place: place(&root, "d"), attributes: mode(0o755) };
    pipe.send_as::<nfs3::Mkdir>(77, &args);
    pipe.receive_for(77).await.unwrap().decode::<nfs3::Mkdir>().unwrap().ok().unwrap();
    drop(pipe);
    tokio::time::timeout(Duration::from_secs(20), async {
        while fixture.server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    for (uid, status) in [(1, Status::Ok), (2, Status::Exist)] {
        let mut pipe = fixture.user(uid).await;
        pipe.send_as::<nfs3::Mkdir>(77, &args);
        let reply = pipe.receive_for(77).await.unwrap().decode::<nfs3::Mkdir>().unwrap();
        assert_eq!(reply.status(), status, "uid {uid}");
    }
}

/// A user of a machine.
fn user_of(machine: &'static str) -> dfs_rpc::OpaqueAuth {
    let machine = bytes::Bytes::from_static(machine.as_bytes());
    dfs_rpc::AuthSys { stamp: 0, machine, uid: 1, gid: 1, gids: vec![1] }.to_auth()
}

async fn made(pipe: &mut Pipe, args: &MkdirArgs) -> Status {
    pipe.send_as::<nfs3::Mkdir>(77, args);
    pipe.receive_for(77).await.unwrap().decode::<nfs3::Mkdir>().unwrap().status()
}

#[tokio::test]
async fn equal_calls_of_two_machines_behind_one_address_are_two_calls() {
    let fixture = Fixture::start().await;
    let (mut one, root) = fixture.mounted(1).await;
    let mut two = fixture.user(1).await;
    let args = MkdirArgs { place: place(&root, "d"), attributes: mode(0o755) };
    // While both live, not even the machine's name tells them apart; afterwards that does.
    for round in 0..2 {
        assert_eq!(made(&mut one, &args).await, Status::Ok, "round {round}");
        assert_eq!(made(&mut two, &args).await, Status::Exist, "round {round}");
    }
    drop((one, two));
    while fixture.server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    let mut other = fixture.user(1).await;
    other.set_credential(user_of("another"));
    assert_eq!(made(&mut other, &args).await, Status::Exist);
    let mut again = fixture.user(1).await;
    assert_eq!(made(&mut again, &args).await, Status::Ok, "the first machine after a reconnect");
}

#[tokio::test]
async fn share_that_is_down_makes_its_clients_wait_and_its_mounts_fail_clearly() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let down = crate::exports::ShareDown { id: Some(fixture.export.id), name: "docs".to_owned() };
    fixture.exports.set(Vec::new(), vec![down]);
    let answer = pipe.call::<nfs3::GetAttr>(&root).await.unwrap();
    assert_eq!(answer.status(), Status::Jukebox);
    assert_eq!(mount_status(pipe.mount("/docs").await), crate::wire::MountStatus::Io);
    assert_eq!(mount_status(pipe.mount("/other").await), crate::wire::MountStatus::NoEnt);
    fixture.exports.set(vec![fixture.export.clone()], Vec::new());
    attributes(&mut pipe, &root).await;
}

#[tokio::test]
async fn drain_answers_what_was_asked_and_closes() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    attributes(&mut pipe, &root).await;
    let report = fixture.server.drain(Duration::from_secs(20)).await;
    assert_eq!((report.connections, report.late.len(), report.requests_running), (1, 0, 0));
    assert!(pipe.call::<nfs3::GetAttr>(&root).await.is_err());
}

#[tokio::test]
async fn portmap_answers_over_tcp_and_udp_and_forwards_nothing() {
    let limits = Limits::default();
    let table = PortmapTable::with_nfs(12049);
    let service = Arc::new(PortmapService(table.clone()));
    let server =
        Server::bind("127.0.0.1:0".parse().unwrap(), limits, Pool::new(&limits), service).await.unwrap();
    let mut pipe = Pipe::connect(server.local_addr(), OpaqueAuth::NONE, 1).await.unwrap();
    let nfs = Mapping { program: NFS_PROGRAM, version: 3, protocol: TCP, port: 0 };
    assert_eq!(pipe.call::<GetPort>(&nfs).await.unwrap(), 12049);
    assert_eq!(pipe.call::<GetPort>(&Mapping { protocol: UDP, ..nfs }).await.unwrap(), 0);
    let other = Mapping { program: 300_000, version: 1, protocol: UDP, port: 999 };
    assert!(pipe.call::<Set>(&other).await.unwrap());
    assert!(!pipe.call::<Set>(&other).await.unwrap());
    assert_eq!(pipe.call::<PortmapDump>(&()).await.unwrap().0.len(), 3);
    assert!(pipe.call::<Unset>(&other).await.unwrap());
    assert!(!pipe.call::<Unset>(&nfs).await.unwrap());

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serving = tokio::spawn(serve_udp(socket, table));
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = [0; 1500];
    for (procedure, expected) in
        [(3, ReplyHeader::SUCCESS), (5, ReplyHeader::Accepted(AcceptStatus::ProcedureUnavailable))]
    {
        let mut call = BytesMut::new();
        plain_call(5, 100_000, 2, procedure).encode(&mut call);
        nfs.encode(&mut call);
        client.send_to(&call, address).await.unwrap();
        let (len, _) = client.recv_from(&mut buffer).await.unwrap();
        let (xid, header, results) = ReplyHeader::decode(Bytes::copy_from_slice(&buffer[..len])).unwrap();
        assert_eq!((xid, header), (5, expected));
        if expected == ReplyHeader::SUCCESS {
            assert_eq!(Reader::new(results.rest()).u32().unwrap(), 12049);
        }
    }
    serving.abort();
}
