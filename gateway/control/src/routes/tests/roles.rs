//! Who may use which route: every row of the table asked by everybody.

use super::bed::{Answer, Bed};
use crate::routes::route::{Access, Route};
use crate::routes::table::table;
use crate::rows::UserRow;
use dfs_api::Role;
use std::collections::BTreeMap;

/// A path of the route whose parts name nothing that exists.
fn path(route: &Route) -> String {
    let parts = route.path.split('/').map(|part| match part {
        "{kind}" => "nfs",
        part if part.starts_with('{') => "nobody",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Asks with a body that is no JSON, so that whoever is let through is told of the body or of what does not exist, and
/// nothing is changed.
async fn ask(bed: &Bed, route: &Route, token: Option<&str>) -> Answer {
    let caller = token.map_or_else(|| bed.anybody(), |token| bed.with(token));
    let body: &[u8] = if route.body_max.is_some() { b"{" } else { b"" };
    let kind = route.body_max.map(|_| "application/json");
    caller.send(route.method.as_str(), &path(route), kind, body, &[]).await
}

fn may(role: Role, access: Access) -> bool {
    match access {
        Access::Open | Access::LoggedIn => true,
        Access::AtLeast(least) => role >= least,
    }
}

#[tokio::test]
async fn every_route_asked_by_everybody_lets_in_whom_the_table_says() {
    let bed = Bed::new().await;
    let mut tokens = BTreeMap::new();
    for (name, role) in [("user", Role::User), ("operator", Role::Operator), ("admin", Role::Admin)] {
        bed.user(name, role).await;
        tokens.insert(name, role);
    }
    let mut asked = 0;
    for route in table() {
        let place = format!("{} {}", route.method, route.path);
        // It would end the session that asks; it has a test of its own.
        if route.path == "/auth/logout" {
            continue;
        }
        let nobody = ask(&bed, &route, None).await;
        match route.access {
            Access::Open => assert!(![401, 403].contains(&nobody.status), "{place}: {}", nobody.text()),
            _ => drop(nobody.refused(401, "unauthorized")),
        }
        for (name, role) in &tokens {
            let answer = ask(&bed, &route, Some(&bed.token(name).await)).await;
            if may(*role, route.access) {
                assert!(![401, 403].contains(&answer.status), "{name} {place}: {}", answer.text());
            } else {
                answer.refused(403, "forbidden");
            }
            assert!(answer.status < 500, "{name} {place}: {}", answer.text());
            asked += 1;
        }
    }
    assert!(asked > 300, "{asked}");
}

#[tokio::test]
async fn void_tokens_are_refused_by_every_route_that_needs_one() {
    let bed = Bed::new().await;
    bed.user("gone", Role::Admin).await;
    bed.user("off", Role::Admin).await;
    let (gone, off) = (bed.token("gone").await, bed.token("off").await);
    let expired = bed.token("admin").await;
    bed.clock.advance(16 * 60);
    let ended = bed.token("admin").await;
    bed.with(&ended).call("POST", "/auth/logout", None, &[]).await.with(204);
    let (gone_now, off_now) = (bed.token("gone").await, bed.token("off").await);
    let admin = bed.admin().await;
    admin.delete("/users/gone").await.with(204);
    admin.patch("/users/off", serde_json::json!({ "enabled": false })).await.with(200);
    let fresh = bed.token("admin").await;
    let forged = format!("{}x", &fresh[..fresh.len() - 1]);
    let void = [&gone, &off, &expired, &ended, &gone_now, &off_now, &forged, &String::new()];
    for route in table().iter().filter(|route| route.access != Access::Open) {
        for token in void {
            ask(&bed, route, Some(token)).await.refused(401, "unauthorized");
        }
    }
    bed.with(&fresh).get("/auth/me").await.with(200);
}

#[tokio::test]
async fn user_who_must_change_his_password_may_do_nothing_else() {
    let bed = Bed::new().await;
    bed.user("new", Role::Admin).await;
    let row = bed.plane.database.get::<UserRow>("new").unwrap();
    bed.put(&UserRow { must_change_password: true, ..row }).await;
    let token = bed.token("new").await;
    for route in table().iter().filter(|route| matches!(route.access, Access::AtLeast(_))) {
        ask(&bed, route, Some(&token)).await.refused(403, "password-change-needed");
    }
    bed.with(&token).get("/auth/me").await.with(200);
}

#[tokio::test]
async fn role_is_looked_at_before_the_body_is_read() {
    let bed = Bed::new().await;
    // The body never comes: an answer proves that nobody waited for it.
    let head = "POST /api/v1/users HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    bed.raw(head.as_bytes()).await.refused(401, "unauthorized");
    bed.user("u", Role::User).await;
    let token = bed.token("u").await;
    let head = head.replace("connection", &format!("authorization: Bearer {token}\r\nconnection"));
    bed.raw(head.as_bytes()).await.refused(403, "forbidden");
}
