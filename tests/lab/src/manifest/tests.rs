//! Manifests of small trees, and that each kind of damage shows.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::diff::compare;
use super::walk::{escape, manifest};

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/one"), b"contents").unwrap();
    fs::hard_link(root.join("sub/one"), root.join("two")).unwrap();
    symlink("sub/no where", root.join("link")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"odd\xff\n\tname")), b"").unwrap();
    folder
}

fn text(root: &Path) -> String {
    manifest(root, 2).unwrap().join("\n")
}

#[test]
fn manifest_of_a_tree_is_sorted_and_complete() {
    let folder = tree();
    let lines = manifest(folder.path(), 3).unwrap();
    let names: Vec<&str> = lines.iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, [".", "link", "odd\\xff\\x0a\\x09name", "sub", "sub/one", "two"]);
    assert!(lines[1].contains("\tsymlink\t") && lines[1].contains("\tsub/no\\x20where\t"), "{}", lines[1]);
    let digest = "d1b2a59fbea7e20077af9f91b27e95e865061b270be03ff539ab3b73587882e8";
    assert!(lines[4].ends_with(&format!("\t8\t2 of sub/one\t{digest}")), "{}", lines[4]);
    assert!(lines[5].ends_with(&format!("\t8\t2 of sub/one\t{digest}")), "{}", lines[5]);
    assert!(lines.iter().all(|line| line.split('\t').count() == 8));
}

#[test]
fn compare_of_the_same_tree_agrees() {
    let folder = tree();
    let report = compare(&text(folder.path()), &text(folder.path()), &[]);
    assert!(report.agrees() && report.common == 6);
}

#[test]
fn compare_of_nothing_with_nothing_does_not_agree() {
    assert!(!compare("", "", &[]).agrees());
}

#[test]
fn compare_after_each_damage_names_the_field() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("content  sub/one", |root| {
            let times = fs::metadata(root.join("two")).unwrap().modified().unwrap();
            fs::write(root.join("two"), b"c0ntents").unwrap();
            fs::File::options().write(true).open(root.join("two")).unwrap().set_modified(times).unwrap();
        }),
        ("mode     two", |root| {
            fs::set_permissions(root.join("two"), fs::Permissions::from_mode(0o4755)).unwrap()
        }),
        ("mtime    two", |root| {
            let file = fs::File::options().write(true).open(root.join("two")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(17)).unwrap();
        }),
        ("missing  link", |root| fs::remove_file(root.join("link")).unwrap()),
        ("extra    sub/new", |root| fs::write(root.join("sub/new"), b"").unwrap()),
        ("link     sub/one", |root| {
            fs::remove_file(root.join("two")).unwrap();
            fs::copy(root.join("sub/one"), root.join("two")).unwrap();
        }),
    ];
    for (wanted, damage) in damages {
        let folder = tree();
        let before = text(folder.path());
        damage(folder.path());
        let report = compare(&before, &text(folder.path()), &[]);
        assert!(!report.agrees(), "{wanted}");
        assert!(
            report.lines.iter().any(|line| line.starts_with(wanted)),
            "{wanted} not in {:?}",
            report.lines
        );
    }
}

#[test]
fn compare_with_an_ignored_field_agrees() {
    let folder = tree();
    let before = text(folder.path());
    fs::set_permissions(folder.path().join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    let after = text(folder.path());
    assert!(!compare(&before, &after, &[]).agrees());
    assert!(compare(&before, &after, &["mode".into()]).agrees());
}

#[test]
fn escape_of_all_bytes_is_one_to_one() {
    let mut seen = std::collections::HashSet::new();
    for byte in 0..=255u8 {
        assert!(seen.insert(escape(&[byte])), "{byte}");
    }
}
