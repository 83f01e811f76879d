//! Whether a sync is honest: whether what `fdatasync` promised would be there after a power cut.
//!
//! No program can prove that without cutting the power. What can be seen is a lie that is too fast: a device with a volatile
//! cache has to write or to flush before it answers, and that takes it some time. So a few dozen writes of 4 KiB are timed
//! with and without a sync, and held against what the device says of itself.

use super::Check;
use crate::system::SystemClock;
use dfs_model::Clock;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Writes that are timed, with a sync each and without.
const ROUNDS: usize = 48;
/// Bytes of a write.
const WRITE: usize = 4096;
/// Name of the file that is written; it goes again.
const FILE: &str = "doctor.tmp";
/// No command to any device and back, with a flush after it, takes less: two turns of the fastest bus.
const FASTEST_FLUSH_US: u64 = 15;
/// A disk that turns waits for the platter: a quarter of a turn at 15,000 a minute.
const FASTEST_TURN_US: u64 = 1000;
/// Slower than this and each durable request waits for it.
const SLOW_US: u64 = 20_000;

/// What the device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Device {
    name: String,
    /// `write back`: a volatile cache that must be flushed; `write through`: none, or it says so.
    write_cache: String,
    fua: bool,
    rotational: bool,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
struct Facts {
    write_us: u64,
    sync_us: u64,
    slowest_us: u64,
    device: Option<Device>,
    /// A library that makes syncs do nothing is loaded.
    preloaded: bool,
}

pub(super) fn look(data_dir: &Path) -> Check {
    let mut facts = match measure(data_dir) {
        Ok(facts) => facts,
        Err(error) => {
            let text = format!("a file cannot be written and synced in {}: {error}", data_dir.display());
            return Check::fail(
                "sync",
                text,
                "make the folder writable, free some space, look for disk errors (dmesg)",
            );
        }
    };
    facts.device = device_of(data_dir);
    facts.preloaded = std::env::var("LD_PRELOAD").is_ok_and(|list| list.contains("eatmydata"));
    judge(&facts)
}

fn measure(data_dir: &Path) -> io::Result<Facts> {
    let path = data_dir.join(FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let timed = timed(&file);
    let removed = std::fs::remove_file(&path);
    let facts = timed?;
    removed?;
    Ok(facts)
}

fn timed(file: &File) -> io::Result<Facts> {
    let block = [0x5a_u8; WRITE];
    // Written once, so that what is timed is data alone and no growing of the file.
    for at in 0..ROUNDS {
        file.write_all_at(&block, (at * WRITE) as u64)?;
    }
    file.sync_all()?;
    let round = |at: usize, sync: bool| -> io::Result<u64> {
        let start = SystemClock.monotonic();
        file.write_all_at(&block, (at * WRITE) as u64)?;
        if sync {
            file.sync_data()?;
        }
        Ok(SystemClock.monotonic().since(start).as_micros() as u64)
    };
    let mut syncs = (0..ROUNDS).map(|at| round(at, true)).collect::<io::Result<Vec<_>>>()?;
    let mut writes = (0..ROUNDS).map(|at| round(at, false)).collect::<io::Result<Vec<_>>>()?;
    syncs.sort_unstable();
    writes.sort_unstable();
    Ok(Facts {
        write_us: writes[ROUNDS / 2],
        sync_us: syncs[ROUNDS / 2],
        slowest_us: syncs[ROUNDS - 1],
        ..Facts::default()
    })
}

/// The disk under a folder, where the kernel names it: a partition's disk, not what a volume manager puts over several.
fn device_of(folder: &Path) -> Option<Device> {
    let number = std::fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let link = PathBuf::from(format!("/sys/dev/block/{major}:{minor}")).canonicalize().ok()?;
    let disk =
        [Some(link.as_path()), link.parent()].into_iter().flatten().find(|at| at.join("queue").is_dir())?;
    let read = |name: &str| {
        std::fs::read_to_string(disk.join("queue").join(name)).map(|text| text.trim().to_owned()).ok()
    };
    Some(Device {
        name: disk.file_name()?.to_string_lossy().into_owned(),
        write_cache: read("write_cache")?,
        fua: read("fua").as_deref() == Some("1"),
        rotational: read("rotational").as_deref() == Some("1"),
    })
}

fn judge(facts: &Facts) -> Check {
    const NAME: &str = "sync";
    let seen = format!(
        "a write of 4 KiB takes {} µs, with its sync {} µs ({} µs at worst)",
        facts.write_us, facts.sync_us, facts.slowest_us
    );
    if facts.preloaded {
        let text = "a library that makes syncs do nothing is loaded (LD_PRELOAD names eatmydata)";
        return Check::fail(NAME, text, "start the gateway without it");
    }
    let Some(device) = &facts.device else {
        let text =
            format!("{seen}; which device is underneath cannot be told, so neither whether syncs reach it");
        return match facts.sync_us < FASTEST_FLUSH_US {
            true => Check::warn(NAME, text, "no device is that fast: use a local disk with ext4 or xfs"),
            false => Check::ok(NAME, text),
        };
    };
    let fua = if device.fua { ", FUA" } else { "" };
    let seen = format!("{seen}; {} says '{}'{fua}", device.name, device.write_cache);
    if facts.sync_us < FASTEST_FLUSH_US {
        let text = format!("{seen}: no device answers so fast, the sync does not reach one");
        return Check::warn(
            NAME,
            text,
            "a virtual machine's disk must not be attached with a cache mode of 'unsafe'; test it by cutting the power",
        );
    }
    let volatile = device.write_cache == "write back";
    if volatile && device.rotational && facts.sync_us < FASTEST_TURN_US {
        let text = format!(
            "{seen}: a disk that turns cannot have written it, so it is in a cache that the power keeps"
        );
        return Check::warn(
            NAME,
            text,
            "if a controller with a battery is between, set its disks to 'write through'; else turn the cache off (hdparm -W 0) or replace the disk",
        );
    }
    if facts.sync_us > SLOW_US {
        let text = format!("{seen}: slow, each durable request waits for it");
        return Check::warn(
            NAME,
            text,
            "put the data folder on a faster disk, NVMe with power-loss protection at best",
        );
    }
    Check::ok(NAME, seen)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn facts(sync_us: u64, write_cache: &str, rotational: bool) -> Facts {
        let device =
            Device { name: "sda".to_owned(), write_cache: write_cache.to_owned(), fua: false, rotational };
        Facts { write_us: 3, sync_us, slowest_us: sync_us * 2, device: Some(device), preloaded: false }
    }

    #[test]
    fn sync_faster_than_its_device_can_be_is_warned_of_with_figures() {
        for (found, wanted) in [
            (facts(400, "write back", false), Verdict::Ok),
            (facts(90, "write through", false), Verdict::Ok),
            (facts(6, "write back", false), Verdict::Warn),
            (facts(6, "write through", false), Verdict::Warn),
            (facts(300, "write back", true), Verdict::Warn),
            (facts(300, "write through", true), Verdict::Ok),
            (facts(8000, "write back", true), Verdict::Ok),
            (facts(90_000, "write back", true), Verdict::Warn),
            (Facts { device: None, ..facts(300, "", false) }, Verdict::Ok),
            (Facts { device: None, ..facts(2, "", false) }, Verdict::Warn),
            (Facts { preloaded: true, ..facts(400, "write back", false) }, Verdict::Fail),
        ] {
            let check = judge(&found);
            assert_eq!(check.verdict, wanted, "{found:?}: {check:?}");
            assert!(found.preloaded || check.message.contains(&format!("{} µs", found.sync_us)));
            assert_eq!(check.fix.is_some(), wanted != Verdict::Ok);
        }
    }

    #[test]
    fn measurement_leaves_nothing_and_tells_what_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let facts = measure(folder.path()).unwrap();
        assert!(facts.slowest_us >= facts.sync_us);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(look(&folder.path().join("none")).verdict, Verdict::Fail);
    }
}
