//! Every procedure's arguments and results: round trip, every truncation an error, any bytes no panic.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::mount::{DirPath, ExportEntry, HostName, MountEntry, MountReply};
use super::portmap::Mapping;
use super::*;
use bytes::{Bytes, BytesMut};
use dfs_rpc::{Decode, Encode, Reader, XdrError};
use proptest::prelude::*;
use std::fmt::Debug;

/// Encodes, decodes, and decodes every truncation. A truncation may decode only if nothing that was cut mattered, which
/// XDR does not have: it must fail.
fn check<T: Encode + Decode + PartialEq + Debug>(value: &T) {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    let full = out.freeze();
    assert_eq!(full.len() % 4, 0);
    let mut reader = Reader::new(full.clone());
    assert_eq!(&T::decode(&mut reader).unwrap(), value);
    reader.finish().unwrap();
    for cut in 0..full.len() {
        assert_eq!(T::decode(&mut Reader::new(full.slice(..cut))), Err(XdrError::Truncated), "cut at {cut}");
    }
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn handle() -> impl Strategy<Value = Handle> {
    bytes(64).prop_map(Handle)
}

fn name() -> impl Strategy<Value = FileName> {
    bytes(260).prop_map(FileName)
}

fn time() -> impl Strategy<Value = Time3> {
    any::<(u32, u32)>().prop_map(|(seconds, nanos)| Time3 { seconds, nanos })
}

fn set_time() -> impl Strategy<Value = SetTime> {
    prop_oneof![Just(SetTime::Keep), Just(SetTime::Server), time().prop_map(SetTime::Client)]
}

fn set_attributes() -> impl Strategy<Value = SetAttributes> {
    let ids = any::<(Option<u32>, Option<u32>, Option<u32>, Option<u64>)>();
    (ids, set_time(), set_time()).prop_map(|((mode, uid, gid, size), atime, mtime)| SetAttributes {
        mode,
        uid,
        gid,
        size,
        atime,
        mtime,
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    use FileType as F;
    let kind = prop::sample::select(vec![
        F::Regular,
        F::Directory,
        F::Block,
        F::Character,
        F::Symlink,
        F::Socket,
        F::Fifo,
    ]);
    let numbers = any::<(u32, u32, u32, u32, u64, u64, u32, u32, u64, u64)>();
    (kind, numbers, time(), time(), time()).prop_map(|(kind, n, atime, mtime, ctime)| Attributes {
        kind,
        mode: n.0,
        nlink: n.1,
        uid: n.2,
        gid: n.3,
        size: n.4,
        used: n.5,
        device: Device3 { major: n.6, minor: n.7 },
        fsid: n.8,
        fileid: n.9,
        atime,
        mtime,
        ctime,
    })
}

fn post_op() -> impl Strategy<Value = PostOp> {
    prop::option::of(attributes())
}

fn wcc() -> impl Strategy<Value = WccData> {
    let before =
        (any::<u64>(), time(), time()).prop_map(|(size, mtime, ctime)| WccAttributes { size, mtime, ctime });
    (prop::option::of(before), post_op()).prop_map(|(before, after)| WccData { before, after })
}

fn failure() -> impl Strategy<Value = Status> {
    prop::sample::select(
        Status::ALL.iter().copied().filter(|status| *status != Status::Ok).collect::<Vec<_>>(),
    )
}

fn outcome<G: Debug + Clone, B: Debug + Clone>(
    good: impl Strategy<Value = G>,
    bad: impl Strategy<Value = B>,
) -> impl Strategy<Value = Outcome<G, B>> {
    prop_oneof![
        good.prop_map(Outcome::Ok),
        (failure(), bad).prop_map(|(status, bad)| Outcome::Fail(status, bad))
    ]
}

fn place() -> impl Strategy<Value = DirOp> {
    (handle(), name()).prop_map(|(dir, name)| DirOp { dir, name })
}

fn verifier() -> impl Strategy<Value = Verifier> {
    any::<[u8; 8]>().prop_map(Verifier)
}

fn stable() -> impl Strategy<Value = Stable> {
    prop::sample::select(vec![Stable::Unstable, Stable::DataSync, Stable::FileSync])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn arguments_about_objects_round_trip(
        object in handle(), attributes in set_attributes(), guard in prop::option::of(time()),
        access: u32, offset: u64, count: u32, stable in stable(), data in bytes(300), cookie: u64, verifier in verifier(),
        dircount: u32,
    ) {
        check(&object);
        check(&SetAttrArgs { object: object.clone(), attributes, guard });
        check(&AccessArgs { object: object.clone(), access });
        check(&ReadArgs { file: object.clone(), offset, count });
        check(&WriteArgs { file: object.clone(), offset, count, stable, data: Data(data) });
        check(&ReadDirArgs { dir: object.clone(), cookie, verifier, count });
        check(&ReadDirPlusArgs { dir: object.clone(), cookie, verifier, dircount, maxcount: count });
        check(&CommitArgs { file: object, offset, count });
    }

    #[test]
    fn arguments_about_names_round_trip(
        from in place(), to in place(), attributes in set_attributes(), verifier in verifier(), target in bytes(1024),
        major: u32, minor: u32, other in 8u32..,
    ) {
        check(&from);
        for how in [
            CreateHow::Unchecked(attributes.clone()), CreateHow::Guarded(attributes.clone()), CreateHow::Exclusive(verifier),
        ] {
            check(&CreateArgs { place: from.clone(), how });
        }
        check(&MkdirArgs { place: from.clone(), attributes: attributes.clone() });
        check(&SymlinkArgs { place: from.clone(), attributes: attributes.clone(), target: Path(target) });
        let device = Device3 { major, minor };
        for what in [
            MknodWhat::Block(attributes.clone(), device), MknodWhat::Character(attributes.clone(), device),
            MknodWhat::Socket(attributes.clone()), MknodWhat::Fifo(attributes.clone()), MknodWhat::Other(other),
        ] {
            check(&MknodArgs { place: from.clone(), what });
        }
        check(&LinkArgs { file: from.dir.clone(), place: to.clone() });
        check(&RenameArgs { from, to });
    }

    #[test]
    fn results_about_objects_round_trip(
        get in outcome(attributes(), Just(())),
        set in outcome(wcc(), wcc()),
        access in outcome((post_op(), any::<u32>()).prop_map(|(attributes, access)| AccessOk { attributes, access }), post_op()),
        link in outcome((post_op(), bytes(900)).prop_map(|(attributes, target)| ReadLinkOk { attributes, target: Path(target) }), post_op()),
        read in outcome((post_op(), any::<bool>(), bytes(500)).prop_map(|(attributes, eof, data)|
            ReadOk { attributes, count: data.len() as u32, eof, data: Data(data) }), post_op()),
        write in outcome((wcc(), any::<u32>(), stable(), verifier()).prop_map(|(wcc, count, committed, verifier)|
            WriteOk { wcc, count, committed, verifier }), wcc()),
        commit in outcome((wcc(), verifier()).prop_map(|(wcc, verifier)| CommitOk { wcc, verifier }), wcc()),
    ) {
        check(&get);
        check(&set);
        check(&access);
        check(&link);
        check(&read);
        check(&write);
        check(&commit);
    }

    #[test]
    fn results_about_names_round_trip(
        lookup in outcome((handle(), post_op(), post_op()).prop_map(|(object, attributes, dir)| LookupOk { object, attributes, dir }), post_op()),
        new in outcome((prop::option::of(handle()), post_op(), wcc()).prop_map(|(object, attributes, dir)|
            NewObjectOk { object, attributes, dir }), wcc()),
        rename in (wcc(), wcc()).prop_map(|(from, to)| RenameWcc { from, to }),
        link in (post_op(), wcc()).prop_map(|(attributes, dir)| LinkWcc { attributes, dir }),
        dir in post_op(), verifier in verifier(), eof: bool, status in failure(),
        entries in prop::collection::vec((any::<u64>(), name(), any::<u64>(), post_op(), prop::option::of(handle())), 0..5),
    ) {
        check(&lookup);
        check(&new);
        check(&RenameReply::Ok(rename.clone()));
        check(&RenameReply::Fail(status, rename));
        check(&LinkReply::Ok(link.clone()));
        check(&LinkReply::Fail(status, link));
        let plain = entries.iter().map(|e| Entry { fileid: e.0, name: e.1.clone(), cookie: e.2 }).collect();
        check(&ReadDirReply::Ok(ReadDirOk { dir: dir.clone(), verifier, entries: List(plain), eof }));
        let plus = entries.into_iter().map(|(fileid, name, cookie, attributes, handle)|
            EntryPlus { fileid, name, cookie, attributes, handle }).collect();
        check(&ReadDirPlusReply::Ok(ReadDirPlusOk { dir: dir.clone(), verifier, entries: List(plus), eof }));
        check(&ReadDirPlusReply::Fail(status, dir));
    }

    #[test]
    fn results_about_the_share_round_trip(attributes in post_op(), n: [u64; 6], m: [u32; 8], flags: [bool; 4]) {
        check(&FsStatReply::Ok(FsStatOk {
            attributes: attributes.clone(), total_bytes: n[0], free_bytes: n[1], available_bytes: n[2], total_files: n[3],
            free_files: n[4], available_files: n[5], invariant: m[0],
        }));
        check(&FsInfoReply::Ok(FsInfoOk {
            attributes: attributes.clone(), read_max: m[0], read_preferred: m[1], read_multiple: m[2], write_max: m[3],
            write_preferred: m[4], write_multiple: m[5], readdir_preferred: m[6], file_size_max: n[0],
            time_delta: Time3 { seconds: 0, nanos: 1 }, properties: m[7],
        }));
        check(&PathConfReply::Ok(PathConfOk {
            attributes, links_max: m[0], name_max: m[1], no_truncation: flags[0], chown_restricted: flags[1],
            case_insensitive: flags[2], case_preserving: flags[3],
        }));
    }

    #[test]
    fn mount_and_portmap_round_trip(
        path in bytes(300), host in bytes(255), handle in handle(), flavors in prop::collection::vec(any::<u32>(), 0..=32),
        n: [u32; 4],
    ) {
        let (path, host) = (DirPath(path), HostName(host));
        check(&path);
        check(&MountReply::Ok { handle, flavors });
        for status in MountStatus::ALL.iter().filter(|status| **status != MountStatus::Ok) {
            check(&MountReply::Fail(*status));
        }
        check(&List(vec![MountEntry { host: host.clone(), path: path.clone() }]));
        check(&List(vec![ExportEntry { path, groups: List(vec![host.clone(), host]) }]));
        let mapping = Mapping { program: n[0], version: n[1], protocol: n[2], port: n[3] };
        check(&mapping);
        check(&List(vec![mapping, mapping]));
    }

    #[test]
    fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        fn both<P: Procedure>(bytes: &Bytes) {
            let _ = P::Args::decode(&mut Reader::new(bytes.clone()));
            let _ = P::Reply::decode(&mut Reader::new(bytes.clone()));
        }
        both::<nfs3::SetAttr>(&bytes);
        both::<nfs3::Lookup>(&bytes);
        both::<nfs3::Write>(&bytes);
        both::<nfs3::Create>(&bytes);
        both::<nfs3::Symlink>(&bytes);
        both::<nfs3::Mknod>(&bytes);
        both::<nfs3::Rename>(&bytes);
        both::<nfs3::ReadDir>(&bytes);
        both::<nfs3::ReadDirPlus>(&bytes);
        both::<mount::Mount>(&bytes);
        both::<mount::Export>(&bytes);
        both::<portmap::PortmapDump>(&bytes);
    }
}

#[test]
fn handle_longer_than_64_bytes_is_refused() {
    let mut out = BytesMut::new();
    Handle(Bytes::from(vec![0; 65])).encode(&mut out);
    assert_eq!(Handle::decode(&mut Reader::new(out.freeze())), Err(XdrError::TooLong { len: 65, max: 64 }));
}

#[test]
fn getattr_reply_has_the_layout_of_rfc_1813() {
    let attributes = Attributes {
        kind: FileType::Regular,
        mode: 0o644,
        nlink: 1,
        uid: 2,
        gid: 3,
        size: 4,
        used: 5,
        device: Device3 { major: 6, minor: 7 },
        fsid: 8,
        fileid: 9,
        atime: Time3 { seconds: 10, nanos: 11 },
        mtime: Time3 { seconds: 12, nanos: 13 },
        ctime: Time3 { seconds: 14, nanos: 15 },
    };
    let mut out = BytesMut::new();
    GetAttrReply::Ok(attributes).encode(&mut out);
    let words: Vec<u32> = out.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
    let expected = [0, 1, 0o644, 1, 2, 3, 0, 4, 0, 5, 6, 7, 0, 8, 0, 9, 10, 11, 12, 13, 14, 15];
    assert_eq!(words, expected);
}
