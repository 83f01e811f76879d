//! Tells other gateways what changed, and hears what they tell.
//!
//! A message is one NOTIFY on the channel `dfs_changes`: `inodes SENDER SHARE ID,ID,…` after changes, `share SHARE HOLDER`
//! from within the transaction that took or deleted a share. Changes are sent a moment after they returned, many in one
//! message, by a transaction of their own: a NOTIFY within the operations' transactions would make all of them commit one
//! after the other (Postgres orders notifying transactions by a lock held through the commit). That is enough: whoever shows
//! a share to clients owns it, and taking it is told within the transaction that takes it. What was missed while not
//! connected is told as [`Changed::Everything`]. *A crash* loses messages of changes, never that of a new owner.

use super::Inner;
use crate::StoreResult;
use dfs_model::{InodeId, ShareId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_postgres::{Client, Notification};

/// Changes that wait to be told; more are told as "the whole share".
const OUTBOX: usize = 4096;
/// Changes that a slow listener may lag behind before it is told to read everything again.
const INBOX: usize = 1024;
/// How long changes are gathered for one message.
const GATHER: Duration = Duration::from_millis(5);
/// Ids in one message: its payload stays below the 8000 bytes that Postgres takes.
const IDS_MAX: usize = 350;
/// First and longest pause before the listener connects again.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What another gateway changed: rows to read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These inodes, and the names in those that are directories.
    Inodes(ShareId, Vec<InodeId>),
    /// All of a share: it has a new owner, it is gone, or too much changed to list.
    Share(ShareId),
    /// Anything: messages may have been missed.
    Everything,
}

/// Where changes wait to be told.
pub struct Outbox {
    queue: mpsc::Sender<(ShareId, InodeId)>,
    overflow: parking_lot::Mutex<BTreeSet<ShareId>>,
    heard: broadcast::Sender<Changed>,
}

/// An outbox and the end at which it is read.
pub fn outbox() -> (Outbox, mpsc::Receiver<(ShareId, InodeId)>) {
    let (queue, published) = mpsc::channel(OUTBOX);
    let (heard, _) = broadcast::channel(INBOX);
    (Outbox { queue, overflow: parking_lot::Mutex::default(), heard }, published)
}

impl Inner {
    /// Notes changed inodes for the next message; never waits.
    pub(super) fn changed(&self, share: ShareId, inodes: &[InodeId]) {
        for inode in inodes {
            if self.changes.queue.try_send((share, *inode)).is_err() {
                self.changes.overflow.lock().insert(share);
            }
        }
    }

    /// Changes that other gateways tell, from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Changed> {
        self.changes.heard.subscribe()
    }

    /// Takes what a message says. A message of this store itself says nothing new.
    fn hear(&self, payload: &str) {
        let words: Vec<&str> = payload.split(' ').collect();
        let share = |text: &str| u128::from_str_radix(&text.replace('-', ""), 16).ok().map(ShareId);
        match words.as_slice() {
            ["inodes", sender, ..] if *sender == format!("{:032x}", self.id) => {}
            ["inodes", _, of, ids] => {
                let Some(of) = share(of) else { return };
                let ids: Option<Vec<InodeId>> =
                    ids.split(',').map(|id| id.parse().ok().map(InodeId)).collect();
                let told = ids.map_or(Changed::Share(of), |ids| Changed::Inodes(of, ids));
                // Nobody listening is fine.
                let _ = self.changes.heard.send(told);
            }
            ["share", of, _] => {
                let Some(of) = share(of) else { return };
                // An old message may say what is not so any more: the database decides.
                self.renew_asked.notify_one();
                let _ = self.changes.heard.send(Changed::Share(of));
            }
            _ => tracing::debug!(payload, "a message on the channel of changes that is not ours"),
        }
    }

    async fn tell(&self, client: &Client, changes: BTreeMap<ShareId, BTreeSet<InodeId>>) -> StoreResult<()> {
        let overflow = std::mem::take(&mut *self.changes.overflow.lock());
        let mut payloads = Vec::new();
        for (share, inodes) in changes.iter().filter(|(share, _)| !overflow.contains(share)) {
            let ids: Vec<String> = inodes.iter().map(|inode| inode.0.to_string()).collect();
            for some in ids.chunks(IDS_MAX) {
                payloads.push(format!("inodes {:032x} {share} {}", self.id, some.join(",")));
            }
        }
        payloads.extend(overflow.iter().map(|share| format!("share {share} {}", self.config.holder)));
        for payload in payloads {
            let told = client.query("SELECT pg_notify('dfs_changes', $1)", &[&payload]).await;
            told.map_err(|error| crate::StoreError::Unavailable(super::call::said(&error)))?;
        }
        Ok(())
    }
}

/// Listens and tells until the store is gone.
pub async fn run(store: Weak<Inner>, mut published: mpsc::Receiver<(ShareId, InodeId)>) {
    let mut pause = PAUSE_MIN;
    loop {
        let Some(strong) = store.upgrade() else { return };
        let connected = connect(&strong).await;
        drop(strong);
        if let Some((client, heard)) = connected {
            pause = PAUSE_MIN;
            if let Some(strong) = store.upgrade() {
                // What was missed before is unknown.
                let _ = strong.changes.heard.send(Changed::Everything);
            }
            session(&store, &client, heard, &mut published).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn connect(store: &Inner) -> Option<(Client, mpsc::Receiver<Notification>)> {
    let (sender, heard) = mpsc::channel(INBOX);
    let client = store.pool.manager().listening(sender).await.ok()?;
    client.batch_execute("LISTEN dfs_changes").await.ok()?;
    Some((client, heard))
}

/// One connection's life.
async fn session(
    store: &Weak<Inner>,
    client: &Client,
    mut heard: mpsc::Receiver<Notification>,
    published: &mut mpsc::Receiver<(ShareId, InodeId)>,
) {
    loop {
        tokio::select! {
            note = heard.recv() => {
                let (Some(note), Some(store)) = (note, store.upgrade()) else { return };
                store.hear(note.payload());
            }
            first = published.recv() => {
                let Some((share, inode)) = first else { return };
                tokio::time::sleep(GATHER).await;
                let mut changes: BTreeMap<ShareId, BTreeSet<InodeId>> = BTreeMap::new();
                changes.entry(share).or_default().insert(inode);
                while let Ok((share, inode)) = published.try_recv() {
                    changes.entry(share).or_default().insert(inode);
                }
                let Some(store) = store.upgrade() else { return };
                if store.tell(client, changes).await.is_err() {
                    return;
                }
            }
        }
    }
}
