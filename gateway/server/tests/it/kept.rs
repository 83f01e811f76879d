//! Backups of the control plane: of a running gateway and of a stopped one, wiped, restored, refused.

use crate::bed::{Bed, PASSWORD, Said, share_config};
use dfs_api::{ShareStatus, User};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const WORD: &str = "a pässphrase of the tests";

fn run(bed: &Bed, args: &[&str], word: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfs"));
    command.arg("--config").arg(bed.config()).args(args);
    bed.run(&mut command, &format!("{word}\n"))
}

fn backup(bed: &Bed, to: &Path, more: &[&str]) -> Said {
    let args = ["backup", "controlplane", "--passphrase-stdin", "--output", to.to_str().unwrap()];
    run(bed, &[&args[..], more].concat(), WORD)
}

fn restore(bed: &Bed, from: &Path, word: &str, more: &[&str]) -> Said {
    let args = ["restore", "controlplane", "--passphrase-stdin", "--input", from.to_str().unwrap()];
    run(bed, &[&args[..], more].concat(), word)
}

/// A gateway that runs, with two shares.
fn furnished() -> Bed {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let mut second = share_config("second");
    second.comment = "the second".to_owned();
    let _: ShareStatus = bed.block(client.post("/shares", &second)).unwrap();
    bed
}

/// The control plane's part of the folder is lost; a new one is made.
fn wipe(bed: &Bed) {
    for name in ["control.redb", "secrets.key", "token.key"] {
        let _ = std::fs::remove_file(bed.data().join(name));
    }
    let config = std::fs::read(bed.config()).unwrap();
    let data = bed.data();
    let args = ["init", "--force", "--admin-password-stdin", "--data-dir", data.to_str().unwrap()];
    run(bed, &args, "quite another password").works();
    std::fs::write(bed.config(), config).unwrap();
}

#[test]
fn backup_wipe_restore_gives_everything_back() {
    let bed = furnished();
    let (running, stopped) = (bed.path("running.backup"), bed.path("stopped.backup"));
    bed.dfs(&["stop"]).works();
    let said = backup(&bed, &stopped, &["-o", "json"]).works();
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&told["rows"]["shares"], &told["rows"]["users"]), (&2.into(), &1.into()));
    assert_eq!(std::fs::metadata(&stopped).unwrap().permissions().mode() & 0o7777, 0o600);
    bed.start();
    backup(&bed, &running, &[]).works();
    bed.dfs(&["stop"]).works();
    for file in [&running, &stopped] {
        wipe(&bed);
        restore(&bed, file, WORD, &[]).works();
        let doors = bed.start();
        let client = bed.admin(&doors);
        let shares: Vec<ShareStatus> = bed.block(client.list("/shares")).unwrap();
        let names: Vec<&str> = shares.iter().map(|share| share.config.name.as_str()).collect();
        assert_eq!(names, ["s", "second"]);
        bed.mounted(&doors).write("file", b"served again");
        bed.dfs(&["stop"]).works();
    }
}

#[test]
fn backup_never_overwrites_without_force_and_leaves_nothing_half_written() {
    let bed = furnished();
    let file = bed.path("b");
    std::fs::write(&file, "mine").unwrap();
    backup(&bed, &file, &[]).refuses(2, &["exists", "--force"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    backup(&bed, &file, &["--force"]).works();
    assert!(std::fs::read(&file).unwrap().starts_with(b"DFSBKUP\n"));
    backup(&bed, &bed.path("no/where/b"), &[]).refuses(5, &["no/where/b"]);
    backup(&bed, Path::new("/dev/full/x"), &[]).refuses(5, &["/dev/full"]);
    let args = ["backup", "controlplane", "--output", "/dev/null/x"];
    bed.dfs(&args).refuses(2, &["--passphrase-stdin"]);
    let short = bed.path("short");
    run(&bed, &["backup", "controlplane", "--passphrase-stdin", "--output", short.to_str().unwrap()], "kurz")
        .refuses(1, &["passphrase"]);
    assert!(!short.exists());
}

#[test]
fn readable_backup_holds_no_secret() {
    let bed = furnished();
    let file = bed.path("b.json");
    let args = ["backup", "controlplane", "--format", "json", "--output", file.to_str().unwrap()];
    bed.dfs(&args).works();
    let text = std::fs::read_to_string(&file).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["tables"]["users"][0]["name"], "admin");
    assert_eq!(value["tables"]["users"][0]["password_hash"], "***");
    assert!(text.contains("second") && !text.contains("argon2"), "{text}");
    restore(&bed, &file, WORD, &["--force"]).refuses(2, &["not a backup"]);
}

#[test]
fn restore_is_refused_before_anything_is_touched() {
    let bed = furnished();
    bed.dfs(&["stop"]).works();
    let file = bed.path("b");
    backup(&bed, &file, &[]).works();
    let good = std::fs::read(&file).unwrap();
    let before = std::fs::read(bed.data().join("control.redb")).unwrap();
    let (newer, cut, other) = (bed.path("newer"), bed.path("cut"), bed.path("other"));
    let mut raised = good.clone();
    raised[8] += 40;
    std::fs::write(&newer, raised).unwrap();
    std::fs::write(&cut, &good[..good.len() - 9]).unwrap();
    std::fs::write(&other, "something else entirely").unwrap();
    restore(&bed, &newer, WORD, &["--force"]).refuses(6, &["newer"]);
    restore(&bed, &cut, WORD, &["--force"]).refuses(6, &["damaged"]);
    restore(&bed, &other, WORD, &["--force"]).refuses(2, &["not a backup"]);
    restore(&bed, &file, "another passphrase", &["--force"]).refuses(2, &["passphrase is wrong"]);
    restore(&bed, &bed.path("none"), WORD, &["--force"]).refuses(2, &["none"]);
    assert!(std::fs::read(bed.data().join("control.redb")).unwrap() == before, "a refused restore wrote");
    restore(&bed, &file, WORD, &[]).refuses(2, &["--force"]);
}

#[test]
fn restore_with_force_keeps_what_was_there() {
    let bed = furnished();
    bed.dfs(&["stop"]).works();
    let (first, old) = (bed.path("first"), bed.path("old"));
    backup(&bed, &first, &[]).works();
    let doors = bed.start();
    bed.block(bed.admin(&doors).delete("/shares/second?force=true")).unwrap();
    bed.dfs(&["stop"]).works();
    let said = restore(&bed, &first, WORD, &["--force", "-o", "json"]).works();
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(told["shares"], 2);
    let copy = Path::new(told["copy"].as_str().unwrap());
    assert_eq!(std::fs::metadata(copy).unwrap().permissions().mode() & 0o7777, 0o600);
    std::fs::rename(copy, &old).unwrap();
    let said = restore(&bed, &old, WORD, &["--force", "-o", "json"]).works();
    assert!(said.out.contains("\"shares\": 1"), "{said:?}");
}

#[test]
fn control_database_that_is_damaged_is_put_aside_by_a_restore() {
    let bed = furnished();
    let file = bed.path("b");
    backup(&bed, &file, &[]).works();
    bed.dfs(&["stop"]).works();
    std::fs::write(bed.data().join("control.redb"), "no database at all").unwrap();
    restore(&bed, &file, WORD, &[]).refuses(6, &["control database"]);
    let said = restore(&bed, &file, WORD, &["--force"]).works();
    assert!(said.err.contains("put aside as"), "{said:?}");
    let doors = bed.start();
    let users: Vec<User> = bed.block(bed.admin(&doors).list("/users")).unwrap_or_default();
    assert!(users.len() <= 1);
    assert!(bed.snapshot(&bed.data()).iter().any(|(_, bytes)| bytes == b"no database at all"));
}

#[test]
fn migrate_runs_again_without_harm_and_not_beside_a_gateway() {
    let bed = Bed::made();
    bed.dfs(&["migrate"]).works();
    assert!(bed.dfs(&["migrate"]).works().out.contains("nothing to do"));
    bed.dfs(&["migrate", "--to-postgres"]).refuses(2, &["control.database"]);
    let doors = bed.start();
    bed.dfs(&["migrate"]).refuses(4, &["dfs stop", &doors.pid.to_string()]);
    bed.block(bed.anonymous(&doors).login("admin", PASSWORD)).unwrap();
}
