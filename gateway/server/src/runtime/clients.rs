//! Who is connected, what they have mounted, and whom a change would cut off.

use super::Runtime;
use dfs_api::{ClientStatus, Mount, Problem};
use dfs_net::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The protocol of every client here.
const PROTOCOL: &str = "nfs3";

impl Runtime {
    /// Clients that are connected, oldest first.
    pub(super) fn list_clients(&self) -> Vec<ClientStatus> {
        self.nfs.peers().iter().map(|peer| self.client_status(peer)).collect()
    }

    fn client_status(&self, peer: &Peer) -> ClientStatus {
        let used = self.nfs.service.used(peer);
        let (received_bytes, sent_bytes) = peer.bytes();
        let connected_for = i64::try_from(peer.since.elapsed().as_secs()).unwrap_or(i64::MAX);
        ClientStatus {
            id: peer.connection.to_string(),
            protocol: PROTOCOL.to_owned(),
            address: peer.address.to_string(),
            connected_at: self.clock.wall().secs.saturating_sub(connected_for),
            requests: peer.requests(),
            received_bytes,
            sent_bytes,
            shares: used.shares,
            user_ids: used.users,
        }
    }

    /// Cuts a client off. What it asked for runs to its end; it may connect again as long as a share's client list has it.
    pub(super) fn cut_client(&self, id: &str) -> Result<(), Problem> {
        let peer = self.nfs.peers().into_iter().find(|peer| peer.connection.to_string() == id);
        let peer = peer.ok_or_else(|| Problem::not_found("connected client", id))?;
        tracing::info!(client = %peer.address, id, "cut off by command; it may connect again");
        peer.evict();
        Ok(())
    }

    /// What clients have mounted: one line per client and share.
    pub(super) fn list_mounts(&self) -> Vec<Mount> {
        let mut first: BTreeMap<(IpAddr, String), i64> = BTreeMap::new();
        for mount in self.nfs.service.mounts() {
            let since = first.entry((mount.client, mount.share)).or_insert(mount.since.secs);
            *since = (*since).min(mount.since.secs);
        }
        let line = |((client, share), mounted_at): ((IpAddr, String), i64)| Mount {
            client: client.to_string(),
            share,
            protocol: PROTOCOL.to_owned(),
            mounted_at,
        };
        first.into_iter().map(line).collect()
    }

    /// Clients that would be cut off if a share, or all of them, were no more: those who are connected and use it, and those
    /// who have it mounted and are silent now.
    pub(super) fn clients_of(&self, share: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        let mut connected: BTreeSet<(IpAddr, String)> = BTreeSet::new();
        for peer in self.nfs.peers() {
            let used = self.nfs.service.used(&peer).shares;
            match share {
                None => found.push(self.nfs.name_of(&peer)),
                Some(share) if used.iter().any(|used| used == share) => {
                    found.push(format!("{} (share {share})", peer.address));
                }
                Some(_) => {}
            }
            connected.extend(used.into_iter().map(|share| (peer.address.ip(), share)));
        }
        let silent =
            self.list_mounts().into_iter().filter(|mount| share.is_none_or(|share| share == mount.share));
        for mount in silent {
            let is_there =
                mount.client.parse().is_ok_and(|ip| connected.contains(&(ip, mount.share.clone())));
            if !is_there {
                found.push(format!("{} (has share {} mounted)", mount.client, mount.share));
            }
        }
        found
    }
}
