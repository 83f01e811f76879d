//! The owner object: which life of the share may delete from the bucket.
//!
//! ```text
//!  Pending ──take──▶ Held(since) ──somebody else's record seen──▶ Lost(by)      (until the next opening)
//! ```
//! `<prefix>/<share>/owner` is taken by conditional put at start and read again before every batch of deletes. A gateway that
//! finds another's record in it marks the object contested, once, so that the other stops deleting too: a copy of the box
//! can never sweep the packs of the original. Only deletes need it; uploads go under random ids and harm nobody.
//!
//! A crash leaves the object as it is; the next opening has a larger epoch and takes it.

use crate::error::StackError;
use crate::metrics::StackMetrics;
use crate::stack::Shared;
use bytes::Bytes;
use dfs_block::block_hash;
use dfs_cold::{ColdErrorKind, ColdStore, KeySpace, ObjectVersion};
use dfs_model::{Epoch, Generation, Monotonic, ShareId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const MAGIC: &str = "dfs-owner 1";
/// Begin of the last line: the xxh3-64 of the lines before it.
const HASH: &str = "hash ";
/// How often an object that makes no sense is read before it counts as somebody else's: a path that damages an answer is
/// no claim on the share.
const READS_MAX: usize = 4;
/// Tries to take the object when others write it at the same time.
const TAKES_MAX: usize = 4;
/// How long an opening waits for the object store: an outage must not keep a share from being served.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);

/// What the owner object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRecord {
    /// Life of the share.
    pub incarnation: Generation,
    /// Opening in that life.
    pub epoch: Epoch,
    /// Machine, for humans.
    pub host: String,
    /// Random number of the opening: tells two copies with one epoch apart.
    pub nonce: u128,
    /// Two gateways claim the share: nobody deletes.
    pub contested: bool,
    /// Pack format in use.
    pub format: u32,
}

impl OwnerRecord {
    /// The object's bytes: lines of text, for an administrator to read.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let host: String = self.host.chars().filter(|c| !c.is_control()).take(255).collect();
        let mut text = format!(
            "{MAGIC}\nincarnation {}\nepoch {}\nhost {host}\nnonce {:032x}\ncontested {}\nformat {}\n",
            self.incarnation, self.epoch, self.nonce, self.contested, self.format
        );
        let hash = block_hash(text.as_bytes());
        text.push_str(&format!("{HASH}{hash:016x}\n"));
        Bytes::from(text)
    }

    /// Reads it back; `None` for anything else, a record with one byte changed included.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<OwnerRecord> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (text, hash) = text.strip_suffix('\n')?.rsplit_once(HASH)?;
        if u64::from_str_radix(hash, 16).ok()? != block_hash(text.as_bytes()) {
            return None;
        }
        let mut lines = text.lines();
        if lines.next()? != MAGIC {
            return None;
        }
        let mut fields = std::collections::BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            fields.insert(name, value);
        }
        Some(OwnerRecord {
            incarnation: Generation(fields.get("incarnation")?.parse().ok()?),
            epoch: Epoch(fields.get("epoch")?.parse().ok()?),
            host: (*fields.get("host")?).to_owned(),
            nonce: u128::from_str_radix(fields.get("nonce")?, 16).ok()?,
            contested: fields.get("contested")?.parse().ok()?,
            format: fields.get("format")?.parse().ok()?,
        })
    }
}

/// Whether this gateway may delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// Not taken yet: the object store did not answer.
    Pending,
    /// Ours since then.
    Held {
        /// When it was taken.
        since: Monotonic,
    },
    /// Somebody else's record was there: nothing is deleted any more.
    Lost {
        /// His machine.
        host: String,
    },
}

pub(crate) struct Owner {
    shared: Arc<Shared>,
    keys: KeySpace,
    ours: OwnerRecord,
    state: Mutex<OwnerState>,
    metrics: StackMetrics,
}

/// Looks, before an epoch is taken, whether the object names a newer opening than `epoch` of `incarnation`; changes nothing.
/// A refused opening must leave the epoch alone: raised at every try it would pass the other's in the end.
///
/// *Errors:* `Owned`. Trouble with the object store is none: [`Owner::take_at_open`] tells of it.
pub(crate) async fn look(
    cold: &dyn ColdStore,
    keys: &KeySpace,
    share: ShareId,
    incarnation: Generation,
    epoch: Epoch,
) -> Result<(), StackError> {
    let key = keys.owner(share);
    let Ok(Ok(found)) = tokio::time::timeout(OPEN_PATIENCE, read(cold, &key)).await else { return Ok(()) };
    let newer = |host: &str, incarnation: Generation, epoch: Epoch| StackError::Owned {
        host: host.to_owned(),
        incarnation: incarnation.0,
        epoch: epoch.0,
    };
    match found {
        Found::Foreign => Err(newer("unknown", Generation(0), Epoch(0))),
        Found::Record(theirs, _) if (theirs.incarnation, theirs.epoch) > (incarnation, epoch) => {
            Err(newer(&theirs.host, theirs.incarnation, theirs.epoch))
        }
        Found::Record(..) | Found::Nothing => Ok(()),
    }
}

/// Reads the object, again where it makes no sense.
async fn read(cold: &dyn ColdStore, key: &dfs_cold::Key) -> Result<Found, StackError> {
    for _ in 0..READS_MAX {
        match cold.get_owner(key).await {
            Ok((bytes, version)) => {
                if let Some(record) = OwnerRecord::decode(&bytes) {
                    return Ok(Found::Record(record, version));
                }
                tracing::warn!(%key, "the owner object makes no sense; it is read again");
            }
            Err(error) if error.is_not_found() => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Found::Foreign)
}

/// What was found in the object.
enum Found {
    Nothing,
    Record(OwnerRecord, ObjectVersion),
    Foreign,
}

impl Owner {
    pub fn new(shared: Arc<Shared>, keys: KeySpace, incarnation: Generation) -> Owner {
        let ours = OwnerRecord {
            incarnation,
            epoch: shared.epoch,
            host: shared.settings.host.clone(),
            nonce: shared.entropy.random_u128(),
            contested: false,
            format: 1,
        };
        Owner { shared, keys, ours, state: Mutex::new(OwnerState::Pending), metrics: StackMetrics::new() }
    }

    pub fn state(&self) -> OwnerState {
        self.state.lock().clone()
    }

    /// Takes the object at the opening. Trouble with the object store is left to [`Owner::check`]. *Errors:* `Owned`.
    pub async fn take_at_open(&self) -> Result<(), StackError> {
        // A put that is given up here and lands later carries our number: the next try knows it.
        let error = match tokio::time::timeout(OPEN_PATIENCE, self.take()).await {
            Ok(Err(StackError::Cold(error))) => error.to_string(),
            Ok(other) => return other,
            Err(_) => format!("no answer within {} s", OPEN_PATIENCE.as_secs()),
        };
        tracing::warn!(share = %self.shared.share, error, "the owner object is taken later; nothing is deleted until then");
        self.shared.note_error(&error);
        Ok(())
    }

    async fn take(&self) -> Result<(), StackError> {
        let key = self.keys.owner(self.shared.share);
        for _ in 0..TAKES_MAX {
            let expected = match self.find().await? {
                Found::Nothing => None,
                Found::Foreign => return Err(self.refused("unknown", Generation(0), Epoch(0))),
                Found::Record(record, version) => {
                    let theirs = (record.incarnation, record.epoch);
                    if theirs >= (self.ours.incarnation, self.ours.epoch) && record.nonce != self.ours.nonce {
                        return Err(self.refused(&record.host, record.incarnation, record.epoch));
                    }
                    Some(version)
                }
            };
            match self.shared.cold.put_owner(&key, self.ours.encode(), expected.as_ref()).await {
                Ok(_) => {
                    *self.state.lock() = OwnerState::Held { since: self.shared.clock.monotonic() };
                    return Ok(());
                }
                Err(error) if error.kind == ColdErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.refused("unknown", Generation(0), Epoch(0)))
    }

    fn refused(&self, host: &str, incarnation: Generation, epoch: Epoch) -> StackError {
        *self.state.lock() = OwnerState::Lost { host: host.to_owned() };
        StackError::Owned { host: host.to_owned(), incarnation: incarnation.0, epoch: epoch.0 }
    }

    async fn find(&self) -> Result<Found, StackError> {
        read(self.shared.cold.as_ref(), &self.keys.owner(self.shared.share)).await
    }

    /// Looks whether the object is still ours; takes it where it was not taken yet. *Errors:* `Cold` when nothing is known.
    pub async fn check(&self) -> Result<(), StackError> {
        match self.state() {
            OwnerState::Pending => self.take().await,
            OwnerState::Lost { host } => Err(StackError::Owned { host, incarnation: 0, epoch: 0 }),
            OwnerState::Held { .. } => match self.find().await? {
                Found::Record(record, _) if record == self.ours => Ok(()),
                Found::Record(record, version) => Err(self.lose(record, Some(version)).await),
                Found::Nothing | Found::Foreign => {
                    let nobody = OwnerRecord { host: String::from("unknown"), ..self.ours.clone() };
                    Err(self.lose(nobody, None).await)
                }
            },
        }
    }

    /// Stops deleting, and makes the other stop too.
    async fn lose(&self, theirs: OwnerRecord, version: Option<ObjectVersion>) -> StackError {
        tracing::error!(
            share = %self.shared.share,
            host = %theirs.host,
            "another gateway took this share's owner object: nothing is deleted from the bucket until one of them is stopped and this one restarted"
        );
        self.metrics.owner_lost.increment(1);
        self.shared.note_error(&format!("the owner object was taken by {}", theirs.host));
        let error = self.refused(&theirs.host, theirs.incarnation, theirs.epoch);
        if let Some(version) = version.filter(|_| !theirs.contested) {
            let marked = OwnerRecord { contested: true, ..theirs };
            let key = self.keys.owner(self.shared.share);
            if let Err(error) = self.shared.cold.put_owner(&key, marked.encode(), Some(&version)).await {
                tracing::warn!(%error, "the owner object could not be marked as contested");
            }
        }
        error
    }

    /// Whether a batch of deletes may go out now: held, settled, and still so in the bucket.
    pub async fn may_delete(&self, settle: Duration) -> Result<bool, StackError> {
        self.check().await?;
        match self.state() {
            OwnerState::Held { since } => Ok(self.shared.clock.monotonic().since(since) >= settle),
            OwnerState::Pending | OwnerState::Lost { .. } => Ok(false),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn owner_record_goes_there_and_back_and_garbage_is_nobodys() {
        let record = OwnerRecord {
            incarnation: Generation(3),
            epoch: Epoch(77),
            host: String::from("box one\n"),
            nonce: 0xfeed,
            contested: true,
            format: 1,
        };
        let bytes = record.encode();
        let back = OwnerRecord::decode(&bytes).unwrap();
        assert_eq!(back, OwnerRecord { host: String::from("box one"), ..record });
        for at in 0..bytes.len() {
            assert_eq!(OwnerRecord::decode(&bytes[..at]), None, "cut at {at}");
            let mut wrong = bytes.to_vec();
            wrong[at] ^= 0x10;
            assert_eq!(OwnerRecord::decode(&wrong), None, "changed at {at}");
        }
        assert_eq!(OwnerRecord::decode(b"dfs-owner 2\nepoch 1\n"), None);
        assert_eq!(OwnerRecord::decode(&[0xff; 40]), None);
    }
}
