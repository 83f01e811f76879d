//! Shares, epochs, journal ends and state rows.

use super::Tx;
use crate::key::{self, Table, key, prefix_end};
use crate::kv::View;
use crate::rows::share::{SETTINGS_MAX, decode_record, encode_record};
use crate::rows::{Head, InodeRow, damaged};
use crate::{ShareRecord, StateTable, StoreError, StoreResult};
use bytes::Bytes;
use dfs_log::Rule;
use dfs_model::inode::mode;
use dfs_model::{
    Change, Cookie, DeviceNumber, Epoch, FsError, Identity, Inode, InodeFlags, InodeId, InodeKind, Seq,
    ShareId,
};

/// Longest key of a state row.
const STATE_KEY_MAX: usize = 1024;
/// Largest value of a state row: a client record with its opaque bytes.
const STATE_VALUE_MAX: usize = 64 * 1024;

/// Adds a share with an empty root directory. *Errors:* [`FsError::Exists`]; [`FsError::InvalidArgument`] for share id 0, a
/// block size that is no power of two from 64 KiB to 1 MiB, or settings beyond their caps.
pub fn create_share(
    tx: &mut Tx<'_>,
    record: &ShareRecord,
    root_mode: u16,
    root_uid: u32,
    root_gid: u32,
) -> StoreResult<()> {
    check_record(record)?;
    if tx.get(&key::share(record.share))?.is_some() || tx.get(&key::doomed(record.share))?.is_some() {
        return Err(FsError::Exists.into());
    }
    let head = Head {
        epoch: Epoch(0),
        ends_below: Epoch(0),
        next_inode: InodeId::FIRST,
        bytes: 0,
        inodes: 1,
        incarnation: record.incarnation,
        snapshots: Default::default(),
        tail: Bytes::new(),
    };
    tx.put(key::share(record.share), encode_record(record, &[]));
    tx.put_head(&head);
    tx.put_inode(&root(record, root_mode, root_uid, root_gid));
    super::usage::add(tx, (&Identity::Uid(root_uid), &Identity::Gid(root_gid)), 0, 1)
}

/// *Errors:* [`FsError::InvalidArgument`] for a record that no store takes.
pub fn check_record(record: &ShareRecord) -> StoreResult<()> {
    let size_ok = record.block_size.is_power_of_two() && (1 << 16..=1 << 20).contains(&record.block_size);
    if record.share == ShareId(0) || !size_ok || record.name.len() > 1024 {
        return Err(FsError::InvalidArgument.into());
    }
    check_settings(&record.settings)
}

fn root(record: &ShareRecord, root_mode: u16, uid: u32, gid: u32) -> InodeRow {
    let at = record.created;
    let inode = Inode {
        id: InodeId::ROOT,
        generation: record.incarnation,
        kind: InodeKind::Directory,
        mode: root_mode & mode::ALL,
        nlink: 2,
        owner: Identity::Uid(uid),
        group: Identity::Gid(gid),
        size: 0,
        allocated: 0,
        atime: at,
        mtime: at,
        ctime: at,
        btime: at,
        change: Change::ZERO,
        born: Change::ZERO,
        dos: 0,
        create_verifier: None,
        acl: None,
        parent: InodeId::ROOT,
        flags: InodeFlags::default(),
        link_target: None,
        device: DeviceNumber::default(),
        flushed_seq: Seq::ZERO,
        mode_change: Change::ZERO,
        dos_change: Change::ZERO,
    };
    InodeRow { inode, acl_hash: None, last_cookie: Cookie(0), tail: Bytes::new() }
}

/// *Errors:* [`FsError::InvalidArgument`] for settings beyond their caps.
pub fn check_settings(settings: &[(String, String)]) -> StoreResult<()> {
    let fits = |(name, value): &(String, String)| name.len() <= 256 && value.len() <= 4096;
    match settings.len() <= SETTINGS_MAX && settings.iter().all(fits) {
        true => Ok(()),
        false => Err(FsError::InvalidArgument.into()),
    }
}

fn record_of(tx: &Tx<'_>) -> StoreResult<(ShareRecord, Bytes)> {
    let bytes = tx.get(&key::share(tx.share))?.ok_or(StoreError::NoShare(tx.share))?;
    decode_record(tx.share, &bytes).map_err(|error| damaged(&format!("share {}", tx.share), error))
}

/// One share's record with its current epoch.
pub fn read_share(tx: &Tx<'_>) -> StoreResult<ShareRecord> {
    let (mut record, _) = record_of(tx)?;
    record.epoch = tx.head()?.epoch;
    Ok(record)
}

/// Ids in the rows under `prefix`, which end with a share id.
fn ids_under(view: &dyn View, prefix: &[u8]) -> StoreResult<Vec<ShareId>> {
    let mut ids = Vec::new();
    view.scan(prefix, &prefix_end(prefix), &mut |row_key, _| {
        let id = row_key.get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
        ids.push(ShareId(u128::from_be_bytes(id.ok_or_else(|| damaged("share", "short key"))?)));
        Ok(true)
    })?;
    Ok(ids)
}

/// Every share.
pub fn read_shares(view: &dyn View, mutations: &dfs_log::Mutations) -> StoreResult<Vec<ShareRecord>> {
    let ids = ids_under(view, &key::shares())?;
    ids.into_iter().map(|share| read_share(&Tx::new(view, share, mutations))).collect()
}

/// Replaces a share's settings.
pub fn set_settings(tx: &mut Tx<'_>, settings: &[(String, String)]) -> StoreResult<()> {
    check_settings(settings)?;
    let (mut record, tail) = record_of(tx)?;
    record.settings = settings.to_vec();
    tx.put(key::share(tx.share), encode_record(&record, &tail));
    Ok(())
}

/// Takes a share out of the store; its rows are deleted by [`delete_some`] afterwards, also after a restart.
pub fn doom_share(tx: &mut Tx<'_>) -> StoreResult<()> {
    record_of(tx)?;
    tx.delete(key::share(tx.share));
    tx.delete(key::head(tx.share));
    tx.put(key::doomed(tx.share), Bytes::from_static(&[1]));
    Ok(())
}

/// Shares whose rows are still to be deleted.
pub fn doomed_shares(view: &dyn View) -> StoreResult<Vec<ShareId>> {
    ids_under(view, &key::all_doomed())
}

/// Deletes up to `limit` rows of a doomed share; `true` when none was left.
pub fn delete_some(tx: &mut Tx<'_>, limit: usize) -> StoreResult<bool> {
    if tx.get(&key::doomed(tx.share))?.is_none() {
        return Ok(true);
    }
    let prefix = tx.share.0.to_be_bytes();
    let mut keys = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, _| {
        keys.push(row_key.to_vec());
        Ok(keys.len() < limit)
    })?;
    let done = keys.len() < limit;
    keys.into_iter().for_each(|row_key| tx.delete(row_key));
    if done {
        tx.delete(key::doomed(tx.share));
    }
    Ok(done)
}

/// Takes the next epoch. *Errors:* [`StoreError::Unusable`] when the 24 bits are used up.
pub fn begin_epoch(tx: &mut Tx<'_>) -> StoreResult<Epoch> {
    let mut head = tx.head()?;
    let used_up = || StoreError::Unusable(format!("share {} has used all of its 2^24 openings", tx.share));
    head.epoch = head.epoch.next().ok_or_else(used_up)?;
    tx.put_head(&head);
    Ok(head.epoch)
}

/// Lowers the ends of all epochs below `epoch`; answers those that are not 0 and those asked about.
pub fn write_ends(tx: &mut Tx<'_>, epoch: Epoch, held: &[(Epoch, u64)]) -> StoreResult<Vec<(Epoch, u64)>> {
    let mut head = tx.fenced_head(epoch)?;
    if tx.mutations.off(Rule::Ends) {
        return Ok(held.to_vec());
    }
    let prefix = key(tx.share, Table::Ends).done();
    let mut stored = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, bytes| {
        let id = row_key.get(key::PREFIX_LEN..).and_then(|id| <[u8; 4]>::try_from(id).ok());
        let end = <[u8; 9]>::try_from(bytes.as_ref()).ok().filter(|form| form[0] == 1);
        let (Some(id), Some([_, end @ ..])) = (id, end) else { return Err(damaged("ends", "bad row")) };
        stored.push((Epoch(u32::from_be_bytes(id)), u64::from_le_bytes(end)));
        Ok(true)
    })?;
    let held_of = |wanted: Epoch| held.iter().find(|(e, _)| *e == wanted).map_or(0, |(_, n)| *n);
    let stored_of = |wanted: Epoch| match stored.iter().find(|(e, _)| *e == wanted) {
        Some((_, end)) => *end,
        None if wanted < head.ends_below => 0,
        None => u64::MAX,
    };
    let mut epochs: Vec<Epoch> = stored.iter().chain(held).map(|(e, _)| *e).filter(|e| *e < epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let minimum = !tx.mutations.off(Rule::EndsTakesMinimum);
    let mut table = Vec::new();
    for older in epochs {
        let end = if minimum { stored_of(older).min(held_of(older)) } else { held_of(older) };
        let row_key = key::ends(tx.share, older);
        match end {
            0 => tx.delete(row_key),
            _ => {
                let mut form = vec![1u8];
                form.extend_from_slice(&end.to_le_bytes());
                tx.put(row_key, form.into());
            }
        }
        table.push((older, end));
    }
    head.ends_below = head.ends_below.max(epoch);
    tx.put_head(&head);
    Ok(table)
}

/// *Errors:* [`FsError::InvalidArgument`] for a state row beyond its caps.
pub fn check_state(name: &[u8], value: Option<&Bytes>) -> StoreResult<()> {
    if name.len() > STATE_KEY_MAX || value.is_some_and(|value| value.len() > STATE_VALUE_MAX) {
        return Err(FsError::InvalidArgument.into());
    }
    Ok(())
}

/// Writes or deletes a state row.
pub fn state_put(
    tx: &mut Tx<'_>,
    epoch: Epoch,
    table: StateTable,
    name: &[u8],
    value: Option<&Bytes>,
) -> StoreResult<()> {
    tx.fenced_head(epoch)?;
    check_state(name, value)?;
    let row_key = key(tx.share, Table::State).raw(&[table as u8]).raw(name).done();
    match value {
        Some(value) => tx.put(row_key, value.clone()),
        None => tx.delete(row_key),
    }
    Ok(())
}
