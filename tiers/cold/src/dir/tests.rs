//! Tests of what only a folder store does: crash leftovers, odd files, unusable folders.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::conformance::SeededEntropy;
use std::os::unix::fs::PermissionsExt;

async fn open(path: &Path) -> ColdResult<DirCold> {
    DirCold::open(path, false, SeededEntropy::shared(7)).await
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test]
async fn open_missing_folder_names_it_and_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let error = open(&temp.path().join("gone")).await.err().unwrap();
    assert_eq!(error.cause(), Some(PermanentCause::BucketMissing));
    let text = error.to_string();
    assert!(text.contains("gone") && text.contains("create the bucket or folder"), "{text}");
    assert!(DirCold::open(&temp.path().join("made/new"), true, SeededEntropy::shared(1)).await.is_ok());
}

#[tokio::test]
async fn open_a_file_or_unwritable_folder_is_a_clear_error() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("file"), b"x").unwrap();
    assert_eq!(
        open(&temp.path().join("file")).await.err().unwrap().cause(),
        Some(PermanentCause::BucketMissing)
    );
    // The superuser writes anywhere; a folder that not even it can write to is one of the kernel's.
    let folder = temp.path().join("closed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    let path = if rustix::process::geteuid().is_root() { Path::new("/sys/kernel") } else { &folder };
    let error = open(path).await.err().unwrap();
    assert_eq!(error.cause(), Some(PermanentCause::ReadOnly), "{error}");
}

#[tokio::test]
async fn open_removes_only_old_temporary_files() {
    let temp = tempfile::tempdir().unwrap();
    open(temp.path()).await.unwrap();
    let (old, new) = (temp.path().join(".tmp/old"), temp.path().join(".tmp/new"));
    std::fs::write(&new, b"x").unwrap();
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(90_000))
        .unwrap();
    open(temp.path()).await.unwrap();
    assert!(!old.exists() && new.exists());
}

#[tokio::test]
async fn put_leaves_no_temporary_file_whatever_its_outcome() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await.unwrap();
    let body = || PutBody::from(Bytes::from_static(b"abc"));
    assert_eq!(store.put_if_absent(&key("a/b"), body()).await.unwrap(), PutOutcome::Stored);
    assert_eq!(store.put_if_absent(&key("a/b"), body()).await.unwrap(), PutOutcome::Exists);
    // A key below an object cannot be.
    assert!(store.put_if_absent(&key("a/b/c"), body()).await.is_err());
    let left = std::fs::read_dir(temp.path().join(".tmp")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn racing_puts_of_one_key_store_exactly_one() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(open(temp.path()).await.unwrap());
    let tasks: Vec<_> = (0..16u8)
        .map(|i| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.put_if_absent(&key("k/one"), Bytes::from(vec![i; 1000]).into()).await
            })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += usize::from(task.await.unwrap().unwrap() == PutOutcome::Stored);
    }
    assert_eq!(stored, 1);
    let bytes = store.get_range(&key("k/one"), 0..1000).await.unwrap();
    assert!(bytes.iter().all(|b| *b == bytes[0]));
}

#[tokio::test]
async fn store_keeps_working_on_the_folder_it_opened_when_the_path_leads_elsewhere() {
    let temp = tempfile::tempdir().unwrap();
    let (there, away) = (temp.path().join("there"), temp.path().join("away"));
    std::fs::create_dir(&there).unwrap();
    let store = open(&there).await.unwrap();
    std::fs::rename(&there, &away).unwrap();
    std::fs::create_dir(&there).unwrap();
    store.put_if_absent(&key("a"), Bytes::from_static(b"1").into()).await.unwrap();
    assert!(away.join("a").exists() && !there.join("a").exists());
    // A folder that is gone altogether is a permanent cause.
    std::fs::remove_dir_all(&away).unwrap();
    let error = store.put_if_absent(&key("b"), Bytes::from_static(b"1").into()).await.unwrap_err();
    assert_eq!(error.cause(), Some(PermanentCause::BucketMissing), "{error}");
}

#[tokio::test]
async fn list_skips_what_is_no_object() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await.unwrap();
    for name in ["a.b/x", "a/y", "a-c", "a0"] {
        store.put_if_absent(&key(name), Bytes::from_static(b"1").into()).await.unwrap();
    }
    std::fs::write(temp.path().join("with space"), b"x").unwrap();
    std::os::unix::fs::symlink("a0", temp.path().join("link")).unwrap();
    let page = store.list_page(&KeyPrefix::everything(), None).await.unwrap();
    let keys: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["a-c", "a.b/x", "a/y", "a0"]);
}
