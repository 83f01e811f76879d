//! Logging in: tokens, the first password, guessing.

use crate::bed::{Bed, PASSWORD, http};
use dfs_api::{Client, ClientError, Me, PasswordChange, RefreshRequest, Tokens};

fn status<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Refused(problem)) => (problem.status, problem.kind),
        Err(ClientError::Unauthorized) => (401, "unauthorized".to_owned()),
        other => panic!("{other:?}"),
    }
}

fn with(doors: &crate::bed::Doors, token: &str) -> Client {
    Client::new(&format!("http://{}", doors.control), Some(token.to_owned()))
}

#[test]
fn password_made_up_by_init_must_be_changed_before_anything_else() {
    let bed = Bed::empty();
    let data = bed.data();
    bed.dfs(&["init", "--data-dir", data.to_str().unwrap()]).works();
    let first = std::fs::read_to_string(data.join("admin-password")).unwrap().trim().to_owned();
    bed.configure("journal: {size: 64MiB}");
    let doors = bed.start();
    bed.block(async {
        let client = bed.anonymous(&doors);
        let tokens = client.login("admin", &first).await.unwrap();
        assert!(tokens.must_change_password);
        let early = with(&doors, &tokens.access_token);
        let me: Me = early.get("/auth/me").await.unwrap();
        assert!(me.must_change_password);
        assert_eq!(
            status(early.get::<serde_json::Value>("/shares").await),
            (403, "password-change-needed".to_owned())
        );
        let change = |new: &str| PasswordChange { old_password: first.clone(), new_password: new.to_owned() };
        assert_eq!(
            status(early.post::<_, serde_json::Value>("/users/me/password", &change("short")).await).0,
            400
        );
        let changed: Tokens = early.post("/users/me/password", &change(PASSWORD)).await.unwrap();
        assert!(!changed.must_change_password);
        assert_eq!(status(early.get::<Me>("/auth/me").await).0, 401, "tokens of before the change are void");
        let refresh = RefreshRequest { refresh_token: tokens.refresh_token };
        assert_eq!(status(client.post::<_, serde_json::Value>("/auth/refresh", &refresh).await).0, 401);
        let _: serde_json::Value = with(&doors, &changed.access_token).get("/shares").await.unwrap();
        assert_eq!(status(client.login("admin", &first).await.map(|_| ())).0, 401);
        assert!(!client.login("admin", PASSWORD).await.unwrap().must_change_password);
    });
    assert!(!bed.log().contains(&first) && !bed.log().contains(PASSWORD));
}

#[test]
fn wrong_password_and_unknown_user_are_told_the_same() {
    let bed = Bed::made();
    let doors = bed.start();
    let login = |user: &str, password: &str| {
        let body = serde_json::json!({"username": user, "password": password}).to_string();
        let (status, answer) = http(doors.control, "POST", "/api/v1/auth/login", None, &body);
        let mut answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["request_id"].take().is_string(), "each request has its own");
        (status, answer)
    };
    let wrong = login("admin", "wrong password");
    assert_eq!(wrong.0, 401);
    assert_eq!(wrong, login("nobody", "wrong password"));
    assert_eq!(wrong, login("admin", &"x".repeat(100_000)));
}

#[test]
fn logins_that_guess_are_refused_after_ten_even_all_at_once() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.anonymous(&doors);
    let outcomes = bed.block(async {
        let tries = (0..40).map(|n| {
            let client = client.clone();
            tokio::spawn(
                async move { status(client.login("admin", &format!("wrong {n}")).await.map(|_| ())).0 },
            )
        });
        let mut outcomes = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            outcomes.push(one.await.unwrap());
        }
        outcomes
    });
    let count = |status: u16| outcomes.iter().filter(|found| **found == status).count();
    assert_eq!((count(401), count(429)), (10, 30), "{outcomes:?}");
    let (refused, kind) = status(bed.block(client.login("admin", PASSWORD)).map(|_| ()));
    assert_eq!((refused, kind.as_str()), (429, "too-many-logins"), "the right password must wait too");
    assert!(bed.log().contains("address=127.0.0.1"), "{}", bed.log());
}

#[test]
fn refresh_token_gives_new_tokens_and_is_no_access_token() {
    let bed = Bed::made();
    let doors = bed.start();
    bed.block(async {
        let client = bed.anonymous(&doors);
        let tokens = client.login("admin", PASSWORD).await.unwrap();
        assert_eq!(tokens.expires_in, 900);
        let body = RefreshRequest { refresh_token: tokens.refresh_token.clone() };
        let again: Tokens = client.post("/auth/refresh", &body).await.unwrap();
        let me: Me = with(&doors, &again.access_token).get("/auth/me").await.unwrap();
        assert_eq!((me.username.as_str(), me.role), ("admin", dfs_api::Role::Admin));
        assert_eq!(status(with(&doors, &tokens.refresh_token).get::<Me>("/auth/me").await).0, 401);
        let body = RefreshRequest { refresh_token: tokens.access_token };
        assert_eq!(status(client.post::<_, serde_json::Value>("/auth/refresh", &body).await).0, 401);
    });
}

#[test]
fn token_that_is_forged_is_refused() {
    let bed = Bed::made();
    let doors = bed.start();
    let tokens = bed.block(bed.anonymous(&doors).login("admin", PASSWORD)).unwrap();
    let parts: Vec<&str> = tokens.access_token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{parts:?}") };
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let mut other = claims.to_owned().into_bytes();
    other[10] ^= 1;
    let other = String::from_utf8(other).unwrap();
    let forged = [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{header}.{other}.{signature}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        String::new(),
        "x".repeat(10_000),
    ];
    for token in forged {
        let (status, body) = http(doors.control, "GET", "/api/v1/auth/me", Some(&token), "");
        assert!(status == 401 || status == 431, "{token}: {status} {body}");
    }
    assert_eq!(http(doors.control, "GET", "/api/v1/auth/me", Some(&tokens.access_token), "").0, 200);
}

#[test]
fn tokens_stay_valid_over_a_restart() {
    let bed = Bed::made();
    let doors = bed.start();
    let tokens = bed.block(bed.anonymous(&doors).login("admin", PASSWORD)).unwrap();
    bed.dfs(&["stop"]).works();
    let doors = bed.start();
    let _: Me = bed.block(with(&doors, &tokens.access_token).get("/auth/me")).unwrap();
}
