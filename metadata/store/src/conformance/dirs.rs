//! Cases: listings and names in any case.

use super::{case_list, name, refused};
use crate::ReadDirRequest;
use dfs_model::{Cookie, FsError, InodeId, InodeKind};

const ROOT: InodeId = InodeId::ROOT;

fn all(dir: InodeId) -> ReadDirRequest {
    ReadDirRequest { dir, after: Cookie::START, up_to: Cookie(u64::MAX), limit: 1000, rows: false }
}

case_list! {
async fn read_dir_lists_names_in_the_order_they_came(bed) {
    for text in ["z", "m", "a", "B"] {
        bed.file(ROOT, text).await;
    }
    let names: Vec<_> = bed.list(ROOT, 100).await.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, [name("z"), name("m"), name("a"), name("B")]);
}
async fn read_dir_pages_give_every_name_once(bed) {
    for n in 0..137 {
        bed.file(ROOT, &format!("f{n}")).await;
    }
    for page in [1, 7, 64, 137, 1000] {
        let names = bed.list(ROOT, page).await;
        assert_eq!(names.len(), 137, "pages of {page}");
        assert!(names.is_sorted_by(|a, b| a.0 < b.0));
    }
}
async fn read_dir_page_says_the_end_exactly_when_nothing_follows(bed) {
    for n in 0..4 {
        bed.file(ROOT, &format!("f{n}")).await;
    }
    for (limit, end) in [(3, false), (4, true), (5, true)] {
        let page = bed.store.read_dir(bed.share, ReadDirRequest { limit, ..all(ROOT) }).await.unwrap();
        assert_eq!(page.end, end, "limit {limit}");
    }
}
async fn read_dir_of_an_empty_directory_is_empty_and_ended(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let page = bed.store.read_dir(bed.share, all(dir)).await.unwrap();
    assert!(page.end && page.entries.is_empty());
}
async fn read_dir_does_not_see_names_after_its_high_water_mark(bed) {
    bed.file(ROOT, "a").await;
    let up_to = bed.store.last_cookie(bed.share, ROOT).await.unwrap();
    bed.file(ROOT, "b").await;
    let page = bed.store.read_dir(bed.share, ReadDirRequest { up_to, ..all(ROOT) }).await.unwrap();
    assert!(page.end);
    assert_eq!(page.entries.len(), 1);
}
async fn read_dir_from_a_removed_cookie_goes_on_with_the_next(bed) {
    for text in ["a", "b", "c"] {
        bed.file(ROOT, text).await;
    }
    let second = bed.list(ROOT, 9).await[1].0;
    bed.remove(ROOT, "b").await.unwrap();
    let page = bed.store.read_dir(bed.share, ReadDirRequest { after: second, ..all(ROOT) }).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].0.name, name("c"));
}
async fn read_dir_while_names_come_and_go_loses_and_doubles_nothing_that_stays(bed) {
    for n in 0..50 {
        bed.file(ROOT, &format!("stay{n}")).await;
        bed.file(ROOT, &format!("go{n}")).await;
    }
    let up_to = bed.store.last_cookie(bed.share, ROOT).await.unwrap();
    let (mut after, mut seen, mut n) = (Cookie::START, Vec::new(), 0);
    loop {
        let request = ReadDirRequest { after, up_to, limit: 9, ..all(ROOT) };
        let page = bed.store.read_dir(bed.share, request).await.unwrap();
        seen.extend(page.entries.iter().map(|(dentry, _)| dentry.name.to_string()));
        if page.end {
            break;
        }
        after = page.entries.last().unwrap().0.cookie;
        bed.remove(ROOT, &format!("go{n}")).await.unwrap();
        bed.file(ROOT, &format!("new{n}")).await;
        n += 1;
    }
    let stayed: Vec<_> = seen.iter().filter(|name| name.starts_with("stay")).collect();
    let expected: Vec<_> = (0..50).map(|n| format!("stay{n}")).collect();
    assert_eq!(stayed, expected.iter().collect::<Vec<_>>());
    assert!(!seen.iter().any(|name| name.starts_with("new")));
}
async fn read_dir_with_rows_gives_the_inodes(bed) {
    let a = bed.file(ROOT, "a").await;
    let d = bed.mkdir(ROOT, "d").await;
    let page = bed.store.read_dir(bed.share, ReadDirRequest { rows: true, ..all(ROOT) }).await.unwrap();
    let ids: Vec<_> = page.entries.iter().map(|(_, row)| row.as_ref().unwrap().id).collect();
    assert_eq!(ids, [a, d]);
    assert_eq!(*page.entries[1].1.clone().unwrap(), *bed.inode(d).await);
}
async fn read_dir_without_rows_has_kinds(bed) {
    bed.made(ROOT, "l", InodeKind::Symlink, 0o777, &bed.root).await;
    bed.mkdir(ROOT, "d").await;
    let page = bed.store.read_dir(bed.share, all(ROOT)).await.unwrap();
    let kinds: Vec<_> = page.entries.iter().map(|(dentry, row)| (dentry.kind, row.is_none())).collect();
    assert_eq!(kinds, [(InodeKind::Symlink, true), (InodeKind::Directory, true)]);
}
async fn read_dir_of_a_file_is_not_a_directory_and_of_nothing_stale(bed) {
    let a = bed.file(ROOT, "a").await;
    refused(bed.store.read_dir(bed.share, all(a)).await, FsError::NotDirectory);
    refused(bed.store.read_dir(bed.share, all(InodeId(33_333))).await, FsError::StaleHandle);
    refused(bed.store.last_cookie(bed.share, InodeId(33_333)).await, FsError::StaleHandle);
}
async fn last_cookie_does_not_go_back_when_names_go(bed) {
    bed.file(ROOT, "a").await;
    bed.file(ROOT, "b").await;
    let last = bed.store.last_cookie(bed.share, ROOT).await.unwrap();
    bed.remove(ROOT, "b").await.unwrap();
    assert_eq!(bed.store.last_cookie(bed.share, ROOT).await.unwrap(), last);
}
async fn first_cookie_is_above_dot_and_dot_dot(bed) {
    bed.file(ROOT, "a").await;
    assert_eq!(bed.list(ROOT, 1).await[0].0, Cookie::FIRST);
}
async fn directories_have_cookies_of_their_own(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    bed.file(ROOT, "a").await;
    bed.file(dir, "b").await;
    assert_eq!(bed.list(dir, 1).await[0].0, Cookie::FIRST);
    assert_eq!(bed.list(ROOT, 9).await.len(), 2);
}
async fn lookup_fold_finds_any_case_and_answers_the_stored_spelling(bed) {
    let id = bed.file(ROOT, "Straße Ünï.TXT").await;
    let found = bed.store.lookup_fold(bed.share, ROOT, &name("straße üNÏ.txt")).await.unwrap().unwrap();
    assert_eq!((found.0.name, found.1.id), (name("Straße Ünï.TXT"), id));
    assert!(bed.store.lookup_fold(bed.share, ROOT, &name("strasse")).await.unwrap().is_none());
}
async fn lookup_fold_prefers_exact_spelling_then_the_lowest_cookie(bed) {
    let upper = bed.file(ROOT, "A").await;
    let lower = bed.file(ROOT, "a").await;
    bed.file(ROOT, "ab").await;
    let exact = bed.store.lookup_fold(bed.share, ROOT, &name("a")).await.unwrap().unwrap();
    assert_eq!(exact.1.id, lower);
    bed.rename(ROOT, "a", ROOT, "other").await.unwrap();
    let folded = bed.store.lookup_fold(bed.share, ROOT, &name("a")).await.unwrap().unwrap();
    assert_eq!(folded.1.id, upper);
}
async fn lookup_in_another_directory_or_share_finds_nothing(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    bed.file(ROOT, "a").await;
    assert_eq!(bed.lookup(dir, "a").await, None);
}
async fn inodes_are_answered_in_the_order_asked(bed) {
    let a = bed.file(ROOT, "a").await;
    let b = bed.file(ROOT, "b").await;
    let rows = bed.store.inodes(bed.share, &[b, InodeId(22_222), a, b]).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.id)).collect();
    assert_eq!(ids, [Some(b), None, Some(a), Some(b)]);
}
}
