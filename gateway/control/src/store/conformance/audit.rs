//! The audit log.

use super::Bed;
use crate::change::Change;
use crate::testing::{record, user};
use dfs_api::{AuditQuery, AuditRecord, AuditResult, Role};

/// Targets of what a query finds.
async fn found(database: &crate::ControlDatabase, query: AuditQuery) -> Vec<String> {
    let records = database.audit(&query).await.unwrap();
    records.into_iter().map(|record| record.target).collect()
}

pub async fn record_stands_with_its_change_or_not_at_all(bed: &dyn Bed) {
    let database = bed.open().await;
    let old = database.snapshot();
    let made = Change::on(&old).put(&user("ann", Role::Admin));
    database.commit(made, Some(record(1, "admin", "user.create", "ann"))).await.unwrap();
    let late = Change::on(&old).put(&user("bob", Role::Admin));
    database.commit(late, Some(record(2, "admin", "user.create", "bob"))).await.unwrap_err();
    // A record without a change is kept, and is no new revision.
    let revision = database.revision();
    let refused = AuditRecord {
        result: AuditResult::Refused,
        problem: Some("last-admin".to_owned()),
        role: None,
        after: None,
        before: Some(serde_json::json!({ "role": "admin" })),
        ..record(3, "admin", "user.delete", "ann")
    };
    database.commit(Change::default(), Some(refused.clone())).await.unwrap();
    database.add_audit(refused.clone()).await.unwrap();
    assert_eq!(database.revision(), revision);
    drop(database);
    let records = bed.open().await.audit(&AuditQuery::default()).await.unwrap();
    assert_eq!(records.len(), 3, "{records:?}");
    assert!(records.is_sorted_by(|newer, older| newer.id > older.id));
    assert_eq!(AuditRecord { id: 0, ..records[0].clone() }, refused);
    assert_eq!(AuditRecord { id: 0, ..records[2].clone() }, record(1, "admin", "user.create", "ann"));
}

pub async fn queries_find_what_they_ask_for_newest_first(bed: &dyn Bed) {
    let database = bed.open().await;
    let actions = ["share.create", "share.delete", "shares", "user.create"];
    for nth in 0..40_i64 {
        let user = ["ann", "bob"][(nth % 2) as usize];
        let action = actions[(nth % 4) as usize];
        database.add_audit(record(nth * 10, user, action, &format!("t{nth}"))).await.unwrap();
    }
    let all = found(&database, AuditQuery::default()).await;
    assert_eq!((all.len(), all[0].as_str(), all[39].as_str()), (40, "t39", "t0"));
    let user = Some("ann".to_owned());
    let of_ann = found(&database, AuditQuery { user: user.clone(), ..AuditQuery::default() }).await;
    assert_eq!((of_ann.len(), of_ann[0].as_str()), (20, "t38"));
    let action = Some("share".to_owned());
    let of_shares = found(&database, AuditQuery { action, ..AuditQuery::default() }).await;
    assert_eq!(of_shares.len(), 20, "'shares' does not begin with 'share.': {of_shares:?}");
    let action = Some("share.create".to_owned());
    let both = AuditQuery { action, user, since: Some(80), until: Some(320), ..AuditQuery::default() };
    assert_eq!(found(&database, both.clone()).await, ["t28", "t24", "t20", "t16", "t12", "t8"]);
    let target = Some("t7".to_owned());
    assert_eq!(found(&database, AuditQuery { target, ..AuditQuery::default() }).await, ["t7"]);
    // Page by page, with what comes after the last one seen.
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = AuditQuery { limit: Some(4), after, ..both.clone() };
        let records = database.audit(&page).await.unwrap();
        let Some(last) = records.last() else { break };
        after = Some(last.id);
        seen.extend(records.into_iter().map(|record| record.target));
    }
    assert_eq!(seen, found(&database, both).await);
}

pub async fn trimmed_records_are_gone_and_ids_go_on(bed: &dyn Bed) {
    let database = bed.open().await;
    for nth in 0..10 {
        database.add_audit(record(nth, "ann", "share.create", &format!("t{nth}"))).await.unwrap();
    }
    let last = database.audit(&AuditQuery::default()).await.unwrap()[0].id;
    assert_eq!(database.trim_audit(7).await.unwrap(), 7);
    assert_eq!(database.trim_audit(7).await.unwrap(), 0);
    assert_eq!(found(&database, AuditQuery::default()).await, ["t9", "t8", "t7"]);
    database.trim_audit(i64::MAX).await.unwrap();
    drop(database);
    let database = bed.open().await;
    database.add_audit(record(1, "ann", "share.create", "next")).await.unwrap();
    assert!(database.audit(&AuditQuery::default()).await.unwrap()[0].id > last);
}

pub async fn texts_of_callers_are_kept_whatever_they_are(bed: &dyn Bed) {
    let database = bed.open().await;
    let strange = "ü \u{1f980} ' \" \\ \n \u{7f} %_";
    let target = "t".repeat(100_000);
    database.add_audit(record(1, strange, "login", &target)).await.unwrap();
    database.add_audit(record(2, "a\0b", "login", "\0")).await.unwrap();
    let user = Some(strange.to_owned());
    let records = database.audit(&AuditQuery { user, ..AuditQuery::default() }).await.unwrap();
    assert_eq!((records.len(), records[0].user.as_str(), &records[0].target), (1, strange, &target));
    assert_eq!(database.audit(&AuditQuery::default()).await.unwrap().len(), 2);
    let user = Some("a\0b".to_owned());
    assert_eq!(database.audit(&AuditQuery { user, ..AuditQuery::default() }).await.unwrap().len(), 1);
}
