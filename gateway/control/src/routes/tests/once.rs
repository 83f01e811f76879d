//! Creates that are sent again.

use super::bed::{Answer, As, Bed, PASSWORD};
use dfs_api::Role;
use serde_json::{Value, json};

fn group(name: &str) -> Value {
    json!({ "name": name })
}

async fn with_key(caller: &As<'_>, path: &str, body: Value, key: &str) -> Answer {
    caller.call("POST", path, Some(body), &[("idempotency-key", key)]).await
}

#[tokio::test]
async fn create_that_is_repeated_gets_the_first_answer_and_happens_once() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let first = with_key(&admin, "/groups", group("g"), "k1").await.with(201);
    assert_eq!(first.header("idempotent-replayed"), None);
    bed.clock.advance(100);
    let again = with_key(&admin, "/groups", group("g"), "k1").await.with(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        (again.body, again.headers.get("content-type")),
        (first.body, first.headers.get("content-type"))
    );
    with_key(&admin, "/groups", group("other"), "k1").await.refused(422, "idempotency-key-reused");
    with_key(&admin, "/groups", group("g"), "k2").await.refused(409, "conflict");
    admin.post("/groups", group("g")).await.refused(409, "conflict");
    let made = bed.audit().await.into_iter().filter(|record| record.action == "group.create");
    assert_eq!(made.filter(|record| record.result == dfs_api::AuditResult::Done).count(), 1);
}

#[tokio::test]
async fn key_belongs_to_its_caller_and_its_route() {
    let bed = Bed::new().await;
    bed.user("other", Role::Admin).await;
    let (admin, other) = (bed.admin().await, bed.with(&bed.token("other").await));
    with_key(&admin, "/groups", group("g"), "k").await.with(201);
    with_key(&other, "/groups", group("h"), "k").await.with(201);
    with_key(&admin, "/netgroups", group("n"), "k").await.with(201);
}

#[tokio::test]
async fn creates_with_one_key_at_once_wait_for_the_first() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let calls = (0..20).map(|_| {
        let body = json!({ "name": "ann", "password": PASSWORD });
        with_key(&admin, "/users", body, "k")
    });
    let answers = futures_util::future::join_all(calls).await;
    assert!(
        answers.iter().all(|answer| answer.status == 201),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
}

#[tokio::test]
async fn key_is_remembered_over_a_restart_and_for_a_day() {
    let bed = Bed::new().await;
    with_key(&bed.admin().await, "/groups", group("g"), "k").await.with(201);
    let bed = bed.restarted().await;
    let admin = bed.admin().await;
    let again = with_key(&admin, "/groups", group("g"), "k").await.with(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    bed.clock.advance(24 * 3600 - 1);
    with_key(&bed.admin().await, "/groups", group("g"), "k").await.with(201);
    bed.clock.advance(1);
    with_key(&bed.admin().await, "/groups", group("g"), "k").await.refused(409, "conflict");
}

#[tokio::test]
async fn create_that_was_refused_may_be_tried_again_with_its_key() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let cold = json!({ "name": "c", "kind": "memory" });
    bed.gateway.0.lock().fails = Some(dfs_api::Problem::new(422, "unusable", "no such bucket"));
    with_key(&admin, "/cold-stores", cold.clone(), "k").await.refused(422, "unusable");
    bed.gateway.0.lock().fails = None;
    let made = with_key(&admin, "/cold-stores", cold, "k").await.with(201);
    assert_eq!(made.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn key_that_is_none_is_refused_and_the_body_is_not_in_the_database() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    for odd in ["", "a b", &"x".repeat(129)] {
        let refused = with_key(&admin, "/groups", group("g"), odd).await.refused(400, "invalid");
        assert_eq!(refused.field.as_deref(), Some("idempotency-key"), "{odd}");
    }
    let planted = "planted password 7f3a";
    let body = json!({ "name": "ann", "password": planted });
    with_key(&admin, "/users", body, "planted-key-7f3a").await.with(201);
    let file = std::fs::read(bed.folder.path().join("control.redb")).unwrap();
    for secret in [planted, "planted-key-7f3a"] {
        assert!(!file.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret}");
    }
}
