//! The suite that every disk passes, and what the simulated one does beyond it.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Disk, DiskFile, sim::SimOptions};
use crate::{Crash, RealDisk, SimDisk, is_power_cut};
use std::{io::ErrorKind, sync::Arc};

fn over_both(body: impl Fn(Arc<dyn Disk>)) {
    let folder = tempfile::tempdir().unwrap();
    body(RealDisk::open(folder.path().join("folder")).unwrap());
    body(SimDisk::new(7, 64 << 20));
}

fn content(file: &dyn DiskFile, device: bool) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    super::read_exact(file, device, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn names_follow_create_rename_and_remove() {
    over_both(|disk| {
        assert_eq!(disk.open("a").err().unwrap().kind(), ErrorKind::NotFound);
        disk.create("a").unwrap();
        disk.create("b").unwrap().write_at(0, b"of b").unwrap();
        assert_eq!(disk.create("a").err().unwrap().kind(), ErrorKind::AlreadyExists);
        assert_eq!(disk.list().unwrap(), ["a", "b"]);
        disk.rename("b", "a").unwrap();
        assert_eq!(disk.list().unwrap(), ["a"]);
        assert_eq!(content(&*disk.open("a").unwrap(), false), b"of b");
        assert_eq!(disk.rename("b", "c").err().unwrap().kind(), ErrorKind::NotFound);
        disk.sync_dir().unwrap();
        disk.remove("a").unwrap();
        assert_eq!(disk.remove("a").err().unwrap().kind(), ErrorKind::NotFound);
        assert!(disk.list().unwrap().is_empty());
        for bad in ["", "x/y"] {
            assert_eq!(disk.create(bad).err().unwrap().kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn folders_below_are_separate() {
    over_both(|disk| {
        let sub = disk.sub("inner").unwrap();
        sub.create("a").unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert_eq!(disk.sub("inner").unwrap().list().unwrap(), ["a"]);
    });
}

#[test]
fn reads_see_writes_from_cache_and_device() {
    over_both(|disk| {
        let file = disk.create("f").unwrap();
        file.write_at(5000, b"hello").unwrap();
        file.write_vectored_at(5005, &[b" ", b"", b"world", b"!"]).unwrap();
        assert_eq!(file.len().unwrap(), 5012);
        for device in [false, true] {
            let mut want = vec![0; 5000];
            want.extend_from_slice(b"hello world!");
            assert_eq!(content(&*file, device), want, "device {device}");
            let mut part = [0; 20];
            let got =
                if device { file.read_device_at(5006, &mut part) } else { file.read_at(5006, &mut part) };
            assert_eq!((got.unwrap(), &part[..7]), (6, &b"world!\0"[..]));
        }
        file.sync().unwrap();
        file.set_len(5002).unwrap();
        assert_eq!(&content(&*file, true)[5000..], b"he");
        file.set_len(5008).unwrap();
        assert_eq!(&content(&*file, false)[5000..], b"he\0\0\0\0\0\0");
    });
}

#[test]
fn device_read_of_large_unaligned_range_equals_cache() {
    over_both(|disk| {
        let file = disk.create("f").unwrap();
        let bytes: Vec<u8> = (0..3_000_123u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        file.write_at(0, &bytes).unwrap();
        let mut read = vec![0; bytes.len() - 4099];
        super::read_exact(&*file, true, 4097, &mut read).unwrap();
        assert!(read[..] == bytes[4097..bytes.len() - 2]);
    });
}

#[test]
fn allocate_and_zero_keep_the_rest() {
    over_both(|disk| {
        let file = disk.create("f").unwrap();
        file.write_at(0, b"abcdef").unwrap();
        file.allocate(8192).unwrap();
        assert_eq!(file.len().unwrap(), 8192);
        file.allocate(100).unwrap();
        assert_eq!(file.len().unwrap(), 8192);
        file.zero(2, 2).unwrap();
        assert_eq!(&content(&*file, false)[..8], b"ab\0\0ef\0\0");
        assert!(disk.free_bytes().unwrap() <= disk.total_bytes().unwrap());
    });
}

#[test]
fn lock_is_exclusive_until_dropped() {
    over_both(|disk| {
        let lock = disk.lock("lock").unwrap();
        assert_eq!(disk.lock("lock").err().unwrap().kind(), ErrorKind::WouldBlock);
        drop(lock);
        disk.lock("lock").unwrap();
    });
}

#[test]
fn sync_later_syncs() {
    over_both(|disk| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let file = disk.create("f").unwrap();
        file.write_at(0, b"x").unwrap();
        runtime.block_on(file.sync_later()).unwrap();
    });
}

#[test]
fn run_carries_work_that_syncs_to_its_end() {
    over_both(|disk| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let file = disk.create("f").unwrap();
        file.write_at(0, b"x").unwrap();
        let (done, ended) = tokio::sync::oneshot::channel();
        let work = async move {
            let synced = file.clone().sync_here().await.and(file.sync_here().await);
            done.send(synced).unwrap();
        };
        disk.run(runtime.handle(), Box::pin(work));
        runtime.block_on(ended).unwrap().unwrap();
    });
}

/// A simulated file with one synced and one unsynced write of four sectors each.
fn half_synced(seed: u64) -> (Arc<SimDisk>, Arc<dyn DiskFile>) {
    let disk = SimDisk::with_options(seed, 1 << 20, SimOptions { sync_micros_max: 0 });
    let file = disk.create("f").unwrap();
    disk.sync_dir().unwrap();
    file.write_at(0, &[1; 2048]).unwrap();
    file.sync().unwrap();
    file.write_at(0, &[2; 2048]).unwrap();
    (disk, file)
}

#[test]
fn power_cut_tears_at_sectors_and_keeps_what_was_synced() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let (disk, _) = half_synced(seed);
        let disk = disk.crash(Crash::Power);
        let bytes = content(&*disk.open("f").unwrap(), false);
        assert_eq!(bytes.len(), 2048, "seed {seed}");
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|b| *b == sector[0]) && (1..=2).contains(&sector[0]), "seed {seed}");
        }
        outcomes.insert(bytes.chunks(512).map(|s| s[0]).collect::<Vec<_>>());
    }
    assert!(outcomes.len() >= 8, "too few outcomes: {outcomes:?}");
}

#[test]
fn process_crash_keeps_unsynced_writes_and_kills_old_handles() {
    let (disk, file) = half_synced(3);
    let next = disk.crash(Crash::Process);
    assert_eq!(content(&*next.open("f").unwrap(), false), [2; 2048]);
    assert!(is_power_cut(&file.write_at(0, b"late").err().unwrap()));
    assert!(is_power_cut(&disk.list().err().unwrap()));
}

#[test]
fn failed_sync_leaves_a_lying_cache_and_later_syncs_do_not_help() {
    let mut lost = 0;
    for seed in 0..40 {
        let (disk, file) = half_synced(seed);
        disk.fail_syncs(1);
        assert_eq!(file.sync().err().unwrap().raw_os_error(), Some(5));
        file.sync().unwrap();
        assert_eq!(content(&*file, false), [2; 2048], "seed {seed}: the cache shows everything");
        let device = content(&*file, true);
        let disk = disk.crash(Crash::Power);
        assert_eq!(
            content(&*disk.open("f").unwrap(), false),
            device,
            "seed {seed}: the device told the truth"
        );
        lost += u32::from(device != [2; 2048]);
    }
    assert!(lost > 10, "a failed sync lost bytes in {lost} of 40");
}

#[test]
fn names_without_sync_dir_may_be_lost_and_with_it_are_kept() {
    let mut lost = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed, 1 << 20);
        disk.create("kept").unwrap();
        disk.sync_dir().unwrap();
        disk.create("new").unwrap();
        disk.rename("kept", "renamed").unwrap();
        let disk = disk.crash(Crash::Power);
        let names = disk.list().unwrap();
        assert!(
            names.contains(&"kept".to_owned()) != names.contains(&"renamed".to_owned()),
            "seed {seed}: {names:?}"
        );
        lost += u32::from(!names.contains(&"new".to_owned()));
    }
    assert!((5..=35).contains(&lost), "{lost} of 40 lost");
}

#[test]
fn cut_after_stops_the_machine_at_that_step() {
    let disk = SimDisk::new(1, 1 << 20);
    let file = disk.create("f").unwrap();
    disk.cut_after(2);
    file.write_at(0, b"1").unwrap();
    file.write_at(1, b"2").unwrap();
    let mut byte = [0];
    file.read_at(0, &mut byte).unwrap();
    assert!(is_power_cut(&file.write_at(2, b"3").err().unwrap()));
    assert!(is_power_cut(&file.read_at(0, &mut byte).err().unwrap()));
    assert!(disk.is_down());
    assert_eq!(disk.steps(), 3);
    let disk = disk.crash(Crash::Power);
    disk.create("after").unwrap();
}

#[test]
fn full_disk_answers_storage_full_and_rewrites_still_work() {
    let disk = SimDisk::new(1, 8192);
    let file = disk.create("f").unwrap();
    file.allocate(8192).unwrap();
    assert_eq!(file.write_at(8192, b"x").err().unwrap().kind(), ErrorKind::StorageFull);
    file.write_at(8191, b"x").unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 0);
}

#[test]
fn same_seed_gives_the_same_crash() {
    let run = |seed| {
        let (disk, file) = half_synced(seed);
        file.write_at(100, &[3; 3000]).unwrap();
        let disk = disk.crash(Crash::Power);
        content(&*disk.open("f").unwrap(), true)
    };
    assert_eq!(run(11), run(11));
    assert!((0..20).any(|seed| run(seed) != run(seed + 1)));
}

#[test]
fn error_rates_hit_reads_and_writes() {
    let (disk, file) = half_synced(5);
    disk.set_error_rates(500_000, 500_000, 0);
    let mut byte = [0];
    let reads = (0..100).filter(|_| file.read_at(0, &mut byte).is_err()).count();
    let writes = (0..100).filter(|_| file.write_at(0, b"x").is_err()).count();
    assert!((20..80).contains(&reads) && (20..80).contains(&writes), "{reads} {writes}");
}
