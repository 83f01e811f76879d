//! Who has which share mounted: what clients told with MOUNT, and what they are seen to use.
//!
//! NFSv3 has no mounts, only handles: nothing depends on this list, it is for people, for `showmount` and for telling whom a
//! change would cut. A client tells of its mounts and (mostly) of their end; a restart forgets both. So a client that uses a
//! share without having told of a mount is put down with its first call of a connection. Who has not been heard of for
//! [`SILENT_MAX`] is taken off.
//!
//! Bounded per client and in all: a client that mounts a million paths fills its own part only.

use crate::metrics::NfsMetrics;
use crate::wire::List;
use crate::wire::mount::{DirPath, HostName, MountEntry};
use bytes::Bytes;
use dfs_model::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// Most mounts that are remembered of one client.
const OF_CLIENT_MAX: usize = 64;
/// Most mounts that are remembered.
const MOUNTS_MAX: usize = 16 * 1024;
/// Most bytes of a list that is sent.
pub(crate) const LIST_BYTES_MAX: usize = 128 * 1024;
/// After so many seconds without a connection a mount is taken for gone: clients close idle connections within minutes, and a
/// machine that sleeps over night comes back.
const SILENT_MAX: i64 = 24 * 60 * 60;

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRecord {
    /// The client.
    pub client: IpAddr,
    /// What it mounted, as it said it: `/share` or a directory below.
    pub path: String,
    /// The share.
    pub share: String,
    /// When it was told of, or seen first.
    pub since: Timestamp,
}

#[derive(Clone, Copy)]
struct Known {
    since: Timestamp,
    heard: Timestamp,
    /// Whether the client told of it.
    told: bool,
}

#[derive(Default)]
struct Table {
    by_client: BTreeMap<IpAddr, BTreeMap<Bytes, Known>>,
    /// Mounts of all clients.
    count: usize,
}

impl Table {
    /// Takes off what `ends` says of a client's mounts.
    fn end(&mut self, client: IpAddr, ends: impl Fn(&Bytes, &Known) -> bool) {
        let Some(paths) = self.by_client.get_mut(&client) else { return };
        let before = paths.len();
        paths.retain(|path, known| !ends(path, known));
        self.count -= before - paths.len();
        if paths.is_empty() {
            self.by_client.remove(&client);
        }
    }
}

/// The mounts of all clients, by path.
#[derive(Default)]
pub(crate) struct Mounts {
    known: Mutex<Table>,
}

/// The share that a mounted path is in.
fn share_of(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or_default()
}

impl Mounts {
    /// Puts a mount down that a client told of.
    pub(crate) fn add(&self, client: IpAddr, path: &[u8], now: Timestamp, metrics: &NfsMetrics) {
        self.put(client, path, now, true, metrics);
    }

    /// One more than fits takes the place of the client's longest unheard one, or is left out.
    fn put(&self, client: IpAddr, path: &[u8], now: Timestamp, told: bool, metrics: &NfsMetrics) {
        let mut table = self.known.lock();
        let full = table.count >= MOUNTS_MAX;
        let of_client = table.by_client.entry(client).or_default();
        let before = of_client.len();
        if !of_client.contains_key(path) && (full || before >= OF_CLIENT_MAX) {
            let oldest = of_client.iter().min_by_key(|(_, known)| known.heard).map(|(path, _)| path.clone());
            match oldest {
                Some(oldest) => of_client.remove(&oldest),
                None => {
                    table.by_client.remove(&client);
                    return;
                }
            };
        }
        let since = of_client.get(path).map_or(now, |before| before.since);
        of_client.insert(Bytes::copy_from_slice(path), Known { since, heard: now, told });
        let after = of_client.len();
        table.count = table.count + after - before;
        metrics.mounts.set(table.count as f64);
    }

    /// Puts down that a client uses a share, where it has not told of a mount of it.
    pub(crate) fn seen(&self, client: IpAddr, share: &str, now: Timestamp, metrics: &NfsMetrics) {
        {
            let mut table = self.known.lock();
            let of_client = table.by_client.get_mut(&client).into_iter().flatten();
            let mut of_share = of_client.filter(|(path, _)| share_of(path) == share.as_bytes()).peekable();
            if of_share.peek().is_some() {
                of_share.for_each(|(_, known)| known.heard = now);
                return;
            }
        }
        self.put(client, format!("/{share}").as_bytes(), now, false, metrics);
    }

    /// Takes a path, or all, of a client off. What it was only seen to use of the same share goes with the path: it is what a
    /// restart had forgotten.
    pub(crate) fn remove(&self, client: IpAddr, path: Option<&DirPath>, metrics: &NfsMetrics) {
        let mut table = self.known.lock();
        table.end(client, |known, at| {
            let ends =
                |path: &DirPath| path.0 == *known || (!at.told && share_of(known) == share_of(&path.0));
            path.is_none_or(ends)
        });
        metrics.mounts.set(table.count as f64);
    }

    /// Notes that a client was there until now.
    pub(crate) fn heard(&self, client: IpAddr, now: Timestamp) {
        if let Some(of_client) = self.known.lock().by_client.get_mut(&client) {
            of_client.values_mut().for_each(|known| known.heard = now);
        }
    }

    /// Takes off who has no connection and has been silent for long, and every mount of shares that are no more.
    pub(crate) fn prune(
        &self,
        connected: &HashSet<IpAddr>,
        exists: impl Fn(&[u8]) -> bool,
        now: Timestamp,
        metrics: &NfsMetrics,
    ) {
        let mut table = self.known.lock();
        let clients: Vec<IpAddr> = table.by_client.keys().copied().collect();
        for client in clients {
            let there = connected.contains(&client);
            table.end(client, |path, known| {
                let silent = !there && now.secs - known.heard.secs >= SILENT_MAX;
                silent || !exists(share_of(path))
            });
        }
        metrics.mounts.set(table.count as f64);
    }

    /// All mounts, by client and path.
    pub(crate) fn list(&self) -> Vec<MountRecord> {
        let table = self.known.lock();
        let all = table
            .by_client
            .iter()
            .flat_map(|(client, paths)| paths.iter().map(move |(path, at)| (client, path, at)));
        all.map(|(client, path, at)| MountRecord {
            client: *client,
            path: String::from_utf8_lossy(path).into_owned(),
            share: String::from_utf8_lossy(share_of(path)).into_owned(),
            since: at.since,
        })
        .collect()
    }

    /// The list as MOUNT DUMP sends it, as much as fits.
    pub(crate) fn dump(&self) -> List<MountEntry> {
        let mut bytes = 0;
        let table = self.known.lock();
        let all =
            table.by_client.iter().flat_map(|(client, paths)| paths.keys().map(move |path| (client, path)));
        let entry = |(client, path): (&IpAddr, &Bytes)| MountEntry {
            host: HostName(Bytes::from(client.to_string())),
            path: DirPath(path.clone()),
        };
        let fits = |entry: &MountEntry| {
            bytes += 20 + entry.host.0.len() + entry.path.0.len();
            bytes <= LIST_BYTES_MAX
        };
        List(all.map(entry).take_while(fits).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::new(secs, 0)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn paths(mounts: &Mounts) -> Vec<(u8, String)> {
        let last = |client| match client {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        };
        mounts.list().into_iter().map(|mount| (last(mount.client), mount.path)).collect()
    }

    #[test]
    fn share_in_use_is_put_down_once_and_not_beside_a_mount_that_was_told() {
        let (mounts, metrics) = (Mounts::default(), NfsMetrics::new());
        mounts.add(ip(1), b"/docs/sub", at(1), &metrics);
        mounts.seen(ip(1), "docs", at(2), &metrics);
        mounts.seen(ip(2), "docs", at(3), &metrics);
        mounts.seen(ip(2), "docs", at(4), &metrics);
        assert_eq!(paths(&mounts), [(1, "/docs/sub".to_owned()), (2, "/docs".to_owned())]);
        let list = mounts.list();
        assert_eq!((list[0].share.as_str(), list[1].since), ("docs", at(3)));
        mounts.remove(ip(2), Some(&DirPath::from("/docs/sub")), &metrics);
        assert_eq!(paths(&mounts).len(), 1, "mounted below the root before a restart");
        mounts.remove(ip(1), Some(&DirPath::from("/docs")), &metrics);
        assert_eq!(paths(&mounts).len(), 1, "another path than was told of");
    }

    #[test]
    fn one_client_fills_its_own_part_only_and_all_of_them_the_whole() {
        let (mounts, metrics) = (Mounts::default(), NfsMetrics::new());
        mounts.add(ip(2), b"/kept", at(0), &metrics);
        for nth in 0..10 * OF_CLIENT_MAX {
            mounts.add(ip(1), format!("/docs/{nth}").as_bytes(), at(nth as i64), &metrics);
        }
        let list = mounts.list();
        assert_eq!(list.len(), OF_CLIENT_MAX + 1);
        assert!(list.iter().any(|mount| mount.path == "/kept"));
        assert!(list.iter().any(|mount| mount.path == format!("/docs/{}", 10 * OF_CLIENT_MAX - 1)));
        for client in 0..2 * MOUNTS_MAX as u32 {
            mounts.add(IpAddr::from((10 << 24 | client).to_be_bytes()), b"/docs", at(1), &metrics);
        }
        assert_eq!((mounts.list().len(), mounts.known.lock().count), (MOUNTS_MAX, MOUNTS_MAX));
    }

    #[test]
    fn silent_clients_and_deleted_shares_are_taken_off() {
        let (mounts, metrics) = (Mounts::default(), NfsMetrics::new());
        mounts.add(ip(1), b"/docs", at(0), &metrics);
        mounts.add(ip(2), b"/docs", at(0), &metrics);
        mounts.add(ip(3), b"/docs", at(0), &metrics);
        mounts.add(ip(3), b"/gone/x", at(0), &metrics);
        mounts.heard(ip(3), at(SILENT_MAX));
        mounts.prune(&HashSet::from([ip(1)]), |share| share == b"docs", at(SILENT_MAX), &metrics);
        assert_eq!(paths(&mounts), [(1, "/docs".to_owned()), (3, "/docs".to_owned())]);
        assert_eq!(mounts.known.lock().count, 2);
    }
}
