//! Cases: usage and quotas. That usage is what the inodes add up to is tested after every case of every part.

use super::{Bed, case_list};
use crate::{StoreError, Usage};
use dfs_model::quota::{Quota, QuotaLimits, QuotaSubject};
use dfs_model::{AttrPatch, Epoch, FsError, Identity, InodeId, InodeKind, Patch, Timestamp};

const ROOT: InodeId = InodeId::ROOT;

async fn held(bed: &Bed, subject: QuotaSubject) -> Usage {
    let entries = bed.store.quotas(bed.share).await.unwrap();
    entries.into_iter().find(|entry| entry.subject == subject).map_or(Usage::default(), |entry| entry.usage)
}

fn user(uid: u32) -> QuotaSubject {
    QuotaSubject::User(Identity::Uid(uid))
}

fn group(gid: u32) -> QuotaSubject {
    QuotaSubject::Group(Identity::Gid(gid))
}

async fn set(bed: &Bed, subject: QuotaSubject, quota: Option<Quota>) {
    bed.store.quota_set(bed.share, bed.epoch, subject, quota).await.unwrap();
}

case_list! {
async fn usage_follows_creation_place_change_of_owner_and_removal(bed) {
    let id = bed.made(ROOT, "f", InodeKind::File, 0o644, &bed.user).await;
    assert_eq!(held(bed, user(1000)).await, Usage { bytes: 0, inodes: 1 });
    bed.written(id, 0, 4096, 3).await;
    assert_eq!(held(bed, user(1000)).await, Usage { bytes: 12_288, inodes: 1 });
    bed.written(id, 4096, 4096, 1).await;
    assert_eq!(held(bed, group(1000)).await, Usage { bytes: 12_288, inodes: 1 }, "overwritten, not added");
    let chown = AttrPatch {
        owner: Patch::Set(Identity::Uid(1001)), group: Patch::Set(Identity::Gid(5)), ..AttrPatch::default()
    };
    bed.set(&bed.root, id, chown).await.unwrap();
    assert_eq!((held(bed, user(1000)).await, held(bed, group(1000)).await), (Usage::default(), Usage::default()));
    assert_eq!((held(bed, user(1001)).await.bytes, held(bed, group(5)).await.inodes), (12_288, 1));
    bed.remove(ROOT, "f").await.unwrap();
    assert_eq!(held(bed, user(1001)).await, Usage::default());
    assert_eq!(held(bed, QuotaSubject::Share).await, Usage { bytes: 0, inodes: 1 });
}
async fn usage_of_an_orphan_counts_until_it_is_reaped(bed) {
    let id = bed.made(ROOT, "f", InodeKind::File, 0o644, &bed.user).await;
    bed.written(id, 0, 4096, 1).await;
    let orphan = crate::RemoveRequest { keep_orphan: true, ..Bed::removal(ROOT, "f") };
    bed.remove_by(&bed.root, orphan).await.unwrap();
    assert_eq!(held(bed, user(1000)).await, Usage { bytes: 4096, inodes: 1 });
    bed.store.reap(bed.share, bed.epoch, id).await.unwrap();
    assert_eq!(held(bed, user(1000)).await, Usage::default());
}
async fn quotas_are_kept_changed_and_ended(bed) {
    let limits = |soft, hard| QuotaLimits { soft, hard };
    let mut quota = Quota::new(limits(Some(10), Some(20)), limits(None, Some(3)));
    let sid = QuotaSubject::User(Identity::Sid(vec![1; 28].into()));
    let subjects = [QuotaSubject::Share, user(1000), group(7), QuotaSubject::EveryUser, QuotaSubject::EveryGroup, sid];
    for subject in &subjects {
        set(bed, subject.clone(), Some(quota)).await;
    }
    quota.bytes_over = Some(Timestamp::new(5, 6));
    set(bed, user(1000), Some(quota)).await;
    let entries = bed.store.quotas(bed.share).await.unwrap();
    let kept: Vec<_> = entries.iter().filter(|entry| entry.quota.is_some()).collect();
    assert_eq!((entries[0].subject.clone(), kept.len()), (QuotaSubject::Share, subjects.len()));
    assert_eq!(kept.iter().find(|entry| entry.subject == user(1000)).unwrap().quota, Some(quota));
    for subject in subjects {
        set(bed, subject, None).await;
    }
    assert!(bed.store.quotas(bed.share).await.unwrap().iter().all(|entry| entry.quota.is_none()));
}
async fn quota_of_a_stale_epoch_or_an_endless_name_is_refused(bed) {
    let quota = Quota::new(QuotaLimits::default(), QuotaLimits::default());
    let stale = Epoch(bed.epoch.0 - 1);
    match bed.store.quota_set(bed.share, stale, QuotaSubject::Share, Some(quota)).await {
        Err(StoreError::Fenced { .. }) => {}
        other => panic!("an older epoch changed a quota: {other:?}"),
    }
    let long = QuotaSubject::User(Identity::Sid(vec![1; 69].into()));
    match bed.store.quota_set(bed.share, bed.epoch, long, Some(quota)).await {
        Err(StoreError::Refused(FsError::InvalidOwner)) => {}
        other => panic!("{other:?}"),
    }
}
}
