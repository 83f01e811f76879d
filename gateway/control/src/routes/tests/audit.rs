//! The audit log: who did what, and what it changed; never a secret.

use super::bed::{Bed, PASSWORD};
use dfs_api::{AuditRecord, AuditResult, Role};
use serde_json::json;

#[tokio::test]
async fn change_is_recorded_with_who_from_where_before_and_after() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    admin
        .call("PATCH", "/shares/s", Some(json!({ "read_only": true })), &[("x-request-id", "r-9")])
        .await
        .with(200);
    let record = bed.audit().await.remove(0);
    assert_eq!((record.action.as_str(), record.target.as_str()), ("share.change", "s"));
    assert_eq!(
        (record.user.as_str(), record.role, record.result),
        ("admin", Some(Role::Admin), AuditResult::Done)
    );
    assert_eq!((record.address.as_str(), record.request_id.as_str()), ("127.0.0.1", "r-9"));
    assert_eq!(record.before.unwrap()["read_only"], false);
    assert_eq!(record.after.unwrap()["read_only"], true);
}

#[tokio::test]
async fn refused_change_is_recorded_with_the_problem_and_without_an_after() {
    let bed = Bed::new().await;
    bed.user("u", Role::User).await;
    let token = bed.token("u").await;
    bed.with(&token)
        .post("/users", json!({ "name": "x", "password": PASSWORD }))
        .await
        .refused(403, "forbidden");
    bed.admin().await.delete("/users/admin").await.refused(409, "last-admin");
    bed.anybody().delete("/users/admin").await.refused(401, "unauthorized");
    let told: Vec<_> =
        bed.audit().await.into_iter().map(|r| (r.user, r.action, r.problem.unwrap(), r.after)).collect();
    let wanted = [("admin", "user.delete", "last-admin"), ("u", "user.create", "forbidden")];
    assert_eq!(told, wanted.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned(), None)));
}

#[tokio::test]
async fn log_is_searched_read_in_pages_and_exported_as_lines() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    for n in 0..7 {
        admin.post("/groups", json!({ "name": format!("g{n}") })).await.with(201);
    }
    admin.post("/netgroups", json!({ "name": "n" })).await.with(201);
    let page = admin.get("/audit?action=group&limit=5").await.with(200);
    let records: Vec<AuditRecord> = page.is();
    assert_eq!(
        records.iter().map(|record| record.target.as_str()).collect::<Vec<_>>(),
        ["g6", "g5", "g4", "g3", "g2"]
    );
    let link = page.header("link").unwrap();
    assert!(link.contains("action=group") && link.contains("limit=5"), "{link}");
    let next = link.strip_prefix("</api/v1").unwrap().split('>').next().unwrap();
    let rest = admin.get(next).await.with(200);
    assert_eq!((rest.is::<Vec<AuditRecord>>().len(), rest.header("link")), (2, None));
    let lines = admin.call("GET", "/audit", None, &[("accept", "application/x-ndjson")]).await.with(200);
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let all: Vec<AuditRecord> =
        lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 8);
    admin.get("/audit?limit=1001").await.refused(400, "invalid");
    admin.get("/audit?usr=x").await.refused(400, "invalid-query");
}

#[tokio::test]
async fn planted_secrets_are_nowhere_in_answers_and_audit() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let mut seen = String::new();
    let secrets =
        ["plantedpassword-1", "plantedpassword-2", "plantedsecret-3", "plantedsecret-4", "plantedphrase-5"];
    let s3 =
        json!({ "name": "c", "kind": "s3", "bucket": "b", "access_key": "AK", "secret_key": secrets[2] });
    for answer in [
        admin.post("/users", json!({ "name": "ann", "password": secrets[0] })).await,
        admin.post("/users", json!({ "name": "ann", "password": secrets[0] })).await,
        admin.post("/users/ann/password", json!({ "new_password": secrets[1] })).await,
        admin.post("/users", json!({ "name": 7, "password": secrets[0] })).await,
        admin.post("/cold-stores", s3).await,
        admin.patch("/cold-stores/c", json!({ "secret_key": secrets[3] })).await,
        admin.get("/cold-stores").await,
        admin.get("/payload-stores/c").await,
        admin.post("/backup", json!({ "passphrase": secrets[4] })).await,
        admin.get("/users").await,
        admin.get("/settings").await,
        admin.get("/audit").await,
    ] {
        seen.push_str(&answer.text());
    }
    for record in bed.audit().await {
        seen.push_str(&serde_json::to_string(&record).unwrap());
    }
    for word in secrets {
        assert!(!seen.contains(word), "{word}");
    }
    assert!(!seen.contains("$argon2"));
    assert!(seen.contains("\"***\""), "that a secret was set is told");
    let given = &bed.gateway.0.lock().credentials;
    assert!(serde_json::to_string(given).unwrap().contains(secrets[3]), "the gateway got it");
}
