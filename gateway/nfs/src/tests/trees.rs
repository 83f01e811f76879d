//! Procedures about names and listings.

use super::*;
use crate::wire::*;
use bytes::Bytes;

#[tokio::test]
async fn every_kind_is_made_looked_up_and_removed() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let mut made = Vec::new();
    let args = MkdirArgs { place: place(&root, "dir"), attributes: mode(0o750) };
    made.push(("dir", FileType::Directory, pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap()));
    let args =
        SymlinkArgs {
            place: place(&root, "link"), attributes: mode(0o777), target: Path::from("../to/där")
        };
    made.push(("link", FileType::Symlink, pipe.call::<nfs3::Symlink>(&args).await.unwrap().ok().unwrap()));
    let device = Device3 { major: 4, minor: 64 };
    for (name, kind, what) in [
        ("block", FileType::Block, MknodWhat::Block(mode(0o600), device)),
        ("char", FileType::Character, MknodWhat::Character(mode(0o600), device)),
        ("sock", FileType::Socket, MknodWhat::Socket(mode(0o600))),
        ("fifo", FileType::Fifo, MknodWhat::Fifo(mode(0o600))),
    ] {
        let args = MknodArgs { place: place(&root, name), what };
        made.push((name, kind, pipe.call::<nfs3::Mknod>(&args).await.unwrap().ok().unwrap()));
    }
    for (name, kind, new) in made {
        let handle = new.object.unwrap();
        let shown = attributes(&mut pipe, &handle).await;
        assert_eq!((shown.kind, Some(&shown)), (kind, new.attributes.as_ref()), "{name}");
        assert_ne!(new.dir.before.unwrap().mtime, new.dir.after.unwrap().mtime, "{name}");
        if matches!(kind, FileType::Block | FileType::Character) {
            assert_eq!(shown.device, device);
        }
        let found = pipe.call::<nfs3::Lookup>(&place(&root, name)).await.unwrap().ok().unwrap();
        assert_eq!((found.object, found.attributes), (handle.clone(), Some(shown)));
        if kind == FileType::Symlink {
            let read = pipe.call::<nfs3::ReadLink>(&handle).await.unwrap().ok().unwrap();
            assert_eq!(read.target, Path::from("../to/där"));
        } else {
            assert_eq!(refused(pipe.call::<nfs3::ReadLink>(&handle).await.unwrap()).0, Status::Inval);
        }
        let removed = if kind == FileType::Directory {
            let (status, wcc) = refused(pipe.call::<nfs3::Remove>(&place(&root, name)).await.unwrap());
            assert!(matches!(status, Status::IsDir | Status::Perm), "{status:?}");
            assert_untouched(&mut pipe, &root, &wcc).await;
            pipe.call::<nfs3::Rmdir>(&place(&root, name)).await
        } else {
            let (status, wcc) = refused(pipe.call::<nfs3::Rmdir>(&place(&root, name)).await.unwrap());
            assert_eq!(status, Status::NotDir);
            assert_untouched(&mut pipe, &root, &wcc).await;
            pipe.call::<nfs3::Remove>(&place(&root, name)).await
        };
        let wcc = removed.unwrap().ok().unwrap();
        assert_eq!(wcc.after, Some(attributes(&mut pipe, &root).await));
        assert_eq!(refused(pipe.call::<nfs3::Lookup>(&place(&root, name)).await.unwrap()).0, Status::NoEnt);
    }
    let args = MknodArgs { place: place(&root, "x"), what: MknodWhat::Other(1) };
    assert_eq!(refused(pipe.call::<nfs3::Mknod>(&args).await.unwrap()).0, Status::BadType);
}

#[tokio::test]
async fn create_modes_treat_an_existing_file_as_rfc_1813_says() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let how = |how| CreateArgs { place: place(&root, "f"), how };
    let exclusive = how(CreateHow::Exclusive(Verifier(*b"verifier")));
    let first = pipe.call::<nfs3::Create>(&exclusive).await.unwrap().ok().unwrap().object;
    let again = pipe.call::<nfs3::Create>(&exclusive).await.unwrap().ok().unwrap().object;
    assert_eq!(first, again);
    for other in [how(CreateHow::Exclusive(Verifier(*b"another "))), how(CreateHow::Guarded(mode(0o600)))] {
        let (status, wcc) = refused(pipe.call::<nfs3::Create>(&other).await.unwrap());
        assert_eq!(status, Status::Exist);
        assert_untouched(&mut pipe, &root, &wcc).await;
    }
    let object = first.unwrap();
    let data = Data(Bytes::from_static(b"content"));
    let write = WriteArgs { file: object.clone(), offset: 0, count: 7, stable: Stable::FileSync, data };
    pipe.call::<nfs3::Write>(&write).await.unwrap().ok().unwrap();
    pipe.call::<nfs3::Create>(&how(CreateHow::Unchecked(mode(0o600)))).await.unwrap().ok().unwrap();
    assert_eq!(attributes(&mut pipe, &object).await.size, 7);
    let truncate = SetAttributes { size: Some(0), ..mode(0o600) };
    pipe.call::<nfs3::Create>(&how(CreateHow::Unchecked(truncate))).await.unwrap().ok().unwrap();
    assert_eq!(attributes(&mut pipe, &object).await.size, 0);
}

#[tokio::test]
async fn rename_and_link_tell_of_both_objects_on_success_and_on_failure() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let object = file(&mut pipe, &root, "a").await;
    let args = MkdirArgs { place: place(&root, "d"), attributes: mode(0o755) };
    let dir = pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap();
    let link = LinkArgs { file: object.clone(), place: place(&dir, "b") };
    let linked = pipe.call::<nfs3::Link>(&link).await.unwrap().ok().unwrap();
    assert_eq!(
        (linked.attributes.unwrap().nlink, linked.dir.after),
        (2, Some(attributes(&mut pipe, &dir).await))
    );
    let (status, wcc) = refused(pipe.call::<nfs3::Link>(&link).await.unwrap());
    assert_eq!((status, wcc.attributes), (Status::Exist, Some(attributes(&mut pipe, &object).await)));
    assert_untouched(&mut pipe, &dir, &wcc.dir).await;

    let rename = RenameArgs { from: place(&root, "a"), to: place(&dir, "c") };
    let moved = pipe.call::<nfs3::Rename>(&rename).await.unwrap().ok().unwrap();
    assert_eq!(moved.from.after, Some(attributes(&mut pipe, &root).await));
    assert_eq!(moved.to.after, Some(attributes(&mut pipe, &dir).await));
    let (status, wcc) = refused(pipe.call::<nfs3::Rename>(&rename).await.unwrap());
    assert_eq!(status, Status::NoEnt);
    assert_untouched(&mut pipe, &root, &wcc.from).await;
    assert_untouched(&mut pipe, &dir, &wcc.to).await;
    let same = RenameArgs { from: place(&dir, "b"), to: place(&dir, "c") };
    pipe.call::<nfs3::Rename>(&same).await.unwrap().ok().unwrap();
    assert_eq!(attributes(&mut pipe, &object).await.nlink, 2, "two names of one inode stay");
    let long = RenameArgs { from: place(&dir, "b"), to: place(&root, &"x".repeat(256)) };
    let (status, wcc) = refused(pipe.call::<nfs3::Rename>(&long).await.unwrap());
    assert_eq!(status, Status::NameTooLong);
    assert_untouched(&mut pipe, &dir, &wcc.from).await;
    assert_untouched(&mut pipe, &root, &wcc.to).await;
}

#[tokio::test]
async fn names_that_are_none_are_refused_and_dots_lead_where_they_should() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let args = MkdirArgs { place: place(&root, "d"), attributes: mode(0o755) };
    let dir = pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap();
    for (from, name, to) in
        [(&root, "..", &root), (&root, ".", &root), (&dir, "..", &root), (&dir, ".", &dir)]
    {
        assert_eq!(&pipe.call::<nfs3::Lookup>(&place(from, name)).await.unwrap().ok().unwrap().object, to);
    }
    for (name, status) in [
        ("", Status::Inval),
        ("a/b", Status::Inval),
        ("a\0b", Status::Inval),
        (".", Status::Exist),
        ("..", Status::Exist),
    ] {
        let args = MkdirArgs { place: place(&root, name), attributes: mode(0o755) };
        let (told, wcc) = refused(pipe.call::<nfs3::Mkdir>(&args).await.unwrap());
        assert_eq!(told, status, "{name:?}");
        assert_untouched(&mut pipe, &root, &wcc).await;
    }
    let long = place(&root, &"n".repeat(256));
    assert_eq!(refused(pipe.call::<nfs3::Lookup>(&long).await.unwrap()).0, Status::NameTooLong);
    assert_eq!(refused(pipe.call::<nfs3::Remove>(&long).await.unwrap()).0, Status::NameTooLong);
    file(&mut pipe, &root, &"n".repeat(255)).await;
    assert_eq!(refused(pipe.call::<nfs3::Rmdir>(&place(&root, ".")).await.unwrap()).0, Status::Inval);
    assert_eq!(refused(pipe.call::<nfs3::Rmdir>(&place(&root, "..")).await.unwrap()).0, Status::NotEmpty);
}

#[tokio::test]
async fn listings_in_small_pages_hold_every_name_once_within_the_budget() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let mut expected = vec![".".to_owned(), "..".to_owned()];
    for n in 0..150 {
        let name = format!("{}{n}", "é".repeat(n % 40));
        file(&mut pipe, &root, &name).await;
        expected.push(name);
    }
    expected.sort();
    for (count, plus) in [(1024, false), (8192, false), (2048, true), (65536, true)] {
        let (mut cookie, mut verifier, mut names) = (0, Verifier::default(), Vec::new());
        loop {
            let (bytes, entries, told, eof) = if plus {
                let args = ReadDirPlusArgs {
                    dir: root.clone(),
                    cookie,
                    verifier,
                    dircount: count / 2,
                    maxcount: count,
                };
                let xid = pipe.send::<nfs3::ReadDirPlus>(&args);
                let arrived = pipe.receive_for(xid).await.unwrap();
                let bytes = arrived.results.left();
                let page = arrived.decode::<nfs3::ReadDirPlus>().unwrap().ok().unwrap();
                for entry in &page.entries.0 {
                    let shown = attributes(&mut pipe, entry.handle.as_ref().unwrap()).await;
                    assert_eq!((Some(&shown), shown.fileid), (entry.attributes.as_ref(), entry.fileid));
                }
                let names: Vec<_> = page.entries.0.into_iter().map(|e| (e.name, e.cookie)).collect();
                (bytes, names, page.verifier, page.eof)
            } else {
                let args = ReadDirArgs { dir: root.clone(), cookie, verifier, count };
                let xid = pipe.send::<nfs3::ReadDir>(&args);
                let arrived = pipe.receive_for(xid).await.unwrap();
                let bytes = arrived.results.left();
                let page = arrived.decode::<nfs3::ReadDir>().unwrap().ok().unwrap();
                (
                    bytes,
                    page.entries.0.into_iter().map(|e| (e.name, e.cookie)).collect(),
                    page.verifier,
                    page.eof,
                )
            };
            assert!(bytes <= count as usize, "{bytes} bytes in a page of {count}");
            assert!(!entries.is_empty() || eof);
            for (name, at) in entries {
                names.push(String::from_utf8(name.0.to_vec()).unwrap());
                cookie = at;
            }
            verifier = told;
            if eof {
                break;
            }
        }
        names.sort();
        assert_eq!(names, expected, "count {count} plus {plus}");
    }
    let tiny = ReadDirArgs { dir: root.clone(), cookie: 0, verifier: Verifier::default(), count: 120 };
    assert_eq!(refused(pipe.call::<nfs3::ReadDir>(&tiny).await.unwrap()).0, Status::TooSmall);
    let object = pipe.call::<nfs3::Lookup>(&place(&root, "0")).await.unwrap().ok().unwrap().object;
    let args = ReadDirArgs { dir: object, cookie: 0, verifier: Verifier::default(), count: 4096 };
    assert_eq!(refused(pipe.call::<nfs3::ReadDir>(&args).await.unwrap()).0, Status::NotDir);
}
