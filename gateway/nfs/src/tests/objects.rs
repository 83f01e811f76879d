//! Procedures about one object: attributes, bytes, access, limits.

use super::*;
use crate::wire::*;
use bytes::Bytes;

#[tokio::test]
async fn getattr_and_setattr_show_what_was_set_and_guard_refuses_an_old_ctime() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let object = file(&mut pipe, &root, "f").await;
    let before = attributes(&mut pipe, &object).await;
    assert_eq!(
        (before.kind, before.mode, before.nlink, before.fsid),
        (FileType::Regular, 0o644, 1, fixture.export.fsid)
    );
    let set = SetAttributes {
        mode: Some(0o4755),
        uid: Some(12),
        gid: Some(13),
        size: Some(99),
        atime: SetTime::Client(Time3 { seconds: u32::MAX, nanos: 7 }),
        mtime: SetTime::Client(Time3 { seconds: 5, nanos: 999_999_999 }),
    };
    let args = SetAttrArgs { object: object.clone(), attributes: set.clone(), guard: Some(before.ctime) };
    let wcc = pipe.call::<nfs3::SetAttr>(&args).await.unwrap().ok().unwrap();
    assert_eq!(wcc.before.unwrap().ctime, before.ctime);
    let after = attributes(&mut pipe, &object).await;
    assert_eq!(wcc.after, Some(after.clone()));
    // A change of owner takes set-user-id away, even where the same call sets it.
    assert_eq!((after.mode, after.uid, after.gid, after.size), (0o755, 12, 13, 99));
    assert_eq!(after.atime, Time3 { seconds: u32::MAX, nanos: 7 });
    assert_eq!(after.mtime, Time3 { seconds: 5, nanos: 999_999_999 });
    assert!(after.ctime > before.ctime);

    let (status, wcc) = refused(pipe.call::<nfs3::SetAttr>(&args).await.unwrap());
    assert_eq!(status, Status::NotSync);
    assert_untouched(&mut pipe, &object, &wcc).await;
    let bad = SetAttributes { mtime: SetTime::Client(Time3 { seconds: 5, nanos: 1_000_000_000 }), ..set };
    let args = SetAttrArgs { object: object.clone(), attributes: bad, guard: None };
    let (status, wcc) = refused(pipe.call::<nfs3::SetAttr>(&args).await.unwrap());
    assert_eq!(status, Status::Inval);
    assert_untouched(&mut pipe, &object, &wcc).await;
}

#[tokio::test]
async fn bytes_written_are_read_back_in_any_size_and_place() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let object = file(&mut pipe, &root, "f").await;
    let content: Bytes = (0..(1u32 << 20)).map(|n| ((n * 31) >> 3) as u8).collect::<Vec<_>>().into();
    let mut verifier = None;
    for (offset, len, stable) in
        [(0, 3, Stable::Unstable), (3, 4096, Stable::DataSync), (4099, (1 << 20) - 4099, Stable::FileSync)]
    {
        let data = Data(content.slice(offset..offset + len));
        let args = WriteArgs { file: object.clone(), offset: offset as u64, count: len as u32, stable, data };
        let written = pipe.call::<nfs3::Write>(&args).await.unwrap().ok().unwrap();
        assert_eq!(written.count as usize, len);
        assert!(written.committed as u32 >= stable as u32);
        assert_eq!(written.wcc.before.unwrap().size, offset as u64);
        assert_eq!(written.wcc.after.unwrap().size, (offset + len) as u64);
        assert_eq!(*verifier.get_or_insert(written.verifier), written.verifier);
    }
    let commit = CommitArgs { file: object.clone(), offset: 0, count: 0 };
    assert_eq!(pipe.call::<nfs3::Commit>(&commit).await.unwrap().ok().unwrap().verifier, verifier.unwrap());
    for (offset, count) in
        [(0u64, 1u32 << 20), (1, 3), (5000, 5000), ((1 << 20) - 1, 10), (1 << 20, 10), (1 << 40, 10)]
    {
        let args = ReadArgs { file: object.clone(), offset, count };
        let read = pipe.call::<nfs3::Read>(&args).await.unwrap().ok().unwrap();
        let from = (offset as usize).min(content.len());
        let to = (from + count as usize).min(content.len());
        assert_eq!(read.data.0, content.slice(from..to), "{offset} {count}");
        assert_eq!((read.count as usize, read.eof), (to - from, to == content.len()));
    }
}

#[tokio::test]
async fn reads_and_writes_that_cannot_be_are_refused_with_attributes() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let object = file(&mut pipe, &root, "f").await;
    let write = |file: &Handle, offset, count, data: &'static [u8]| WriteArgs {
        file: file.clone(),
        offset,
        count,
        stable: Stable::Unstable,
        data: Data(Bytes::from_static(data)),
    };
    let (status, wcc) = refused(pipe.call::<nfs3::Write>(&write(&object, 0, 5, b"four")).await.unwrap());
    assert_eq!(status, Status::Inval);
    assert_untouched(&mut pipe, &object, &wcc).await;
    let (status, wcc) =
        refused(pipe.call::<nfs3::Write>(&write(&object, u64::MAX - 1, 4, b"four")).await.unwrap());
    assert_eq!(status, Status::Fbig);
    assert_untouched(&mut pipe, &object, &wcc).await;
    let (status, wcc) = refused(pipe.call::<nfs3::Write>(&write(&root, 0, 4, b"four")).await.unwrap());
    assert!(matches!(status, Status::IsDir | Status::Inval), "{status:?}");
    assert_untouched(&mut pipe, &root, &wcc).await;
    let args = ReadArgs { file: root.clone(), offset: 0, count: 10 };
    let (status, after) = refused(pipe.call::<nfs3::Read>(&args).await.unwrap());
    assert!(matches!(status, Status::IsDir | Status::Inval), "{status:?}");
    assert_eq!(after, Some(attributes(&mut pipe, &root).await));

    let mut other = fixture.user(2).await;
    let (status, wcc) = refused(other.call::<nfs3::Write>(&write(&object, 0, 4, b"four")).await.unwrap());
    assert_eq!(status, Status::Acces);
    assert_untouched(&mut pipe, &object, &wcc).await;
}

#[tokio::test]
async fn access_grants_by_mode_and_only_bits_that_make_sense() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let object = file(&mut pipe, &root, "f").await;
    let all = AccessArgs { object: object.clone(), access: 0x3f };
    let mine = pipe.call::<nfs3::Access>(&all).await.unwrap().ok().unwrap();
    assert_eq!(mine.access, access::READ | access::MODIFY | access::EXTEND);
    let mut other = fixture.user(2).await;
    assert_eq!(other.call::<nfs3::Access>(&all).await.unwrap().ok().unwrap().access, access::READ);
    let dir = AccessArgs { object: root, access: 0x3f };
    let of_dir = other.call::<nfs3::Access>(&dir).await.unwrap().ok().unwrap().access;
    assert_eq!(of_dir, access::READ | access::LOOKUP | access::MODIFY | access::EXTEND | access::DELETE);
}

#[tokio::test]
async fn limits_are_told() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let info = pipe.call::<nfs3::FsInfo>(&root).await.unwrap().ok().unwrap();
    assert_eq!((info.read_max, info.write_max), (1 << 20, 1 << 20));
    assert_eq!(info.time_delta, Time3 { seconds: 0, nanos: 1 });
    assert!(info.file_size_max >= 1 << 44);
    let stat = pipe.call::<nfs3::FsStat>(&root).await.unwrap().ok().unwrap();
    assert!(
        stat.total_bytes >= stat.free_bytes
            && stat.free_bytes >= stat.available_bytes
            && stat.total_bytes > 0
    );
    let conf = pipe.call::<nfs3::PathConf>(&root).await.unwrap().ok().unwrap();
    assert_eq!((conf.name_max, conf.no_truncation, conf.case_preserving), (255, true, true));
    pipe.call::<nfs3::Null>(&()).await.unwrap();
}

#[tokio::test]
async fn forged_stale_and_foreign_handles_are_refused_by_every_procedure() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let gone = file(&mut pipe, &root, "gone").await;
    pipe.call::<nfs3::Remove>(&place(&root, "gone")).await.unwrap().ok().unwrap();
    let mut flipped = root.0.to_vec();
    flipped[20] ^= 1;
    let mut foreign = root.0.to_vec();
    foreign[3] ^= 1;
    let cases = [
        (Handle(Bytes::new()), Status::BadHandle),
        (Handle(Bytes::from(vec![1; 64])), Status::BadHandle),
        (Handle(flipped.into()), Status::BadHandle),
        (Handle(foreign.into()), Status::Stale),
        (gone, Status::Stale),
    ];
    for (handle, expected) in cases {
        assert_eq!(refused(pipe.call::<nfs3::GetAttr>(&handle).await.unwrap()).0, expected);
        assert_eq!(refused(pipe.call::<nfs3::FsInfo>(&handle).await.unwrap()).0, expected);
        let read = ReadArgs { file: handle.clone(), offset: 0, count: 1 };
        assert_eq!(refused(pipe.call::<nfs3::Read>(&read).await.unwrap()).0, expected);
        let renamed = RenameArgs { from: place(&handle, "a"), to: place(&handle, "b") };
        let (status, wcc) = refused(pipe.call::<nfs3::Rename>(&renamed).await.unwrap());
        assert_eq!((status, wcc), (expected, RenameWcc::default()));
        let link = LinkArgs { file: handle.clone(), place: place(&root, "l") };
        assert_eq!(refused(pipe.call::<nfs3::Link>(&link).await.unwrap()).0, expected);
        let made = MkdirArgs { place: place(&handle, "d"), attributes: mode(0o755) };
        assert_eq!(refused(pipe.call::<nfs3::Mkdir>(&made).await.unwrap()).0, expected);
    }
}
