//! What file system the data folder is on, and how it is mounted.

use super::{Check, shown};
use std::path::Path;

/// The mount that a path is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mount {
    /// `ext4`, `xfs` …
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
}

/// The mount of a path, from `/proc/self/mountinfo`. `None`: there is no such file, or it is not understood.
pub(super) fn mount_of(path: &Path) -> Option<Mount> {
    let path = path.canonicalize().ok()?;
    find(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, &path)
}

fn find(text: &str, path: &Path) -> Option<Mount> {
    // Of two mounts at one place the later one is seen.
    let mounts = text.lines().filter_map(parse).filter(|(at, _)| path.starts_with(at));
    mounts.max_by_key(|(at, _)| at.len()).map(|(_, mount)| mount)
}

/// `ID PARENT MAJOR:MINOR ROOT AT OPTIONS … - KIND SOURCE OPTIONS`.
fn parse(line: &str) -> Option<(String, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(4);
    let (at, options) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, source, more) = (right.next()?, right.next()?, right.next().unwrap_or(""));
    let options = options.split(',').chain(more.split(',')).map(str::to_owned).collect();
    Some((plain(at), Mount { kind: kind.to_owned(), source: plain(source), options }))
}

/// Spaces and their like are written as octal digits.
fn plain(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// File systems in memory: gone with the power.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];
/// File systems of another machine: their locks and syncs are that machine's promise.
const REMOTE: [&str; 9] =
    ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "fuse.sshfs", "fuse.glusterfs"];

pub(super) fn look(data_dir: &Path) -> Check {
    match mount_of(data_dir) {
        Some(mount) => judge(data_dir, &mount),
        None => Check::warn(
            "file system",
            format!("what {} is on cannot be told", shown(data_dir)),
            "look at /proc/self/mountinfo",
        ),
    }
}

fn judge(data_dir: &Path, mount: &Mount) -> Check {
    const NAME: &str = "file system";
    let kind = mount.kind.as_str();
    let seen = format!("{} is on {kind} ({})", shown(data_dir), mount.source);
    let local = "put the data folder on a local disk with ext4 or xfs";
    if mount.options.iter().any(|option| option == "ro") {
        return Check::fail(
            NAME,
            format!("{seen}, mounted read-only"),
            "mount it for writing: a file system turns read-only by itself when its disk has errors (dmesg)",
        );
    }
    if let Some(option) = mount.options.iter().find(|option| *option == "nobarrier" || *option == "barrier=0")
    {
        let text =
            format!("{seen}, mounted with {option}: syncs do not reach a disk that has a cache of its own");
        return Check::fail(NAME, text, format!("mount it without {option}"));
    }
    if IN_MEMORY.contains(&kind) {
        let text = format!("{seen}: all that is acknowledged is lost with the power");
        return Check::warn(NAME, text, local);
    }
    if REMOTE.contains(&kind) {
        let text = format!("{seen}: what a sync means, another machine decides");
        return Check::warn(NAME, text, local);
    }
    if kind == "overlay" {
        let text =
            format!("{seen}, the layer of a container: it goes with the container, and a volume is faster");
        return Check::warn(NAME, text, "mount a volume at the data folder");
    }
    if kind.starts_with("fuse") {
        return Check::warn(NAME, format!("{seen}: a program decides what a sync means"), local);
    }
    Check::ok(NAME, seen)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const TABLE: &str = "\
24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 24 0:40 / /mnt rw - tmpfs none rw,size=1k
31 24 8:1 / /mnt/my\\040disk rw,noatime shared:7 master:2 - xfs /dev/sda1 rw,nobarrier
32 24 0:41 / /run ro - overlay overlay rw,lowerdir=/a
33 24 0:42 / /net rw - nfs4 server:/x rw
";

    fn verdict(path: &str) -> (Verdict, String) {
        let mount = find(TABLE, Path::new(path)).unwrap();
        let check = judge(Path::new(path), &mount);
        (check.verdict, check.message)
    }

    #[test]
    fn mount_of_a_path_is_the_deepest_one_that_holds_it() {
        assert_eq!(find(TABLE, Path::new("/var/lib/dfs")).unwrap().source, "/dev/vda");
        assert_eq!(find(TABLE, Path::new("/mnt/x")).unwrap().kind, "tmpfs");
        assert_eq!(find(TABLE, Path::new("/mnt/my disk/d")).unwrap().source, "/dev/sda1");
        assert_eq!(find(TABLE, Path::new("/mnt-other")).unwrap().source, "/dev/vda");
        assert_eq!(find("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn file_systems_that_keep_no_promise_are_told() {
        assert_eq!(verdict("/var/lib/dfs").0, Verdict::Ok);
        assert_eq!(verdict("/mnt/x").0, Verdict::Warn);
        assert_eq!(verdict("/net/x").0, Verdict::Warn);
        let (found, text) = verdict("/mnt/my disk/d");
        assert!(found == Verdict::Fail && text.contains("nobarrier"), "{text}");
        let (found, text) = verdict("/run/d");
        assert!(found == Verdict::Fail && text.contains("read-only"), "{text}");
    }
}
