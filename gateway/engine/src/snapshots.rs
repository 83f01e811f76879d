//! Snapshots of the share: taken, listed, deleted, and by a schedule.
//!
//! ```text
//!  take: window open ─ drain what was acknowledged ─ one transaction ─ durable ─ window shut
//! ```
//! A snapshot holds every file at one point of its own history, at or after what was acknowledged when it was asked for, and
//! all names as of one moment. While the window is open, a rename over a name first places the bytes of what it moves, so that
//! no snapshot shows the new name without them.
//!
//! What is past is reached through `/.snapshots`, by ids of its own ([`InodeId::in_snapshot`]); every read is the same code as
//! for what is there, every change is refused. A crash leaves a snapshot or none, and what a deleted one kept is given back
//! by the next opening.

use crate::engine::Engine;
use dfs_model::{FsError, InodeId, Name, Timestamp};
use dfs_stack::{FlushScope, StackError};
use dfs_store::{Snapshot, SnapshotOrigin, StoreError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Name of the directory of snapshots in the share's root.
pub(crate) const FOLDER: &str = ".snapshots";
/// How often the schedule is looked at.
const ROUND: Duration = Duration::from_secs(30);
/// How long a snapshot waits for what is to be drained.
const PATIENCE: Duration = Duration::from_secs(300);
/// Begin of the names of snapshots that the schedule takes.
const SCHEDULED: &str = "auto-";
/// Settings of the share in which its metadata store keeps the schedule.
const EVERY: &str = "snapshot_every";
const KEEP: &str = "snapshot_keep";
const KEEP_FOR: &str = "snapshot_keep_for";

/// When snapshots are taken by themselves, and which of those stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSchedule {
    /// Time from one to the next; at least a minute.
    pub every: Duration,
    /// The newest so many stay.
    pub keep: Option<u32>,
    /// Those that are younger stay.
    pub keep_for: Option<Duration>,
}

impl SnapshotSchedule {
    /// Shortest time between two snapshots.
    pub const EVERY_MIN: Duration = Duration::from_secs(60);

    fn of_settings(settings: &[(String, String)]) -> Option<SnapshotSchedule> {
        let value = |key: &str| settings.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let seconds = |key| value(key)?.parse().ok().map(Duration::from_secs);
        let keep = value(KEEP).and_then(|text| text.parse().ok());
        Some(SnapshotSchedule { every: seconds(EVERY)?, keep, keep_for: seconds(KEEP_FOR) })
    }

    /// Whether another snapshot is due, after the newest one that the schedule took.
    fn is_due(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        newest.is_none_or(|newest| newest.plus(self.every) <= now)
    }

    /// Whether one of the schedule's snapshots goes: `newer` came after it.
    fn ends(&self, newer: usize, taken: Timestamp, now: Timestamp) -> bool {
        let crowded = self.keep.is_some_and(|keep| newer >= keep as usize);
        crowded || self.keep_for.is_some_and(|age| taken.plus(age) <= now)
    }
}

/// What the engine holds of snapshots.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// Snapshots that are being taken: replacing renames place first.
    windows: AtomicUsize,
    /// Taken one after the other.
    turn: tokio::sync::Mutex<()>,
    /// Wakes the housekeeping.
    wake: Arc<tokio::sync::Notify>,
}

/// An open window; shut when it is dropped.
struct Window<'a>(&'a AtomicUsize);

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn fs(error: StoreError) -> FsError {
    error.to_fs()
}

/// Whether a name in a directory is the directory of snapshots'.
pub(crate) fn is_folder(dir: InodeId, name: &Name) -> bool {
    dir == InodeId::ROOT && name.as_bytes() == FOLDER.as_bytes()
}

impl Engine {
    /// Takes a snapshot. Durable on return.
    ///
    /// *Errors:* `Exists` for a name that is taken; `Limit`; `ColdUnavailable` while what was acknowledged cannot be placed;
    /// `ReadOnlyShare`. *Cancel:* leaves a snapshot or none.
    pub async fn take_snapshot(&self, name: Name, origin: SnapshotOrigin) -> Result<Snapshot, FsError> {
        self.check_writable()?;
        let _turn = self.snapshots.turn.lock().await;
        if self.all_snapshots().await?.iter().any(|there| there.name == name) {
            return Err(FsError::Exists);
        }
        self.snapshots.windows.fetch_add(1, Ordering::SeqCst);
        let _window = Window(&self.snapshots.windows);
        match tokio::time::timeout(PATIENCE, self.stack.flush(FlushScope::All)).await {
            Ok(Ok(())) => {}
            Ok(Err(StackError::Held(why))) => {
                tracing::warn!(share = %self.share, why, "the snapshot has older bytes of a damaged file");
            }
            Ok(Err(_)) => return Err(self.flusher_ended()),
            Err(_) => return Err(FsError::ColdUnavailable),
        }
        let cx = self.own_context();
        let taken = self.store.snapshot_create(self.op_context(&cx, Timestamp::EPOCH), name, origin).await;
        let taken = taken.map_err(fs)?;
        self.store.durable(taken.commit).await.map_err(fs)?;
        self.cells.forget(InodeId::SNAPSHOTS);
        tracing::info!(share = %self.share, snapshot = %taken.value.id, name = %String::from_utf8_lossy(taken.value.name.as_bytes()), "snapshot taken");
        Ok(taken.value)
    }

    /// The share's snapshots, oldest first.
    pub async fn all_snapshots(&self) -> Result<Vec<Snapshot>, FsError> {
        self.store.snapshots(self.share).await.map_err(fs)
    }

    /// The snapshot of a name. *Errors:* `NotFound`.
    pub async fn snapshot_named(&self, name: &Name) -> Result<Snapshot, FsError> {
        let all = self.all_snapshots().await?;
        all.into_iter().find(|there| there.name == *name).ok_or(FsError::NotFound)
    }

    /// Bytes that the share no longer has and a snapshot, perhaps with older ones, still does.
    pub async fn snapshot_bytes(&self, snapshot: &Snapshot) -> Result<u64, FsError> {
        self.store.snapshot_bytes(self.share, snapshot.id).await.map_err(fs)
    }

    /// Ends a snapshot; what it kept is given back in the background. Durable on return. *Errors:* `NotFound`.
    pub async fn delete_snapshot(&self, name: &Name) -> Result<(), FsError> {
        self.check_writable()?;
        let snapshot = self.snapshot_named(name).await?.id;
        let gone = self.store.snapshot_delete(self.share, self.epoch, snapshot).await.map_err(fs)?;
        self.store.durable(gone.commit).await.map_err(fs)?;
        self.cells.forget(InodeId::SNAPSHOTS);
        self.cells.forget_snapshot(snapshot);
        self.snapshots.wake.notify_one();
        Ok(())
    }

    /// Gives back all that deleted snapshots kept.
    pub async fn reap_snapshots(&self) -> Result<(), FsError> {
        while !self.store.snapshot_reap(self.share, self.epoch).await.map_err(fs)?.value {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The schedule, if the share has one.
    pub async fn snapshot_schedule(&self) -> Result<Option<SnapshotSchedule>, FsError> {
        let record = self.store.share(self.share).await.map_err(fs)?;
        Ok(SnapshotSchedule::of_settings(&record.settings))
    }

    /// Sets or ends the schedule. Durable on return. *Errors:* `InvalidArgument` for one that is too fast or keeps nothing.
    pub async fn set_snapshot_schedule(&self, schedule: Option<SnapshotSchedule>) -> Result<(), FsError> {
        let valid = |schedule: &SnapshotSchedule| {
            let keeps = schedule.keep != Some(0) && schedule.keep_for != Some(Duration::ZERO);
            schedule.every >= SnapshotSchedule::EVERY_MIN && keeps
        };
        if schedule.as_ref().is_some_and(|schedule| !valid(schedule)) {
            return Err(FsError::InvalidArgument);
        }
        let mut settings = self.store.share(self.share).await.map_err(fs)?.settings;
        settings.retain(|(name, _)| ![EVERY, KEEP, KEEP_FOR].contains(&name.as_str()));
        let mut set = |name: &str, value: Option<u64>| {
            settings.extend(value.map(|value| (name.to_owned(), value.to_string())));
        };
        set(EVERY, schedule.map(|schedule| schedule.every.as_secs()));
        set(KEEP, schedule.and_then(|schedule| schedule.keep).map(u64::from));
        set(KEEP_FOR, schedule.and_then(|schedule| schedule.keep_for).map(|age| age.as_secs()));
        self.store.set_share_settings(self.share, settings).await.map_err(fs)?;
        self.snapshots.wake.notify_one();
        Ok(())
    }

    /// What a caller is told when nothing is placed any more: the disk failed, or the gateway ends.
    pub(crate) fn flusher_ended(&self) -> FsError {
        self.check_writable().err().unwrap_or(FsError::Io)
    }

    /// While a snapshot is being taken, what replaces a name is placed first.
    pub(crate) async fn placed_before_replace(&self, moved: InodeId) -> Result<(), FsError> {
        if self.snapshots.windows.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        match tokio::time::timeout(PATIENCE, self.stack.flush(FlushScope::Inode(moved))).await {
            Ok(Ok(()) | Err(StackError::Held(_))) => Ok(()),
            Ok(Err(_)) => Err(self.flusher_ended()),
            Err(_) => Err(FsError::delay()),
        }
    }

    /// One round of the schedule: takes what is due, ends what its retention does not keep.
    pub(crate) async fn keep_schedule(&self) -> Result<(), FsError> {
        let Some(schedule) = self.snapshot_schedule().await? else { return Ok(()) };
        let now = self.clock.wall();
        let scheduled = |snapshot: &Snapshot| snapshot.origin == SnapshotOrigin::Schedule;
        let mut own = self.all_snapshots().await?;
        own.retain(scheduled);
        if schedule.is_due(own.last().map(|newest| newest.taken), now) {
            own.push(self.take_snapshot(scheduled_name(now)?, SnapshotOrigin::Schedule).await?);
        }
        let count = own.len();
        for (nth, snapshot) in own.iter().enumerate() {
            if schedule.ends(count - 1 - nth, snapshot.taken, now) {
                self.delete_snapshot(&snapshot.name).await?;
            }
        }
        Ok(())
    }
}

/// `auto-` and the time in UTC.
fn scheduled_name(now: Timestamp) -> Result<Name, FsError> {
    let (days, secs) = (now.secs.div_euclid(86_400), now.secs.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    Name::try_from(
        format!("{SCHEDULED}{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z").as_str(),
    )
}

/// Year, month and day of a day since 1970 (the Gregorian calendar, in eras of 400 years that begin in March).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Keeps the schedule and gives back what deleted snapshots kept, until the engine is dropped.
pub(crate) async fn run(engine: Weak<Engine>) {
    loop {
        let Some(held) = engine.upgrade() else { return };
        if held.check_writable().is_ok() {
            if let Err(error) = held.keep_schedule().await {
                tracing::warn!(share = %held.share, %error, "a snapshot of the schedule is taken, or ended, later");
            }
            if let Err(error) = held.reap_snapshots().await {
                tracing::warn!(share = %held.share, %error, "what a deleted snapshot kept is given back later");
            }
        }
        let wake = held.snapshots.wake.clone();
        drop(held);
        let _ = tokio::time::timeout(ROUND, wake.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_schedule_are_times() {
        let name = |secs| scheduled_name(Timestamp::new(secs, 5)).map(|name| name.to_bytes());
        assert_eq!(name(0), Ok("auto-19700101T000000Z".into()));
        assert_eq!(name(951_825_599), Ok("auto-20000229T115959Z".into()));
        assert_eq!(name(1_795_762_800), Ok("auto-20261127T070000Z".into()));
    }

    #[test]
    fn schedule_takes_when_due_and_keeps_by_count_and_age() {
        let at = |secs| Timestamp::new(secs, 0);
        let hour = Duration::from_secs(3600);
        let schedule = SnapshotSchedule { every: hour, keep: Some(2), keep_for: Some(hour * 5) };
        assert!(schedule.is_due(None, at(0)));
        assert!(!schedule.is_due(Some(at(10)), at(3609)) && schedule.is_due(Some(at(10)), at(3610)));
        assert!(!schedule.ends(1, at(10), at(20)) && schedule.ends(2, at(10), at(20)));
        assert!(!schedule.ends(0, at(10), at(18_009)) && schedule.ends(0, at(10), at(18_010)));
        let settings = [(EVERY, "60"), (KEEP, "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let read = SnapshotSchedule::of_settings(&settings);
        let every = Duration::from_secs(60);
        assert_eq!(read, Some(SnapshotSchedule { every, keep: Some(3), keep_for: None }));
        assert_eq!(SnapshotSchedule::of_settings(&settings[1..]), None);
    }
}
