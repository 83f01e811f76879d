//! Logging in and out: tokens, rotation, guessing, what is told of it.

use super::bed::{Bed, PASSWORD, free};
use crate::live::PlaneLimits;
use dfs_api::{AuditResult, Me, Role, Tokens};
use serde_json::json;

async fn login(bed: &Bed, name: &str, password: &str) -> super::bed::Answer {
    bed.anybody().post("/auth/login", json!({ "username": name, "password": password })).await
}

#[tokio::test]
async fn login_gives_tokens_that_say_who_and_end_with_the_session() {
    let bed = Bed::new().await;
    let tokens: Tokens = login(&bed, "admin", PASSWORD).await.with(200).is();
    let me: Me = bed.with(&tokens.access_token).get("/auth/me").await.with(200).is();
    assert_eq!((me.username.as_str(), me.role), ("admin", Role::Admin));
    let other: Tokens = login(&bed, "admin", PASSWORD).await.with(200).is();
    bed.with(&tokens.access_token).call("POST", "/auth/logout", None, &[]).await.with(204);
    bed.with(&tokens.access_token).get("/auth/me").await.refused(401, "unauthorized");
    let refresh = json!({ "refresh_token": tokens.refresh_token });
    bed.anybody().post("/auth/refresh", refresh).await.refused(401, "unauthorized");
    bed.with(&other.access_token).get("/auth/me").await.with(200);
    bed.with(&other.access_token).call("POST", "/auth/logout?all=true", None, &[]).await.with(204);
    bed.with(&other.access_token).get("/auth/me").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn refresh_token_is_good_once_and_a_stolen_one_ends_the_session() {
    let bed = Bed::new().await;
    let first: Tokens = login(&bed, "admin", PASSWORD).await.with(200).is();
    let refresh = |token: &str| {
        let body = json!({ "refresh_token": token });
        let bed = &bed;
        async move { bed.anybody().post("/auth/refresh", body).await }
    };
    let second: Tokens = refresh(&first.refresh_token).await.with(200).is();
    // The answer was lost: the same successor again.
    let again: Tokens = refresh(&first.refresh_token).await.with(200).is();
    assert_eq!(second.refresh_token, again.refresh_token);
    bed.clock.advance(60);
    let third: Tokens = refresh(&second.refresh_token).await.with(200).is();
    bed.clock.advance(60);
    refresh(&first.refresh_token).await.refused(401, "unauthorized");
    refresh(&third.refresh_token).await.refused(401, "unauthorized");
    bed.with(&third.access_token).get("/auth/me").await.refused(401, "unauthorized");
    let told = bed.audit().await.into_iter().find(|record| record.action == "auth.token-reused").unwrap();
    assert_eq!((told.user.as_str(), told.result), ("admin", AuditResult::Refused));
}

#[tokio::test]
async fn password_change_ends_every_session_but_the_new_one() {
    let bed = Bed::new().await;
    let tokens: Tokens = login(&bed, "admin", PASSWORD).await.with(200).is();
    let change = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });
    let caller = bed.with(&tokens.access_token);
    let wrong = caller.post("/users/me/password", change("wrong", "another good one")).await;
    assert_eq!(wrong.refused(400, "invalid").field.as_deref(), Some("old_password"));
    for bad in [PASSWORD, "short", "admin"] {
        let refused = caller.post("/users/me/password", change(PASSWORD, bad)).await.refused(400, "invalid");
        assert_eq!(refused.field.as_deref(), Some("new_password"), "{bad}");
    }
    let new: Tokens =
        caller.post("/users/me/password", change(PASSWORD, "another good one")).await.with(200).is();
    caller.get("/auth/me").await.refused(401, "unauthorized");
    bed.with(&new.access_token).get("/auth/me").await.with(200);
    login(&bed, "admin", PASSWORD).await.refused(401, "wrong-login");
    login(&bed, "admin", "another good one").await.with(200);
}

#[tokio::test]
async fn unknown_user_disabled_user_and_wrong_password_are_told_the_same() {
    let bed = Bed::new().await;
    bed.user("off", Role::User).await;
    bed.admin().await.patch("/users/off", json!({ "enabled": false })).await.with(200);
    let wrong = login(&bed, "admin", "wrong").await;
    for (name, password) in
        [("nobody", "wrong"), ("off", PASSWORD), ("", ""), ("admin", &"x".repeat(100_000))]
    {
        let other = login(&bed, name, password).await;
        let plain = |answer: &super::bed::Answer| {
            let mut problem = answer.refused(401, "wrong-login");
            problem.request_id = None;
            problem
        };
        assert_eq!(plain(&other), plain(&wrong), "{name}");
    }
}

#[tokio::test]
async fn guessing_is_refused_before_hashing_and_told_once_with_its_number() {
    let limits = PlaneLimits { login_tries_per_minute: 5, ..free() };
    let bed = Bed::limited(limits).await;
    let mut statuses = Vec::new();
    for n in 0..30 {
        statuses.push(login(&bed, "admin", &format!("wrong {n}")).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5);
    let refused = login(&bed, "admin", PASSWORD).await;
    refused.refused(429, "too-many-logins");
    assert!(
        refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|n| n <= 61))
    );
    let told = bed.audit().await;
    let told: Vec<_> = told.iter().filter(|record| record.action == "auth.login").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].result, told[0].address.as_str()), (AuditResult::Refused, "127.0.0.1"));
    assert_eq!(told[0].after, Some(json!({ "tries": 6 })));
    // Whoever is logged in goes on meanwhile, and the next minute is a new one.
    bed.admin().await.get("/users").await.with(200);
    bed.clock.advance(61);
    login(&bed, "admin", PASSWORD).await.with(200);
}

#[tokio::test]
async fn more_logins_than_can_wait_for_hashing_are_told_to_come_again() {
    let bed = Bed::new().await;
    let tries = (0..150).map(|n| {
        let body = json!({ "username": "admin", "password": format!("wrong {n}") });
        let bed = &bed;
        async move { bed.anybody().post("/auth/login", body).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(count(401) + count(503), 150);
    assert!(count(503) > 0 && count(401) >= 66, "{} {}", count(401), count(503));
    let busy = answers.iter().find(|answer| answer.status == 503).unwrap();
    busy.refused(503, "busy");
    assert_eq!(busy.header("retry-after"), Some("1"));
}
