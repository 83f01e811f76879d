//! The data folder over stops, kills and races.
#![allow(clippy::disallowed_methods, reason = "how long a stop takes is what is tested")]

use crate::bed::{Bed, noise, share_config};
use dfs_api::{Durability, ShareConfig, ShareStatus, TierStatus};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn stop_when_idle_is_quick_and_keeps_everything() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let bytes = noise(9, 700_000);
    let mut mounted = bed.mounted(&doors);
    mounted.write("file", &bytes);
    let began = Instant::now();
    bed.dfs(&["stop"]).works();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "an idle stop, with a client connected, took {took:?}");
    let doors = bed.start();
    let client = bed.admin(&doors);
    let share: ShareStatus = bed.block(client.get("/shares/s")).unwrap();
    assert_eq!((share.epoch, share.config, share.inodes), (2, share_config("s"), 2));
    let tiers: TierStatus = bed.block(client.get("/tier/status")).unwrap();
    assert!(tiers.shares[0].dirty_bytes >= 700_000, "dirty data is still dirty: {tiers:?}");
    assert!(bed.mounted(&doors).read("file").unwrap() == bytes);
}

#[test]
fn kill_keeps_what_was_committed_and_what_the_control_plane_said() {
    let bed = Bed::made();
    let mut doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    for (name, durability) in [("s", Durability::Local), ("r", Durability::Relaxed)] {
        let config = ShareConfig { durability, ..share_config(name) };
        let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    }
    for round in 0..5u64 {
        let mut mounted = bed.mounted(&doors);
        mounted.write(&format!("file-{round}"), &noise(round, 100_000));
        if round == 2 {
            bed.flush(&bed.admin(&doors));
        }
        bed.kill();
        doors = bed.start();
        let client = bed.admin(&doors);
        let mut epochs = Vec::new();
        for share in bed.block(client.get::<Vec<ShareStatus>>("/shares")).unwrap() {
            epochs.push((share.config.name, share.epoch));
        }
        let epoch = round as u32 + 2;
        assert_eq!(epochs, [("r".to_owned(), epoch), ("s".to_owned(), epoch)]);
        let mut mounted = bed.mounted(&doors);
        for earlier in 0..=round {
            assert!(
                mounted.read(&format!("file-{earlier}")).unwrap() == noise(earlier, 100_000),
                "{earlier} after {round}"
            );
        }
    }
    let said = bed.log();
    assert!(
        said.contains("COMMIT claims more than is on disk"),
        "the relaxed class is told at each start: {said}"
    );
}

#[test]
fn two_starts_at_once_leave_one_gateway() {
    let bed = Bed::made();
    for round in 0..4 {
        let spawn = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dfs"));
            command.arg("--config").arg(bed.config()).arg("start");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let both = [spawn(), spawn()].map(|child| child.wait_with_output().unwrap());
        let mut codes = both.each_ref().map(|output| output.status.code());
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(4)], "round {round}: {both:?}");
        let loser = both.iter().find(|output| !output.status.success()).unwrap();
        let words = String::from_utf8_lossy(&loser.stderr);
        assert!(words.contains("holds the data folder") || words.contains("runs on"), "{words}");
        let health: dfs_api::Health =
            serde_json::from_str(&bed.dfs(&["status", "-o", "json"]).works().out).unwrap();
        assert_eq!(health.pid as i32, bed.doors().unwrap().pid);
        bed.dfs(&["stop"]).works();
    }
}

#[test]
fn status_asked_all_the_time_does_not_keep_a_gateway_from_starting() {
    let bed = Bed::made();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok(file) = std::fs::File::open(bed.data().join("lock")) else { continue };
                let _ = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
            }
        });
        let codes: Vec<i32> = (0..3)
            .map(|_| {
                let code = bed.dfs(&["start"]).code;
                bed.dfs(&["stop"]);
                code
            })
            .collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(codes, [0, 0, 0]);
    });
}

#[test]
fn stop_of_a_gateway_that_hangs_is_told_and_forced() {
    let bed = Bed::made();
    let doors = bed.start();
    let pid = rustix::process::Pid::from_raw(doors.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    bed.dfs(&["stop", "--timeout", "1"]).refuses(1, &[&doors.pid.to_string(), "--force"]);
    let said = bed.dfs(&["stop", "--timeout", "1", "--force"]).works();
    assert!(said.out.contains("killed"), "{said:?}");
    bed.start();
}
