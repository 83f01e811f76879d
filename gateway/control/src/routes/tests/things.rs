//! Shares, stores, adapters, clients, settings: what the gateway is told, and what is written down when it worked.

use super::bed::{Bed, PASSWORD};
use super::gateway::client;
use dfs_api::*;
use serde_json::{Value, json};

#[tokio::test]
async fn change_that_cuts_clients_names_them_and_is_done_when_forced() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    bed.gateway.0.lock().clients = vec![client("c1")];
    let cuts = [
        ("POST", "/shares/s/disable", None),
        ("DELETE", "/shares/s", None),
        ("PATCH", "/adapters/nfs", Some(json!({ "enabled": false }))),
        ("DELETE", "/adapters/nfs", None),
    ];
    for (method, path, body) in &cuts {
        let refused = admin.call(method, path, body.clone(), &[]).await.refused(409, "would-cut-clients");
        assert_eq!(refused.clients, ["192.0.2.7:1001 (share s)"], "{path}");
    }
    assert!(admin.get("/shares/s").await.with(200).is::<ShareStatus>().config.enabled);
    let forced = |path: &str| format!("{path}?force=true");
    admin.call("POST", &forced("/shares/s/disable"), None, &[]).await.with(200);
    assert!(!bed.plane.database.get::<ShareConfig>("s").unwrap().enabled);
    admin.call("POST", "/shares/s/enable", None, &[]).await.with(200);
    admin.patch(&forced("/adapters/nfs"), json!({ "enabled": false })).await.with(200);
    admin.delete(&forced("/shares/s")).await.with(204);
    admin.delete(&forced("/adapters/nfs")).await.with(204);
    admin.get("/adapters/nfs").await.refused(404, "not-found");
}

#[tokio::test]
async fn share_that_the_gateway_refuses_is_not_written_down() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    bed.gateway.0.lock().fails = Some(Problem::new(422, "unusable", "the bucket is gone"));
    let body = json!({ "name": "t", "metadata": "m", "cold": "c" });
    admin.post("/shares", body).await.refused(422, "unusable");
    admin.get("/shares/t").await.refused(404, "not-found");
    admin.patch("/shares/s", json!({ "comment": "new" })).await.refused(422, "unusable");
    assert_eq!(bed.plane.database.get::<ShareConfig>("s").unwrap().comment, "");
}

#[tokio::test]
async fn share_is_checked_against_what_exists_and_its_deletion_takes_permissions_along() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    let with = |more: Value| {
        let mut body = json!({ "name": "t", "metadata": "m", "cold": "c" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let cases = [
        (json!({ "metadata": "none" }), 404, "metadata"),
        (json!({ "cold": "none" }), 404, "cold"),
        (json!({ "clients": ["@none"] }), 404, "clients"),
        (json!({ "clients": ["1.2.3.4/99"] }), 400, "clients"),
        (json!({ "block_size": 100_000 }), 400, "block_size"),
        (json!({ "comment": "a\nb" }), 400, "comment"),
        (json!({ "default_permission": "all" }), 422, "default_permission"),
        (json!({ "name": "s" }), 409, "name"),
    ];
    for (more, status, field) in cases {
        let answer = admin.post("/shares", with(more.clone())).await;
        assert_eq!((answer.status, answer.is::<Problem>().field.as_deref()), (status, Some(field)), "{more}");
    }
    admin.post("/users", json!({ "name": "ann", "password": PASSWORD, "uid": 7 })).await.with(201);
    admin.put("/shares/s/permissions/users/ann", json!({ "level": "none" })).await.with(200);
    let used = admin.delete("/cold-stores/c").await.refused(409, "conflict");
    assert!(used.detail.contains("used by s"), "{used}");
    admin.delete("/metadata-stores/m").await.refused(409, "conflict");
    admin.delete("/shares/s").await.with(204);
    admin.post("/shares", json!({ "name": "s", "metadata": "m", "cold": "c" })).await.with(201);
    assert_eq!(admin.get("/shares/s/permissions").await.json(), json!([]));
}

#[tokio::test]
async fn cold_store_logs_in_otherwise_only_after_the_gateway_proved_it() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let s3 = json!({ "name": "c", "kind": "s3", "bucket": "b", "access_key": "A", "secret_key": "first" });
    admin.post("/payload-stores", s3).await.with(201);
    admin.post("/cold-stores", json!({ "name": "mem", "kind": "memory" })).await.with(201);
    let kept = || match bed.plane.database.get::<ColdStoreConfig>("c").unwrap().backend {
        ColdBackend::S3(s3) => s3.secret_key,
        _ => None,
    };
    bed.gateway.0.lock().fails = Some(Problem::new(422, "unusable", "access denied"));
    admin.patch("/cold-stores/c", json!({ "secret_key": "second" })).await.refused(422, "unusable");
    assert_eq!(kept().as_deref(), Some("first"));
    bed.gateway.0.lock().fails = None;
    let shown = admin.patch("/payload-stores/c", json!({ "secret_key": "second" })).await.with(200);
    assert!(!shown.text().contains("second"));
    assert_eq!(kept().as_deref(), Some("second"));
    admin.patch("/cold-stores/mem", json!({ "secret_key": "x" })).await.refused(409, "conflict");
    admin.patch("/cold-stores/c", json!({ "bucket": "other" })).await.refused(422, "invalid-body");
    assert!(admin.call("POST", "/cold-stores/c/check", None, &[]).await.with(200).is::<StoreCheck>().usable);
}

#[tokio::test]
async fn adapter_settings_are_tried_changed_replaced_and_reset() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let path = "/adapters/nfs/settings";
    let now = || bed.gateway.0.lock().adapter.clone().unwrap().settings.max_connections;
    let tried = admin.patch(&format!("{path}?dry_run=true"), json!({ "max_connections": 9 })).await.with(200);
    assert_eq!((tried.is::<NfsSettings>().max_connections, now()), (9, 4096));
    admin.patch(path, json!({ "max_connections": 9 })).await.with(200);
    assert_eq!(now(), 9);
    let refused = admin.patch(path, json!({ "max_connections": 0 })).await.refused(400, "invalid");
    assert_eq!((refused.field.as_deref(), now()), (Some("max_connections"), 9));
    let all: NfsSettings = admin.get(path).await.with(200).is();
    admin
        .put(path, serde_json::to_value(NfsSettings { max_connections: 11, ..all }).unwrap())
        .await
        .with(200);
    assert_eq!(now(), 11);
    admin.call("POST", &format!("{path}/reset"), None, &[]).await.with(200);
    assert_eq!(now(), 4096);
    assert_eq!(admin.get(&format!("{path}/defaults")).await.is::<NfsSettings>().max_connections, 4096);
    admin.patch("/adapters/nfs", json!({ "listen": "nowhere" })).await.refused(400, "invalid");
    admin.post("/adapters", json!({ "kind": "nfs" })).await.refused(409, "conflict");
    admin.post("/adapters", json!({ "kind": "smb" })).await.refused(422, "invalid-body");
}

#[tokio::test]
async fn clients_are_listed_with_their_mounts_and_cut_off() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    bed.gateway.0.lock().clients = vec![client("c1"), client("c2")];
    assert_eq!(admin.get("/clients").await.is::<Vec<ClientStatus>>().len(), 2);
    assert_eq!(admin.get("/adapters/nfs/clients?limit=1").await.is::<Vec<ClientStatus>>()[0].id, "c1");
    assert_eq!(admin.get("/shares/s/mounts").await.is::<Vec<Mount>>().len(), 2);
    admin.delete("/clients/c1").await.with(204);
    admin.delete("/clients/c1").await.refused(404, "not-found");
    admin.delete("/adapters/nfs/clients/c2").await.with(204);
    assert_eq!(admin.get("/mounts").await.json(), json!([]));
}

#[tokio::test]
async fn live_settings_are_set_and_reset_others_are_of_the_file() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let set = |key: &str, value: Value| {
        let path = format!("/settings/{key}");
        let admin = &admin;
        async move { admin.put(&path, json!({ "value": value })).await }
    };
    let shown: Setting = set("control.session_hours", json!(5)).await.with(200).is();
    assert_eq!((shown.value, shown.source, shown.live), (json!(5), SettingSource::Database, true));
    assert_eq!(bed.plane.live.session_hours(), 5);
    assert_eq!(
        set("control.session_hours", json!(0)).await.refused(400, "invalid").field.as_deref(),
        Some("value")
    );
    set("logging.level", json!("debug")).await.with(200);
    assert_eq!(set("logging.level", json!(7)).await.refused(400, "invalid").field.as_deref(), Some("value"));
    set("logging.format", json!("json")).await.refused(409, "set-in-file");
    set("no.such", json!(1)).await.refused(404, "not-found");
    let bed = bed.restarted().await;
    let admin = bed.admin().await;
    bed.plane.apply_settings().await;
    assert_eq!(bed.plane.live.session_hours(), 5);
    let last = bed.gateway.0.lock().applied.last().cloned();
    assert_eq!(last, Some(("logging.level".to_owned(), Some(json!("debug")))));
    admin.delete("/settings/control.session_hours").await.with(204);
    assert_eq!(bed.plane.live.session_hours(), 168);
    let all: Vec<Setting> = admin.get("/settings").await.is();
    assert_eq!(all.len(), 6);
}

#[tokio::test]
async fn netgroups_reach_the_gateway_and_stay_while_a_share_relies_on_them() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    admin.post("/netgroups", json!({ "name": "n", "members": ["10.0.0.1"] })).await.with(201);
    admin.post("/netgroups", json!({ "name": "n" })).await.refused(409, "conflict");
    admin.put("/netgroups/n", json!({ "members": ["10.0.0.2", "10.0.0.2"] })).await.with(200);
    assert_eq!(bed.gateway.0.lock().netgroups[0].members, ["10.0.0.2"]);
    admin.post("/netgroups/n/members", json!({ "members": ["10.1.0.0/16"] })).await.with(200);
    admin.delete("/netgroups/n/members/10.0.0.2").await.with(200);
    assert_eq!(admin.get("/netgroups/n/members").await.is::<Vec<String>>(), ["10.1.0.0/16"]);
    admin.delete("/netgroups/n/members/10.9.9.9").await.refused(404, "not-found");
    admin.patch("/shares/s", json!({ "clients": ["@n"] })).await.with(200);
    admin.delete("/netgroups/n").await.refused(409, "conflict");
    admin.patch("/shares/s", json!({ "clients": [] })).await.with(200);
    admin.delete("/netgroups/n").await.with(204);
    assert!(bed.gateway.0.lock().netgroups.is_empty());
}

#[tokio::test]
async fn lists_of_the_gateway_come_in_pages_too_and_jobs_are_remembered() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    let page = admin.get("/shares/s/snapshots?limit=100&after=200").await.with(200);
    let ids: Vec<u64> = page.is::<Vec<SnapshotStatus>>().iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(ids, (201..=250).collect::<Vec<_>>());
    assert_eq!((page.header("x-total-count"), page.header("link")), (Some("250"), None));
    let first = admin.get("/shares/s/snapshots").await;
    assert_eq!(first.header("link"), Some("</api/v1/shares/s/snapshots?limit=100&after=100>; rel=\"next\""));
    assert_eq!(
        admin.get("/shares/s/snapshots?after=x").await.refused(400, "invalid").field.as_deref(),
        Some("after")
    );
    let job: Job = admin.post("/tier/flush", json!({ "share": "s" })).await.with(202).is();
    admin.get(&format!("/jobs/{}", job.id)).await.with(200);
    assert_eq!(admin.get("/jobs").await.is::<Vec<Job>>().len(), 1);
    admin.get("/jobs/x").await.refused(404, "not-found");
    assert_eq!(admin.get("/shares/s/trash").await.json(), admin.get("/shares/s/recycled").await.json());
}
