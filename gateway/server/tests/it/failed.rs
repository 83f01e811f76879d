//! Shares that cannot be opened: the others serve, the cause is told everywhere, nothing was changed, and once the cause is
//! gone the share is there again.
#![allow(clippy::disallowed_methods, reason = "how long a stop and a retry take is what is tested")]

use crate::bed::{Bed, Doors, noise, share_config};
use crate::damage::{flip, holding};
use dfs_api::{Client, ClientError, ShareStatus, TierStatus};
use dfs_nfs::client::{ClientError as NfsError, Pipe};
use dfs_nfs::wire::{Handle, MountStatus, Status, nfs3};
use dfs_stack::OwnerRecord;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

fn status(bed: &Bed, client: &Client, name: &str) -> ShareStatus {
    bed.block(client.get(&format!("/shares/{name}"))).unwrap()
}

/// Waits until a share serves by itself.
fn serves(bed: &Bed, client: &Client, name: &str, within: Duration) -> ShareStatus {
    let started = Instant::now();
    loop {
        let found = status(bed, client, name);
        if found.state == "serving" {
            return found;
        }
        assert!(started.elapsed() < within, "{found:?}");
    }
}

fn open(bed: &Bed, client: &Client, name: &str) -> Result<ShareStatus, String> {
    let opened = bed.block(client.post::<_, ShareStatus>(&format!("/shares/{name}/open"), &()));
    opened.map_err(|error| match error {
        ClientError::Refused(problem) => problem.detail,
        other => panic!("{other:?}"),
    })
}

fn mounted(bed: &Bed, doors: &Doors, path: &str) -> Result<Handle, MountStatus> {
    bed.block(async {
        let mut pipe = Pipe::connect_as(doors.nfs, 0, 0, std::process::id()).await.unwrap();
        match pipe.mount(path).await {
            Ok(root) => Ok(root),
            Err(NfsError::Mount(status)) => Err(status),
            Err(other) => panic!("{other:?}"),
        }
    })
}

/// Shares `s` and `t` on the same stores.
fn two_shares(bed: &Bed) -> (Doors, Client) {
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let _: ShareStatus = bed.block(client.post("/shares", &share_config("t"))).unwrap();
    (doors, client)
}

#[test]
fn share_with_a_damaged_journal_is_down_alone_and_told_of_and_comes_back_whole() {
    let bed = Bed::made();
    let (doors, client) = two_shares(&bed);
    let root = mounted(&bed, &doors, "/s").unwrap();
    let files: Vec<(String, Vec<u8>)> = (0..20).map(|n| (format!("file-{n}"), noise(n, 30_000))).collect();
    let mut mount = bed.mounted(&doors);
    files.iter().for_each(|(name, bytes)| mount.write(name, bytes));
    drop(mount);
    let before = status(&bed, &client, "s").epoch;
    bed.kill();
    let (segment, at) = holding(&bed, &bed.data().join("journal"), &files[3].1[1000..1064]);
    flip(&segment, at);
    let damaged = std::fs::read(&segment).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    for _ in 0..2 {
        let doors = bed.start();
        let client = bed.admin(&doors);
        let shown = status(&bed, &client, "s");
        for word in ["failed: ", name, "no data was touched", "dfsctl share open s"] {
            assert!(shown.state.contains(word), "'{word}' is not in {}", shown.state);
        }
        let tiers: TierStatus = bed.block(client.get("/tier/status")).unwrap();
        let states: Vec<(&str, bool)> =
            tiers.shares.iter().map(|s| (s.share.as_str(), s.state.starts_with("failed"))).collect();
        assert_eq!(states, [("s", true), ("t", false)]);
        let health = bed.block(client.health()).unwrap();
        assert_eq!((health.status.as_str(), health.shares, health.shares_failed), ("degraded", 1, 1));
        assert!(bed.log().contains("the share is not served, others are"), "{}", bed.log());
        assert_eq!(mounted(&bed, &doors, "/s"), Err(MountStatus::Io));
        mounted(&bed, &doors, "/t").unwrap();
        let answer = bed.block(async {
            let mut pipe = Pipe::connect_as(doors.nfs, 0, 0, std::process::id()).await.unwrap();
            pipe.call::<nfs3::GetAttr>(&root).await.unwrap().status()
        });
        assert_eq!(answer, Status::Jukebox, "a client that has it mounted is told to wait");
        assert!(open(&bed, &client, "s").unwrap_err().contains(name));
        assert_eq!(open(&bed, &client, "t").unwrap().state, "serving");
        assert!(std::fs::read(&segment).unwrap() == damaged, "a refused opening changed the journal");
        bed.kill();
    }
    let doors = bed.start();
    let client = bed.admin(&doors);
    flip(&segment, at);
    let opened = open(&bed, &client, "s").unwrap();
    assert_eq!((opened.state.as_str(), opened.epoch), ("serving", before + 1), "refusals raised the epoch");
    let mut mount = bed.mounted(&doors);
    for (name, bytes) in &files {
        assert!(mount.read(name).unwrap() == *bytes, "{name}");
    }
}

#[test]
fn share_with_a_damaged_journal_can_be_given_up() {
    let bed = Bed::made();
    let (doors, _) = two_shares(&bed);
    let bytes = noise(7, 30_000);
    let mut mount = bed.mounted(&doors);
    ["a", "b", "c"].iter().for_each(|name| mount.write(name, &bytes));
    drop(mount);
    bed.kill();
    let (segment, at) = holding(&bed, &bed.data().join("journal"), &bytes[..64]);
    flip(&segment, at);
    let doors = bed.start();
    let client = bed.admin(&doors);
    assert!(status(&bed, &client, "s").state.starts_with("failed"));
    bed.block(client.delete("/shares/s")).unwrap();
    let _: ShareStatus = bed.block(client.post("/shares", &share_config("s"))).unwrap();
    bed.mounted(&doors).write("new", &bytes);
    bed.kill();
    let doors = bed.start();
    assert!(bed.mounted(&doors).read("new").unwrap() == bytes);
}

#[test]
fn cold_folder_that_is_not_mounted_yet_keeps_its_shares_down_until_it_is() {
    let bed = Bed::made();
    let (doors, client) = two_shares(&bed);
    bed.mounted(&doors).write("file", b"bytes");
    bed.flush(&client);
    bed.dfs(&["stop"]).works();
    std::fs::rename(bed.path("cold"), bed.path("elsewhere")).unwrap();
    let doors = bed.start();
    let client = bed.admin(&doors);
    let state = status(&bed, &client, "s").state;
    assert!(state.starts_with("failed") && state.contains("tried again by itself"), "{state}");
    assert!(!bed.path("cold").exists(), "an empty folder in its place would lose packs");
    std::fs::rename(bed.path("elsewhere"), bed.path("cold")).unwrap();
    serves(&bed, &client, "s", Duration::from_secs(60));
    serves(&bed, &client, "t", Duration::from_secs(60));
    assert_eq!(bed.mounted(&doors).read("file").unwrap(), b"bytes");
}

#[test]
fn share_owned_by_a_newer_gateway_is_refused_at_every_start_and_never_overtakes_it() {
    let bed = Bed::made();
    let (_, client) = two_shares(&bed);
    let before = status(&bed, &client, "s");
    bed.dfs(&["stop"]).works();
    let owner = bed.path("cold").join(&before.id).join("owner");
    let good = std::fs::read(&owner).unwrap();
    let ours = OwnerRecord::decode(&good).unwrap();
    assert_eq!(ours.epoch.0, before.epoch);
    let theirs = OwnerRecord { epoch: dfs_model::Epoch(before.epoch + 2), nonce: 7, ..ours }.encode();
    std::fs::write(&owner, &theirs).unwrap();
    for start in 0..4 {
        let doors = bed.start();
        let client = bed.admin(&doors);
        let state = status(&bed, &client, "s").state;
        assert!(state.starts_with("failed") && state.contains("is owned by"), "start {start}: {state}");
        assert!(open(&bed, &client, "s").is_err());
        bed.dfs(&["stop"]).works();
    }
    assert_eq!(std::fs::read(&owner).unwrap(), theirs);
    std::fs::write(&owner, &good).unwrap();
    let doors = bed.start();
    let client = bed.admin(&doors);
    assert_eq!(serves(&bed, &client, "s", Duration::from_secs(60)).epoch, before.epoch + 1);
}

#[test]
fn signal_during_a_long_start_ends_it_soon_and_nothing_is_lost() {
    let bed = Bed::made();
    let (doors, client) = two_shares(&bed);
    bed.mounted(&doors).write("file", b"bytes");
    let ids = ["s", "t"].map(|name| status(&bed, &client, name).id);
    bed.dfs(&["stop"]).works();
    // Who opens a pipe that nobody writes to waits: an object store that hangs.
    let owners = ids.map(|id| bed.path("cold").join(id).join("owner"));
    for owner in &owners {
        std::fs::rename(owner, owner.with_extension("kept")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(owner).status().unwrap();
        assert!(made.success());
    }
    let config = bed.config();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_dfs"))
        .args(["--config", config.to_str().unwrap(), "start", "--foreground"])
        .stderr(std::fs::File::create(bed.path("said")).unwrap())
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(bed.path("said")).unwrap();
    // The first share is being opened once somebody reads its pipe; as long as this end is open, he waits.
    let hanging = loop {
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        match std::fs::OpenOptions::new().write(true).custom_flags(flags).open(&owners[0]) {
            Ok(writer) => break writer,
            Err(_) => assert_eq!(child.try_wait().unwrap(), None, "{}", said()),
        }
    };
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    let asked = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = child.wait().unwrap();
    let took = asked.elapsed();
    assert!(said().contains("stopped before every share was open"), "{}", said());
    assert!(ended.success() && took < Duration::from_secs(5), "{ended:?} after {took:?}: {}", said());
    drop(hanging);
    for owner in &owners {
        std::fs::remove_file(owner).unwrap();
        std::fs::rename(owner.with_extension("kept"), owner).unwrap();
    }
    let doors = bed.start();
    assert_eq!(bed.mounted(&doors).read("file").unwrap(), b"bytes");
}

#[test]
fn limit_of_open_files_is_raised_to_the_most_and_told_when_little() {
    let bed = Bed::made();
    let dfs = env!("CARGO_BIN_EXE_dfs");
    let line =
        format!("ulimit -S -n 300; ulimit -H -n 3000; exec {dfs} --config {} start", bed.config().display());
    bed.run(std::process::Command::new("sh").args(["-c", &line]), "").works();
    let doors = bed.doors().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", doors.pid)).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = files.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["3000", "3000"], "{files}");
    assert!(bed.log().contains("few files may be open at once"), "{}", bed.log());
}

#[test]
fn start_without_the_control_database_is_refused_and_makes_no_empty_one() {
    let bed = Bed::made();
    two_shares(&bed);
    bed.dfs(&["stop"]).works();
    let path = bed.data().join("control.redb");
    std::fs::rename(&path, bed.path("kept")).unwrap();
    bed.dfs(&["start"]).refuses(5, &["control.redb does not exist", "dfs init"]);
    assert!(!path.exists());
    std::fs::rename(bed.path("kept"), &path).unwrap();
    bed.start();
}
