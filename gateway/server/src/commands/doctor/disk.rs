//! The data folder: who may look in, whose it is, how much room there is.

use super::{Check, shown};
use crate::config::{Config, sizes_of};
use crate::runtime::budget::Sizes;
use crate::serve::{CONTROL_FILE, TOKEN_KEY_FILE};
use dfs_api::units::show_size;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Files that only the gateway's user may read. Those that are not there yet are made by the next start.
const SECRET: [&str; 4] = [CONTROL_FILE, TOKEN_KEY_FILE, "secrets.key", "admin-password"];

pub(super) fn look(config: &Config, data_dir: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    match std::fs::metadata(data_dir) {
        Ok(meta) => checks.push(judge_folder(
            data_dir,
            meta.mode(),
            meta.uid(),
            rustix::process::geteuid().as_raw(),
            rustix::fs::access(data_dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok(),
        )),
        Err(error) => {
            let text = format!("{}: {error}", shown(data_dir));
            return vec![Check::fail("data folder", text, "run this as the gateway's user")];
        }
    }
    checks.push(keys(data_dir));
    if let Some(sizes) = sizes_of(config, data_dir)
        && let Ok(stat) = rustix::fs::statvfs(data_dir)
    {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let journal = folder_bytes(&data_dir.join("journal"));
        checks.push(judge_space(bytes(stat.f_bavail), bytes(stat.f_blocks), &sizes, journal));
        if stat.f_files > 0 && stat.f_favail < 10_000 {
            let text = format!("{} inodes are free on the disk", stat.f_favail);
            checks.push(Check::warn("inodes", text, "delete small files beside the data folder"));
        }
    }
    checks
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.blocks() * 512).sum()
}

fn judge_folder(path: &Path, mode: u32, owner: u32, user: u32, writable: bool) -> Check {
    const NAME: &str = "data folder";
    let mode = mode & 0o7777;
    let seen = format!("{} has mode {mode:04o}, owner {owner}", shown(path));
    if !writable {
        return Check::fail(
            NAME,
            format!("{seen}: it cannot be written by user {user}"),
            "make it writable, or run the gateway as its owner",
        );
    }
    if mode & 0o022 != 0 {
        let text = format!("{seen}: others may put files in its place");
        return Check::fail(NAME, text, format!("chmod 0700 {}", shown(path)));
    }
    if mode & 0o077 != 0 {
        return Check::warn(
            NAME,
            format!("{seen}: others may look in"),
            format!("chmod 0700 {}", shown(path)),
        );
    }
    if owner != user && user != 0 {
        return Check::warn(NAME, format!("{seen}, and this is user {user}"), format!("chown it to {user}"));
    }
    Check::ok(NAME, seen)
}

/// Whether keys and the control database are closed to others.
fn keys(data_dir: &Path) -> Check {
    const NAME: &str = "keys";
    let mut seen = Vec::new();
    for name in SECRET {
        let path = data_dir.join(name);
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let mode = meta.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let text = format!("{name} has mode {mode:04o}: others may read what they must not know");
            return Check::fail(
                NAME,
                text,
                format!("chmod 0600 {}; if somebody may have read it, make new keys", shown(&path)),
            );
        }
        seen.push(name);
    }
    if !seen.contains(&TOKEN_KEY_FILE) {
        return Check::fail(
            NAME,
            format!("there is no {TOKEN_KEY_FILE}"),
            "`dfs init --force` makes what is missing and keeps the rest",
        );
    }
    if seen.contains(&"admin-password") {
        return Check::warn(
            NAME,
            "admin-password still holds the administrator's first password",
            "log in with `dfsctl login`, choose another, delete the file",
        );
    }
    Check::ok(NAME, format!("{} are closed to others", seen.join(", ")))
}

/// The journal is allocated as a whole; what of it is on the disk already is not wanted again.
fn judge_space(free: u64, total: u64, sizes: &Sizes, journal_now: u64) -> Check {
    const NAME: &str = "space";
    let wanted = sizes.journal.saturating_sub(journal_now);
    let seen = format!("{} of {} are free", show_size(free), show_size(total));
    if free < wanted.saturating_add(sizes.reserve) {
        let text = format!(
            "{seen}: the journal ({}) and the reserve for names ({}) do not fit",
            show_size(sizes.journal),
            show_size(sizes.reserve)
        );
        return Check::fail(NAME, text, "free some space, or make journal.size smaller");
    }
    if free - wanted < sizes.min_free {
        let text = format!("{seen}: below disk.min_free ({}) creates are refused", show_size(sizes.min_free));
        return Check::warn(NAME, text, "free some space, or make warm.size smaller");
    }
    Check::ok(
        NAME,
        format!("{seen}; journal {}, reserve {}", show_size(sizes.journal), show_size(sizes.reserve)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn folder_that_others_reach_or_that_is_closed_is_told() {
        let verdict =
            |mode, owner, user, writable| judge_folder(Path::new("/d"), mode, owner, user, writable).verdict;
        assert_eq!(verdict(0o40700, 7, 7, true), Verdict::Ok);
        assert_eq!(verdict(0o40755, 7, 7, true), Verdict::Warn);
        assert_eq!(verdict(0o40770, 7, 7, true), Verdict::Fail);
        assert_eq!(verdict(0o40700, 8, 7, true), Verdict::Warn);
        assert_eq!(verdict(0o40500, 7, 7, false), Verdict::Fail);
    }

    #[test]
    fn space_is_held_against_what_a_start_takes() {
        let sizes = Sizes { journal: 100, segment: 10, warm: 0, min_free: 50, reserve: 20 };
        let verdict = |free, journal| judge_space(free, 1000, &sizes, journal).verdict;
        assert_eq!(verdict(119, 0), Verdict::Fail);
        assert_eq!(verdict(120, 0), Verdict::Warn);
        assert_eq!(verdict(150, 0), Verdict::Ok);
        assert_eq!(verdict(49, 100), Verdict::Warn);
        assert_eq!(verdict(19, 100), Verdict::Fail);
    }

    #[test]
    fn key_that_others_may_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(keys(folder.path()).verdict, Verdict::Fail);
        let key = folder.path().join(TOKEN_KEY_FILE);
        std::fs::write(&key, "k").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(keys(folder.path()).verdict, Verdict::Ok);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(keys(folder.path()).verdict, Verdict::Fail);
    }
}
