//! Who holds how much, and the quotas: a row per user and group, changed with every inode and every byte of theirs in the
//! same transaction.
//!
//! Usage v1: version · bytes, inodes (u64); a row of zeros is deleted. Quota v1: version · presence (bits 0–3 the soft and
//! hard limits of bytes and inodes, bits 4, 5 exceeded since) · the limits present (u64) · grace seconds (u32) · the times
//! present · tail.

use super::Tx;
use crate::StoreResult;
use crate::key::{PREFIX_LEN, Table, key, prefix_end};
use crate::rows::identity::{put_identity, storable, take_identity};
use crate::rows::{damaged, put_time, take_time};
use crate::share::{QuotaEntry, Usage};
use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use dfs_model::quota::{Quota, QuotaLimits, QuotaSubject};
use dfs_model::{Epoch, FsError, Identity};
use std::time::Duration;

const VERSION: u8 = 1;

/// Adds to what a user and a group hold; amounts may be negative.
pub(super) fn add(
    tx: &mut Tx<'_>,
    (owner, group): (&Identity, &Identity),
    bytes: i64,
    inodes: i64,
) -> StoreResult<()> {
    if bytes == 0 && inodes == 0 {
        return Ok(());
    }
    for subject in [QuotaSubject::User(owner.clone()), QuotaSubject::Group(group.clone())] {
        let row_key = row_key(tx, Table::Usage, &subject);
        let mut held = match tx.get(&row_key)? {
            Some(row) => usage(&row)?,
            None => Usage::default(),
        };
        held.bytes = held.bytes.saturating_add_signed(bytes);
        held.inodes = held.inodes.saturating_add_signed(inodes);
        if held == Usage::default() {
            tx.delete(row_key);
            continue;
        }
        let mut out = Writer::versioned(VERSION, 17);
        out.u64(held.bytes).u64(held.inodes);
        tx.put(row_key, out.finish());
    }
    Ok(())
}

/// Sets or (with `None`) ends a quota. *Errors:* [`FsError::InvalidOwner`] for a subject that cannot be stored.
pub fn quota_set(
    tx: &mut Tx<'_>,
    epoch: Epoch,
    subject: &QuotaSubject,
    quota: Option<&Quota>,
) -> StoreResult<()> {
    tx.fenced_head(epoch)?;
    if matches!(subject, QuotaSubject::User(who) | QuotaSubject::Group(who) if !storable(who)) {
        return Err(FsError::InvalidOwner.into());
    }
    let row_key = row_key(tx, Table::Quota, subject);
    match quota {
        Some(quota) => tx.put(row_key, encode(quota)),
        None => tx.delete(row_key),
    }
    Ok(())
}

/// Every quota, and everybody who holds something. The share's own usage is always there.
pub fn quotas(tx: &Tx<'_>) -> StoreResult<Vec<QuotaEntry>> {
    let head = tx.head()?;
    let usage_of_share = Usage { bytes: head.bytes, inodes: head.inodes };
    let mut entries = vec![QuotaEntry { subject: QuotaSubject::Share, quota: None, usage: usage_of_share }];
    for (subject, row) in rows(tx, Table::Usage)? {
        entries.push(QuotaEntry { subject, quota: None, usage: usage(&row)? });
    }
    for (subject, row) in rows(tx, Table::Quota)? {
        let quota = Some(decode(&row).map_err(|error| damaged("quota", error))?);
        match entries.iter_mut().find(|entry| entry.subject == subject) {
            Some(entry) => entry.quota = quota,
            None => entries.push(QuotaEntry { subject, quota, usage: Usage::default() }),
        }
    }
    Ok(entries)
}

fn row_key(tx: &Tx<'_>, table: Table, subject: &QuotaSubject) -> Vec<u8> {
    let (tag, who) = match subject {
        QuotaSubject::Share => (0, None),
        QuotaSubject::User(who) => (1, Some(who)),
        QuotaSubject::Group(who) => (2, Some(who)),
        QuotaSubject::EveryUser => (3, None),
        QuotaSubject::EveryGroup => (4, None),
    };
    let mut out = Writer::default();
    out.u8(tag);
    if let Some(who) = who {
        put_identity(&mut out, who);
    }
    key(tx.share, table).raw(&out.into_vec()).done()
}

fn subject(suffix: &[u8]) -> Result<QuotaSubject, BadRow> {
    let (tag, rest) = suffix.split_first().ok_or(BadRow::Short)?;
    let mut reader = Reader::new(rest);
    Ok(match tag {
        0 => QuotaSubject::Share,
        1 => QuotaSubject::User(take_identity(&mut reader)?),
        2 => QuotaSubject::Group(take_identity(&mut reader)?),
        3 => QuotaSubject::EveryUser,
        4 => QuotaSubject::EveryGroup,
        _ => return Err(BadRow::Field("subject")),
    })
}

fn rows(tx: &Tx<'_>, table: Table) -> StoreResult<Vec<(QuotaSubject, Bytes)>> {
    let prefix = key(tx.share, table).done();
    let mut found = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, row| {
        let who = subject(row_key.get(PREFIX_LEN..).unwrap_or_default());
        found.push((who.map_err(|error| damaged("quota or usage", error))?, row.clone()));
        Ok(true)
    })?;
    Ok(found)
}

fn usage(row: &[u8]) -> StoreResult<Usage> {
    let read = || -> Result<Usage, BadRow> {
        let mut reader = Reader::versioned(row, VERSION)?;
        Ok(Usage { bytes: reader.u64()?, inodes: reader.u64()? })
    };
    read().map_err(|error| damaged("usage", error))
}

fn encode(quota: &Quota) -> Bytes {
    let limits = [quota.bytes.soft, quota.bytes.hard, quota.inodes.soft, quota.inodes.hard];
    let times = [quota.bytes_over, quota.inodes_over];
    let present = limits.iter().map(Option::is_some).chain(times.iter().map(Option::is_some));
    let presence = present.enumerate().fold(0u8, |bits, (nth, there)| bits | (u8::from(there) << nth));
    let mut out = Writer::versioned(VERSION, 64);
    out.u8(presence);
    limits.into_iter().flatten().for_each(|limit| {
        out.u64(limit);
    });
    out.u32(u32::try_from(quota.grace.as_secs()).unwrap_or(u32::MAX));
    times.into_iter().flatten().for_each(|time| put_time(&mut out, time));
    out.finish()
}

fn decode(row: &[u8]) -> Result<Quota, BadRow> {
    let mut r = Reader::versioned(row, VERSION)?;
    let presence = r.u8()?;
    if presence >= 1 << 6 {
        return Err(BadRow::Field("presence"));
    }
    let has = |bit: u8| presence >> bit & 1 != 0;
    let limit = |r: &mut Reader<'_>, bit| if has(bit) { r.u64().map(Some) } else { Ok(None) };
    let bytes = QuotaLimits { soft: limit(&mut r, 0)?, hard: limit(&mut r, 1)? };
    let inodes = QuotaLimits { soft: limit(&mut r, 2)?, hard: limit(&mut r, 3)? };
    let grace = Duration::from_secs(u64::from(r.u32()?));
    let bytes_over = if has(4) { Some(take_time(&mut r)?) } else { None };
    let inodes_over = if has(5) { Some(take_time(&mut r)?) } else { None };
    Ok(Quota { bytes, inodes, grace, bytes_over, inodes_over })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use dfs_model::Timestamp;

    #[test]
    fn quota_row_v1_bytes_are_golden() {
        let limits = |soft, hard| QuotaLimits { soft, hard };
        let mut quota = Quota::new(limits(Some(7), Some(9)), limits(None, None));
        quota.grace = Duration::from_secs(5);
        quota.inodes_over = Some(Timestamp::new(2, 3));
        let mut golden = vec![1, 0x23];
        golden.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(encode(&quota).to_vec(), golden);
        let newer: Vec<u8> = golden.iter().copied().chain([0xee]).collect();
        assert_eq!(decode(&newer).unwrap(), quota, "what a newer program added is passed over");
        assert!(decode(&[&[2], &golden[1..]].concat()).is_err());
    }

    #[test]
    fn quota_rows_round_trip_whatever_is_present() {
        for presence in 0u64..64 {
            let has = |bit: u64| presence >> bit & 1 != 0;
            let quota = Quota {
                bytes: QuotaLimits { soft: has(0).then_some(7), hard: has(1).then_some(u64::MAX) },
                inodes: QuotaLimits { soft: has(2).then_some(0), hard: has(3).then_some(9) },
                grace: Duration::from_secs(presence),
                bytes_over: has(4).then_some(Timestamp::new(-5, 6)),
                inodes_over: has(5).then_some(Timestamp::new(1 << 40, 999_999_999)),
            };
            let row = encode(&quota);
            assert_eq!(decode(&row).unwrap(), quota);
            assert!(decode(&row[..row.len() - 1]).is_err());
        }
    }
}
