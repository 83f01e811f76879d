//! Clones of files and snapshots of shares over REST, seen by a client.

use crate::bed::{Bed, noise, share_config};
use dfs_api::{
    CloneFile, ClonedFile, RestoreSnapshot, RestoredSnapshot, ShareConfig, ShareStatus, SnapshotPlan,
    SnapshotSchedule, SnapshotStatus, TakeSnapshot,
};

fn asked(from: &str, to: &str, replace: bool) -> CloneFile {
    CloneFile { from: from.to_owned(), to: to.to_owned(), replace }
}

#[test]
fn file_is_cloned_and_both_go_their_own_ways() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    let config = ShareConfig { root_mode: 0o777, ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    let clone = |request: CloneFile| bed.block(client.post::<_, ClonedFile>("/shares/s/clone", &request));
    let mut mount = bed.mounted(&doors);
    let bytes: Vec<u8> = (0..700_000u32).map(|at| (at / 3) as u8).collect();
    mount.write("a", &bytes);
    // What is dirty is cloned too.
    assert_eq!(clone(asked("a", "/b", false)).unwrap().bytes, bytes.len() as u64);
    assert_eq!(mount.read("b").unwrap(), bytes);
    mount.write("a", b"changed");
    assert_eq!(mount.read("b").unwrap(), bytes);
    let refusals = [
        (asked("a", "b", false), "'b' is there"),
        (asked("none", "c", false), "there is no file"),
        (asked("a", "no/where", false), "there is no file"),
        (asked("/", "c", false), "only a file can be cloned"),
        (asked("a", "a", true), "only a file can be cloned"),
    ];
    for (request, why) in refusals {
        let said = clone(request).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    let source = mount.read("a").unwrap();
    clone(asked("a", "b", true)).unwrap();
    assert_eq!(mount.read("b").unwrap(), source);
    // A clone is as durable as its answer says.
    bed.kill();
    let doors = bed.start();
    assert_eq!(bed.mounted(&doors).read("b").unwrap(), source);
}

#[test]
fn snapshot_is_browsed_restored_and_survives_a_kill() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    let config = ShareConfig { root_mode: 0o777, ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    let (old, new) = (noise(1, 700_000), noise(2, 700_000));
    let mut mount = bed.mounted(&doors);
    mount.write("a", &old);
    mount.write("b", &old);
    let name = || TakeSnapshot { name: "mon".to_owned() };
    let taken: SnapshotStatus = bed.block(client.post("/shares/s/snapshots", &name())).unwrap();
    assert_eq!((taken.name.as_str(), taken.origin.as_str()), ("mon", "asked"));
    let again = bed.block(client.post::<_, SnapshotStatus>("/shares/s/snapshots", &name())).unwrap_err();
    assert!(again.to_string().contains("give another name"), "{again}");
    mount.write("a", &new);
    mount.write("c", &new);
    mount.remove("b");
    bed.flush(&client);
    assert!(mount.read_at(&[".snapshots", "mon", "a"]).unwrap() == old);
    assert!(mount.read_at(&[".snapshots", "mon", "b"]).unwrap() == old);
    assert!(mount.read_at(&[".snapshots", "mon", "c"]).is_err());
    let shown: SnapshotStatus = bed.block(client.get("/shares/s/snapshots/mon")).unwrap();
    assert_eq!(shown.held_bytes, Some(2 * old.len() as u64));
    bed.kill();
    let doors = bed.start();
    let client = bed.admin(&doors);
    let mut mount = bed.mounted(&doors);
    assert!(mount.read_at(&[".snapshots", "mon", "b"]).unwrap() == old);
    let restore = |path: Option<&str>, to: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let request = RestoreSnapshot { path: text(path), to: text(to) };
        bed.block(client.post::<_, RestoredSnapshot>("/shares/s/snapshots/mon/restore", &request))
    };
    assert_eq!(restore(Some("a"), Some("a-then")).unwrap().restored, 1);
    assert!(mount.read("a-then").unwrap() == old && mount.read("a").unwrap() == new);
    restore(Some("/b"), None).unwrap();
    assert!(mount.read("b").unwrap() == old);
    assert!(restore(Some("none"), None).unwrap_err().to_string().contains("is not in snapshot"));
    let done = restore(None, None).unwrap();
    let before = done.before.unwrap();
    // What came since, and the file under the name of `b`, which is another inode than then.
    assert_eq!((done.removed, done.restored), (3, 2));
    let mut befores = vec![before.clone()];
    befores.extend((0..3).map(|_| restore(None, None).unwrap().before.unwrap()));
    befores.sort();
    befores.dedup();
    assert_eq!(befores.len(), 4, "each restore within one second has a snapshot of its own");
    assert!(mount.read("a").unwrap() == old && mount.read("b").unwrap() == old && mount.read("c").is_err());
    assert!(mount.read_at(&[".snapshots", &before, "c"]).unwrap() == new);
    let listed: Vec<SnapshotStatus> = bed.block(client.get("/shares/s/snapshots")).unwrap();
    assert_eq!(listed.len(), 5);
    bed.block(client.delete("/shares/s/snapshots/mon")).unwrap();
    assert!(mount.read_at(&[".snapshots", "mon", "a"]).is_err());
    let unknown = bed.block(client.get::<SnapshotStatus>("/shares/s/snapshots/mon")).unwrap_err();
    assert!(unknown.to_string().contains("no snapshot named 'mon'"), "{unknown}");
}

#[test]
fn folder_of_snapshots_is_listed_where_the_share_says_so_and_found_anyway() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    for listed in [false, true] {
        let mut config = ShareConfig { root_mode: 0o777, ..share_config("s") };
        config.rules.snapshots_listed = listed;
        let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
        let mut mount = bed.mounted(&doors);
        mount.write("a", b"old");
        let name = TakeSnapshot { name: "mon".to_owned() };
        let _: SnapshotStatus = bed.block(client.post("/shares/s/snapshots", &name)).unwrap();
        let mut names = mount.names();
        names.sort();
        let wanted: &[&str] = if listed { &[".snapshots", "a"] } else { &["a"] };
        assert_eq!(names, wanted);
        assert_eq!(mount.read_at(&[".snapshots", "mon", "a"]).unwrap(), b"old");
        bed.block(client.delete("/shares/s?force=true")).unwrap();
    }
}

#[test]
fn schedule_is_kept_with_the_share_and_takes_snapshots_by_itself() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let set =
        |plan: &SnapshotPlan| bed.block(client.put::<_, SnapshotPlan>("/shares/s/snapshot-schedule", plan));
    let schedule = SnapshotSchedule { every_seconds: 3600, keep: Some(3), keep_seconds: None };
    let fast = SnapshotSchedule { every_seconds: 5, ..schedule };
    let refused = set(&SnapshotPlan { schedule: Some(fast) }).unwrap_err();
    assert!(refused.to_string().contains("at least 60 seconds"), "{refused}");
    let plan = SnapshotPlan { schedule: Some(schedule) };
    assert_eq!(set(&plan).unwrap(), plan);
    let first = loop {
        let listed: Vec<SnapshotStatus> = bed.block(client.get("/shares/s/snapshots")).unwrap();
        match listed.into_iter().next() {
            Some(first) => break first,
            None => std::thread::yield_now(),
        }
    };
    assert!(first.origin == "schedule" && first.name.starts_with("auto-"), "{first:?}");
    bed.kill();
    let doors = bed.start();
    let client = bed.admin(&doors);
    let kept: SnapshotPlan = bed.block(client.get("/shares/s/snapshot-schedule")).unwrap();
    assert_eq!(kept, plan);
    let off: SnapshotPlan =
        bed.block(client.put("/shares/s/snapshot-schedule", &SnapshotPlan::default())).unwrap();
    assert_eq!(off, SnapshotPlan::default());
}
