//! Quotas at work: who holds how much, dirty bytes included, and whether he may hold more.
//!
//! A share with quotas keeps a book in memory: per user, per group and for the share what placed files hold, as the metadata
//! store counts it, plus what the records of dirty files will add. What an inode is charged is what its attributes show as
//! allocated. Growth is judged and charged in one step before its record is appended or its transaction sent, under the
//! book's lock, so that writers side by side never exceed a limit together; a charge whose change failed is taken back.
//!
//! A crash loses the book; the next opening makes it again from the store's usage rows and the recovered overlay. A share
//! without quotas has no book and pays nothing.

use dfs_journal::Journal;
use dfs_model::quota::{Quota, QuotaLimits, QuotaSubject};
use dfs_model::{FsError, Identity, Inode, InodeId, Seq, Timestamp};
use dfs_store::{QuotaEntry, Usage};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What one subject holds, and his own quota.
#[derive(Clone, Debug, Default)]
struct Account {
    held: Usage,
    quota: Option<Quota>,
}

/// What a dirty inode is charged.
#[derive(Clone, Debug)]
struct Charge {
    owner: Identity,
    group: Identity,
    bytes: u64,
    last_seq: Seq,
}

#[derive(Default)]
struct Accounts {
    of: HashMap<QuotaSubject, Account>,
    every_user: Option<Quota>,
    every_group: Option<Quota>,
    dirty: HashMap<InodeId, Charge>,
    /// Subjects whose quota row the store does not have yet: a soft limit was passed, one way or the other.
    changed: HashSet<QuotaSubject>,
}

/// The book of a share with quotas.
pub(crate) struct QuotaBook(Mutex<Accounts>);

/// Owner and group of an inode.
pub(crate) type Owners<'a> = (&'a Identity, &'a Identity);

/// An inode charged before its creation; taken back unless it is [kept](InodeCharge::keep).
pub(crate) struct InodeCharge<'a> {
    book: &'a QuotaBook,
    owner: Identity,
    group: Identity,
    kept: bool,
}

impl QuotaBook {
    /// The book of a share as its store and its recovered journal know it.
    pub fn open<'a>(
        entries: Vec<QuotaEntry>,
        rows: impl IntoIterator<Item = &'a Arc<Inode>>,
        journal: &Journal,
    ) -> QuotaBook {
        let mut accounts = Accounts::default();
        for QuotaEntry { subject, quota, usage } in entries {
            match subject {
                QuotaSubject::EveryUser => accounts.every_user = quota,
                QuotaSubject::EveryGroup => accounts.every_group = quota,
                subject => drop(accounts.of.insert(subject, Account { held: usage, quota })),
            }
        }
        for row in rows {
            if let Some(over) = journal.overlay(row.id) {
                let owners = (&row.owner, &row.group);
                accounts.set_charge(row.id, owners, row.allocated, over.allocated_estimate);
                accounts.landed(row.id, over.last_seq);
            }
        }
        QuotaBook(Mutex::new(accounts))
    }

    /// Charges an inode whose record is about to be appended with `bytes` in all instead of what it was charged. `stored`: what its row holds.
    /// *Errors:* [`FsError::Quota`] when somebody would hold too much; nothing was charged.
    pub fn charge(
        &self,
        inode: InodeId,
        owners: Owners<'_>,
        stored: u64,
        bytes: u64,
        now: Timestamp,
    ) -> Result<(), FsError> {
        let mut accounts = self.0.lock();
        let old = accounts.dirty.get(&inode).map_or(stored, |charge| charge.bytes);
        if bytes > old {
            accounts.admit(owners, Usage { bytes: bytes - old, inodes: 0 }, now)?;
        }
        accounts.set_charge(inode, owners, stored, bytes);
        accounts.note_relief(owners, now);
        Ok(())
    }

    /// Takes a charge back whose record was not appended.
    pub fn uncharge(&self, inode: InodeId, owners: Owners<'_>, stored: u64, bytes: u64) {
        self.0.lock().set_charge(inode, owners, stored, bytes);
    }

    /// What an inode is charged now.
    pub fn charged(&self, inode: InodeId, stored: u64) -> u64 {
        self.0.lock().dirty.get(&inode).map_or(stored, |charge| charge.bytes)
    }

    /// A charged inode's record is in the journal.
    pub fn landed(&self, inode: InodeId, seq: Seq) {
        self.0.lock().landed(inode, seq);
    }

    /// A place made a row: once it holds every record, the row's bytes are the charge.
    pub fn placed(&self, row: &Inode) {
        let mut accounts = self.0.lock();
        if accounts.dirty.get(&row.id).is_some_and(|charge| charge.last_seq <= row.flushed_seq) {
            accounts.set_charge(row.id, (&row.owner, &row.group), row.allocated, row.allocated);
            accounts.dirty.remove(&row.id);
        }
    }

    /// Charges a new inode. *Errors:* [`FsError::Quota`].
    pub fn charge_inode(&self, owners: Owners<'_>, now: Timestamp) -> Result<InodeCharge<'_>, FsError> {
        let mut accounts = self.0.lock();
        let one = Usage { bytes: 0, inodes: 1 };
        accounts.admit(owners, one, now)?;
        accounts.add(owners, 0, 1);
        drop(accounts);
        Ok(InodeCharge { book: self, owner: owners.0.clone(), group: owners.1.clone(), kept: false })
    }

    /// Counts an inode that was made although it was not charged: its name was there when it was looked for.
    pub fn force_inode(&self, row: &Inode) {
        self.0.lock().add((&row.owner, &row.group), 0, 1);
    }

    /// An inode is gone.
    pub fn gone(&self, row: &Inode, now: Timestamp) {
        let mut accounts = self.0.lock();
        let bytes = accounts.dirty.remove(&row.id).map_or(row.allocated, |charge| charge.bytes);
        let owners = (&row.owner, &row.group);
        accounts.add(owners, -signed(bytes), -1);
        accounts.note_relief(owners, now);
    }

    /// Tests whether an inode may change hands. *Errors:* [`FsError::Quota`] when a new holder would hold too much.
    pub fn check_move(&self, row: &Inode, to: Owners<'_>, now: Timestamp) -> Result<(), FsError> {
        let mut accounts = self.0.lock();
        let bytes = accounts.dirty.get(&row.id).map_or(row.allocated, |charge| charge.bytes);
        let growth = Usage { bytes, inodes: 1 };
        if row.owner != *to.0 {
            accounts.admit_one(&QuotaSubject::User(to.0.clone()), growth, now)?;
        }
        if row.group != *to.1 {
            accounts.admit_one(&QuotaSubject::Group(to.1.clone()), growth, now)?;
        }
        Ok(())
    }

    /// An inode changed hands.
    pub fn moved(&self, pre: &Inode, post: &Inode, now: Timestamp) {
        if pre.owner == post.owner && pre.group == post.group {
            return;
        }
        let mut accounts = self.0.lock();
        let bytes = accounts.dirty.get(&pre.id).map_or(pre.allocated, |charge| charge.bytes);
        accounts.add((&pre.owner, &pre.group), -signed(bytes), -1);
        accounts.add((&post.owner, &post.group), signed(bytes), 1);
        if let Some(charge) = accounts.dirty.get_mut(&pre.id) {
            (charge.owner, charge.group) = (post.owner.clone(), post.group.clone());
        }
        accounts.note_relief((&pre.owner, &pre.group), now);
    }

    /// Sets or ends a quota. Exceeded soft limits begin their grace now.
    pub fn set(&self, subject: &QuotaSubject, quota: Option<Quota>, now: Timestamp) -> Option<Quota> {
        let mut accounts = self.0.lock();
        match subject {
            QuotaSubject::EveryUser => accounts.every_user = quota,
            QuotaSubject::EveryGroup => accounts.every_group = quota,
            subject => {
                let account = accounts.of.entry(subject.clone()).or_default();
                account.quota = quota.map(|quota| over_now(quota.afresh(), account.held, now));
                return account.quota;
            }
        }
        quota
    }

    /// Everybody's quota and what he holds, dirty bytes included.
    pub fn entries(&self) -> Vec<QuotaEntry> {
        let accounts = self.0.lock();
        let every = [
            (QuotaSubject::EveryUser, accounts.every_user),
            (QuotaSubject::EveryGroup, accounts.every_group),
        ];
        let every = every.into_iter().filter(|(_, quota)| quota.is_some());
        let mut entries: Vec<QuotaEntry> =
            every.map(|(subject, quota)| QuotaEntry { subject, quota, usage: Usage::default() }).collect();
        entries.extend(accounts.of.iter().map(|(subject, account)| QuotaEntry {
            subject: subject.clone(),
            quota: account.quota.filter(Quota::has_limits),
            usage: account.held,
        }));
        entries.retain(|entry| entry.quota.is_some() || entry.usage != Usage::default());
        entries
    }

    /// How much more a caller may take, by the quotas of the share, of himself and of his group.
    pub fn left(&self, owners: Owners<'_>, now: Timestamp) -> Usage {
        let accounts = self.0.lock();
        let mut left = Usage { bytes: u64::MAX, inodes: u64::MAX };
        for subject in subjects(owners) {
            let account = accounts.of.get(&subject).cloned().unwrap_or_default();
            if let Some(quota) = accounts.quota_of(&subject) {
                let bytes = quota.bytes.left(account.held.bytes, quota.bytes_over, quota.grace, now);
                let inodes = quota.inodes.left(account.held.inodes, quota.inodes_over, quota.grace, now);
                left = Usage { bytes: left.bytes.min(bytes), inodes: left.inodes.min(inodes) };
            }
        }
        left
    }

    /// Quota rows that the store should have, taken.
    pub fn take_changed(&self) -> Vec<(QuotaSubject, Option<Quota>)> {
        let mut accounts = self.0.lock();
        let changed = std::mem::take(&mut accounts.changed);
        let quota = |subject: &QuotaSubject| accounts.of.get(subject).and_then(|account| account.quota);
        changed.into_iter().map(|subject| (subject.clone(), quota(&subject))).collect()
    }
}

impl InodeCharge<'_> {
    /// The inode was made, and this is its row.
    pub fn keep(mut self, row: &Inode) {
        self.kept = true;
        if row.owner != self.owner || row.group != self.group {
            let mut accounts = self.book.0.lock();
            accounts.add((&self.owner, &self.group), 0, -1);
            accounts.add((&row.owner, &row.group), 0, 1);
        }
    }
}

impl Drop for InodeCharge<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.book.0.lock().add((&self.owner, &self.group), 0, -1);
        }
    }
}

impl Accounts {
    /// The quota that counts for a subject: his own, or everybody's with the note of when he passed it.
    fn quota_of(&self, subject: &QuotaSubject) -> Option<Quota> {
        let own = self.of.get(subject).and_then(|account| account.quota);
        if own.is_some_and(|quota| quota.has_limits()) {
            return own;
        }
        let common = match subject {
            QuotaSubject::User(who) if *who != Identity::Uid(0) => self.every_user,
            QuotaSubject::Group(who) if *who != Identity::Gid(0) => self.every_group,
            _ => None,
        };
        common.map(|quota| Quota {
            bytes_over: own.and_then(|note| note.bytes_over),
            inodes_over: own.and_then(|note| note.inodes_over),
            ..quota
        })
    }

    /// Judges growth of all whom an inode counts for; all or none of them note that a soft limit is passed.
    fn admit(&mut self, owners: Owners<'_>, growth: Usage, now: Timestamp) -> Result<(), FsError> {
        for subject in subjects(owners) {
            self.admit_one(&subject, growth, now)?;
        }
        Ok(())
    }

    fn admit_one(&mut self, subject: &QuotaSubject, growth: Usage, now: Timestamp) -> Result<(), FsError> {
        let Some(quota) = self.quota_of(subject) else { return Ok(()) };
        let held = self.of.get(subject).map_or(Usage::default(), |account| account.held);
        let mut noted = quota;
        if growth.bytes > 0 {
            let used = held.bytes.saturating_add(growth.bytes);
            noted.bytes_over = quota.bytes.admit(used, quota.bytes_over, quota.grace, now)?;
        }
        if growth.inodes > 0 {
            let used = held.inodes.saturating_add(growth.inodes);
            noted.inodes_over = quota.inodes.admit(used, quota.inodes_over, quota.grace, now)?;
        }
        if noted != quota {
            self.note(subject, noted);
        }
        Ok(())
    }

    /// Somebody may be below his soft limits again.
    fn note_relief(&mut self, owners: Owners<'_>, now: Timestamp) {
        for subject in subjects(owners) {
            let passed = |quota: &Quota| quota.bytes_over.is_some() || quota.inodes_over.is_some();
            let Some(quota) = self.quota_of(&subject).filter(passed) else { continue };
            let held = self.of.get(&subject).map_or(Usage::default(), |account| account.held);
            let noted = over_now(quota, held, now);
            if noted != quota {
                self.note(&subject, noted);
            }
        }
    }

    /// Keeps since when a soft limit is exceeded: in his own quota, or in a row without limits beside everybody's.
    fn note(&mut self, subject: &QuotaSubject, noted: Quota) {
        let account = self.of.entry(subject.clone()).or_default();
        account.quota = match account.quota {
            Some(own) if own.has_limits() => Some(noted),
            _ if noted.bytes_over.is_none() && noted.inodes_over.is_none() => None,
            _ => Some(Quota { bytes: QuotaLimits::default(), inodes: QuotaLimits::default(), ..noted }),
        };
        self.changed.insert(subject.clone());
    }

    fn add(&mut self, owners: Owners<'_>, bytes: i64, inodes: i64) {
        for subject in subjects(owners) {
            let held = &mut self.of.entry(subject).or_default().held;
            held.bytes = held.bytes.saturating_add_signed(bytes);
            held.inodes = held.inodes.saturating_add_signed(inodes);
        }
    }

    fn set_charge(&mut self, inode: InodeId, owners: Owners<'_>, stored: u64, bytes: u64) {
        let (owner, group) = (owners.0.clone(), owners.1.clone());
        let charge =
            self.dirty.entry(inode).or_insert(Charge { owner, group, bytes: stored, last_seq: Seq::ZERO });
        let (owner, group) = (charge.owner.clone(), charge.group.clone());
        let growth = signed(bytes) - signed(charge.bytes);
        charge.bytes = bytes;
        self.add((&owner, &group), growth, 0);
    }

    fn landed(&mut self, inode: InodeId, seq: Seq) {
        if let Some(charge) = self.dirty.get_mut(&inode) {
            charge.last_seq = charge.last_seq.max(seq);
        }
    }
}

/// All whom an inode counts for.
fn subjects((owner, group): Owners<'_>) -> [QuotaSubject; 3] {
    [QuotaSubject::Share, QuotaSubject::User(owner.clone()), QuotaSubject::Group(group.clone())]
}

fn over_now(mut quota: Quota, held: Usage, now: Timestamp) -> Quota {
    quota.bytes_over = quota.bytes.over(held.bytes, quota.bytes_over, now);
    quota.inodes_over = quota.inodes.over(held.inodes, quota.inodes_over, now);
    quota
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn book(subject: QuotaSubject, quota: Quota) -> QuotaBook {
        let book = QuotaBook(Mutex::new(Accounts::default()));
        book.set(&subject, Some(quota), Timestamp::EPOCH);
        book
    }

    fn hard(limit: u64) -> QuotaLimits {
        QuotaLimits { soft: None, hard: Some(limit) }
    }

    /// Threads that charge, take back and let go at once: never above the limit, and in the end all of it is used.
    #[test]
    fn eight_threads_charge_a_limit_exactly() {
        const LIMIT: u64 = 10_000;
        let quota = Quota::new(hard(LIMIT), hard(100));
        let book = book(QuotaSubject::EveryGroup, quota);
        let group = Identity::Gid(5);
        let held = || {
            let entries = book.entries();
            let entry = entries.iter().find(|entry| entry.subject == QuotaSubject::Group(group.clone()));
            entry.map_or(Usage::default(), |entry| entry.usage)
        };
        let now = Timestamp::new(9, 9);
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (book, group, held) = (&book, &group, &held);
                scope.spawn(move || {
                    let owner = Identity::Uid(1000 + thread as u32);
                    let (inode, owners) = (InodeId(2000 + thread), (&owner, group));
                    let mut bytes = 0;
                    for step in 1..20_000u64 {
                        match book.charge(inode, owners, 0, bytes + 1 + step % 3, now) {
                            Ok(()) if step % 7 == 0 => book.uncharge(inode, owners, 0, bytes),
                            Ok(()) => bytes += 1 + step % 3,
                            Err(error) => assert_eq!(error, FsError::Quota),
                        }
                        let inode = book.charge_inode(owners, now);
                        assert!(held().bytes <= LIMIT && held().inodes <= 100);
                        drop(inode);
                        if step % 500 == 0 && step < 19_000 {
                            bytes /= 2;
                            book.charge(InodeId(2000 + thread), owners, 0, bytes, now).unwrap();
                        }
                    }
                    assert_eq!(book.charged(InodeId(2000 + thread), 0), bytes);
                });
            }
        });
        let left = LIMIT - held().bytes;
        let (owner, inode) = (Identity::Uid(7), InodeId(7000));
        assert_eq!(book.charge(inode, (&owner, &group), 0, left + 1, now), Err(FsError::Quota));
        book.charge(inode, (&owner, &group), 0, left, now).unwrap();
        assert_eq!((held().bytes, held().inodes), (LIMIT, 0));
    }

    #[test]
    fn common_quota_counts_for_whoever_has_none_of_his_own_and_never_for_the_superuser() {
        let book = book(QuotaSubject::EveryUser, Quota::new(hard(10), QuotaLimits::default()));
        let now = Timestamp::new(9, 9);
        book.set(
            &QuotaSubject::User(Identity::Uid(7)),
            Some(Quota::new(hard(20), QuotaLimits::default())),
            now,
        );
        let charge = |uid: u32, bytes| {
            let owner = Identity::Uid(uid);
            book.charge(InodeId(u64::from(uid) + 2000), (&owner, &Identity::Gid(0)), 0, bytes, now)
        };
        assert_eq!((charge(5, 10), charge(5, 11)), (Ok(()), Err(FsError::Quota)));
        assert_eq!((charge(7, 20), charge(7, 21)), (Ok(()), Err(FsError::Quota)));
        assert_eq!(charge(0, 1000), Ok(()));
        assert_eq!(book.left((&Identity::Uid(5), &Identity::Gid(0)), now).bytes, 0);
    }
}
