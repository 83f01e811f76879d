//! Backup and restore over REST.

use super::bed::{Answer, As, Bed, PASSWORD};
use dfs_api::{RestoreReport, User};
use serde_json::json;

async fn restore(caller: &As<'_>, path: &str, file: &[u8], passphrase: &str) -> Answer {
    let kind = Some("application/octet-stream");
    caller.send("POST", path, kind, file, &[("x-passphrase", passphrase)]).await
}

#[tokio::test]
async fn backup_restored_into_another_gateway_gives_the_same_people_and_shares() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    admin.post("/users", json!({ "name": "ann", "password": PASSWORD, "uid": 1001 })).await.with(201);
    admin.put("/shares/s/permissions/users/ann", json!({ "level": "read" })).await.with(200);
    let file = admin.post("/backup", json!({ "passphrase": "long enough" })).await.with(200);
    assert_eq!(file.header("content-type"), Some("application/octet-stream"));
    let users: Vec<User> = admin.get("/users").await.is();
    let other = Bed::new().await;
    let there = other.admin().await;
    let report: RestoreReport = restore(&there, "/restore", &file.body, "long enough").await.with(200).is();
    assert_eq!((report.users, report.shares, report.grants, report.restart_needed), (2, 1, 1, true));
    there.get("/auth/me").await.refused(401, "unauthorized");
    let there = other.admin().await;
    assert_eq!(there.get("/users").await.is::<Vec<User>>(), users);
    assert!(other.gateway.0.lock().identities.clone().unwrap().user(1001).is_some());
    assert_eq!(other.audit().await[0].action, "backup.restore");
    restore(&there, "/restore", &file.body, "long enough").await.refused(409, "not-empty");
    restore(&there, "/restore?force=true", &file.body, "long enough").await.with(200);
}

#[tokio::test]
async fn backup_that_cannot_be_opened_is_refused_and_changes_nothing() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let short = admin.post("/backup", json!({ "passphrase": "short" })).await.refused(400, "invalid");
    assert_eq!(short.field.as_deref(), Some("passphrase"));
    let file = admin.post("/backup", json!({ "passphrase": "long enough" })).await.with(200).body;
    restore(&admin, "/restore?force=true", &file, "another one").await.refused(422, "wrong-passphrase");
    restore(&admin, "/restore?force=true", b"something else", "long enough")
        .await
        .refused(422, "not-a-backup");
    let kind = Some("application/octet-stream");
    admin.send("POST", "/restore?force=true", kind, &file, &[]).await.refused(400, "invalid");
    let json = Some("application/json");
    admin
        .send("POST", "/restore?force=true", json, &file, &[("x-passphrase", "long enough")])
        .await
        .refused(415, "not-a-file");
    admin.get("/auth/me").await.with(200);
}
