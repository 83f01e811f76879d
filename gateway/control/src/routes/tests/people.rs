//! Users, groups, permissions, mappings: what is told to the gateway, what is refused, what is never told.

use super::bed::{Answer, Bed, PASSWORD};
use dfs_api::{EffectivePermission, Group, PermissionLevel, Role, User};
use dfs_auth::Level;
use serde_json::json;

#[tokio::test]
async fn user_goes_from_made_to_deleted_and_the_gateway_knows_at_each_step() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    let known = |uid| bed.gateway.0.lock().identities.clone().unwrap().user(uid).map(|user| user.enabled);
    let body =
        json!({ "name": "ann", "password": PASSWORD, "uid": 1001, "gid": 100, "email": "ann@example.org" });
    let made: User = admin.post("/users", body).await.with(201).is();
    assert_eq!(
        (made.uid, made.role, made.enabled, made.must_change_password),
        (Some(1001), Role::User, true, true)
    );
    assert_eq!(known(1001), Some(true));
    assert_eq!(admin.get("/users/ann").await.with(200).is::<User>(), made);
    let changed: User = admin.patch("/users/ann", json!({ "enabled": false })).await.with(200).is();
    assert_eq!(changed, User { enabled: false, ..made });
    assert_eq!(known(1001), Some(false));
    admin.put("/users/ann", json!({ "uid": null, "enabled": true })).await.with(200);
    assert_eq!(known(1001), None);
    admin.delete("/users/ann").await.with(204);
    admin.get("/users/ann").await.refused(404, "not-found");
    admin.delete("/users/ann").await.refused(404, "not-found");
}

#[tokio::test]
async fn groups_and_permissions_resolve_and_reach_the_gateway_at_once() {
    let bed = Bed::new().await;
    bed.share().await;
    let admin = bed.admin().await;
    admin.post("/groups", json!({ "name": "staff", "gid": 500 })).await.with(201);
    let ann = json!({ "name": "ann", "password": PASSWORD, "uid": 1001, "groups": ["staff"] });
    admin.post("/users", ann).await.with(201);
    let level = || {
        let table = bed.gateway.0.lock().identities.clone().unwrap();
        (table.resolve("s", Level::ReadWrite, 1001).level, table.user(1001).unwrap().groups.to_vec())
    };
    assert_eq!(level(), (Level::ReadWrite, vec![500]));
    let group = "/shares/s/permissions/groups/staff";
    admin.put(group, json!({ "level": "read" })).await.with(200);
    assert_eq!(level().0, Level::Read);
    let own = "/shares/s/permissions/users/ann";
    admin.put(own, json!({ "level": "admin" })).await.with(200);
    assert_eq!(level().0, Level::Admin);
    let told = admin.get("/shares/s/permissions/effective/ann").await.with(200).is::<EffectivePermission>();
    assert_eq!(told.level, PermissionLevel::Admin);
    admin.delete(own).await.with(204);
    admin.delete(own).await.refused(404, "not-found");
    assert_eq!(level().0, Level::Read);
    admin.delete("/groups/staff/members/ann").await.with(204);
    assert_eq!(level(), (Level::ReadWrite, vec![]));
    let joined: Group = admin.post("/groups/staff/members", json!({ "user": "ann" })).await.with(200).is();
    assert_eq!(joined.members, ["ann"]);
    assert_eq!(admin.get("/groups/staff/members").await.with(200).is::<Vec<String>>(), ["ann"]);
    admin.delete("/groups/staff").await.with(204);
    assert_eq!(level(), (Level::ReadWrite, vec![]));
    assert_eq!(admin.get("/shares/s/permissions").await.json(), json!([]));
}

#[tokio::test]
async fn last_administrator_stays() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    admin.delete("/users/admin").await.refused(409, "last-admin");
    admin.patch("/users/admin", json!({ "enabled": false })).await.refused(409, "last-admin");
    admin.patch("/users/admin", json!({ "role": "operator" })).await.refused(409, "last-admin");
    bed.user("other", Role::Admin).await;
    admin.patch("/users/admin", json!({ "role": "operator" })).await.with(200);
    bed.with(&bed.token("other").await).delete("/users/other").await.refused(409, "last-admin");
}

#[tokio::test]
async fn what_is_wrong_with_a_user_is_told_by_field() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    admin.post("/users", json!({ "name": "ann", "password": PASSWORD, "uid": 1001 })).await.with(201);
    let cases = [
        (json!({ "name": "a b", "password": PASSWORD }), 400, "name"),
        (json!({ "name": "me", "password": PASSWORD }), 400, "name"),
        (json!({ "name": "ann", "password": PASSWORD }), 409, "name"),
        (json!({ "name": "bo", "password": "short" }), 400, "password"),
        (json!({ "name": "bobobobo", "password": "BoboBobo" }), 400, "password"),
        (json!({ "name": "bo", "password": "x".repeat(2000) }), 400, "password"),
        (json!({ "name": "bo", "password": PASSWORD, "uid": 1001 }), 409, "uid"),
        (json!({ "name": "bo", "password": PASSWORD, "uid": 4_294_967_295_u32 }), 400, "uid"),
        (json!({ "name": "bo", "password": PASSWORD, "groups": ["none"] }), 400, "groups"),
        (json!({ "name": "bo", "password": PASSWORD, "role": "king" }), 422, "role"),
        (json!({ "name": "bo", "password": PASSWORD, "gui": 7 }), 422, "gui"),
        (json!({ "name": "bo" }), 422, "password"),
    ];
    for (body, status, field) in cases {
        let answer = admin.post("/users", body.clone()).await;
        assert_eq!(
            (answer.status, answer.is::<dfs_api::Problem>().field.as_deref()),
            (status, Some(field)),
            "{body}"
        );
        assert!(!answer.text().contains(PASSWORD), "{body}");
    }
}

#[tokio::test]
async fn principals_act_for_users_that_have_a_uid() {
    let bed = Bed::new().await;
    let admin = bed.admin().await;
    admin.post("/users", json!({ "name": "ann", "password": PASSWORD, "uid": 1001 })).await.with(201);
    let mapping = json!({ "principal": "uid:5000", "user": "ann" });
    admin.post("/identity-mappings", mapping.clone()).await.with(201);
    assert_eq!(bed.gateway.0.lock().identities.clone().unwrap().stands_for(5000), 1001);
    assert_eq!(admin.get("/identity-mappings/uid:5000").await.with(200).json(), mapping);
    assert_eq!(
        admin.post("/identity-mappings", mapping).await.refused(409, "conflict").field.as_deref(),
        Some("principal")
    );
    admin.delete("/identity-mappings/uid:5000").await.with(204);
    assert_eq!(bed.gateway.0.lock().identities.clone().unwrap().stands_for(5000), 5000);
}

#[tokio::test]
async fn lists_come_in_pages_that_lead_to_all_of_them() {
    let bed = Bed::new().await;
    for n in 0..25 {
        bed.put(&crate::testing::user(&format!("u{n:02}"), Role::User)).await;
    }
    let admin = bed.admin().await;
    let names =
        |answer: &Answer| answer.is::<Vec<User>>().into_iter().map(|user| user.name).collect::<Vec<_>>();
    let (mut path, mut seen, mut pages) = (Some("/users?limit=10".to_owned()), Vec::new(), 0);
    while let Some(asked) = path {
        let answer = admin.get(&asked).await.with(200);
        assert_eq!(answer.header("x-total-count"), Some("26"));
        seen.extend(names(&answer));
        pages += 1;
        let link = answer.header("link").map(str::to_owned);
        path = link.map(|link| {
            let path = link.strip_prefix("</api/v1").unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            path.to_owned()
        });
    }
    let mut wanted: Vec<String> = (0..25).map(|n| format!("u{n:02}")).collect();
    wanted.insert(0, "admin".to_owned());
    assert_eq!((seen, pages), (wanted, 3));
    assert_eq!(admin.get("/users").await.header("link"), None);
    for odd in ["limit=0", "limit=1001", "limit=x", "limit=-1"] {
        assert_eq!(
            admin.get(&format!("/users?{odd}")).await.refused(400, kind(odd)).field.as_deref(),
            Some("limit")
        );
    }
    admin.get(&format!("/users?after={}", "x".repeat(300))).await.refused(400, "invalid");
    let client = dfs_api::Client::new(&format!("http://{}", bed.door), Some(bed.token("admin").await));
    let all: Vec<User> = client.list("/users?limit=7").await.unwrap_or_default();
    assert!(all.is_empty(), "a limit that is given twice is refused");
    assert_eq!(client.list::<User>("/users").await.unwrap().len(), 26);
}

fn kind(query: &str) -> &'static str {
    if query.ends_with(['0', '1']) && !query.contains('-') { "invalid" } else { "invalid-query" }
}
