//! Logging in and out, refreshing, the own password.

use super::answers::{Done, Shown};
use super::call::Call;
use super::inputs::{AllSessions, NoBody, NoQuery, Sent};
use super::passwords::{hashed, verify};
use super::pipeline::unkept;
use super::route::{Access, Route, family, route};
use crate::change::Change;
use crate::database::Planned;
use crate::guard::{Refusal, Session};
use crate::metrics;
use crate::mirror::Snapshot;
use crate::rows::UserRow;
use crate::sessions::{self, Refreshed};
use crate::tokens::LOCAL_USER;
use axum::http::Method;
use dfs_api::{AuditRecord, AuditResult, LoginRequest, Me, PasswordChange, Problem, RefreshRequest, Tokens};
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "auth",
        vec![
            route(Method::POST, "/auth/login", "login", Access::Open, login)
                .says("Logs in: tokens for a name and a password.")
                .audited("auth.login"),
            route(Method::POST, "/auth/refresh", "refresh", Access::Open, refresh)
                .says("Gives new tokens for a refresh token, which is void afterwards."),
            route(Method::GET, "/auth/me", "getMe", Access::LoggedIn, me).says("Tells who the caller is."),
            route(Method::POST, "/auth/logout", "logout", Access::LoggedIn, logout)
                .says("Ends the session of the token, or all of the caller's.")
                .audited("auth.logout"),
            route(Method::POST, "/users/me/password", "changePassword", Access::LoggedIn, change_password)
                .says("Changes the caller's password; every session of his ends, and a new one begins.")
                .audited("user.password"),
        ],
    )
}

fn wrong_login() -> Problem {
    Problem::new(401, "wrong-login", "the user name or the password is wrong")
}

/// Counts a login that was wrong or refused, and tells of it once per address and minute.
async fn note_wrong(call: &Call, name: &str, refused: bool) {
    metrics::login(if refused { "refused" } else { "wrong" });
    if let Some(told) = call.plane.brake.wrong(call.peer.ip(), name, refused) {
        call.plane.tell_wrong_tries(told).await;
    }
}

async fn login(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<LoginRequest>,
) -> Result<Shown<Tokens>, Refusal> {
    let (plane, name) = (&call.plane, request.username);
    if let Err(problem) = plane.brake.start(call.peer.ip(), &name) {
        note_wrong(&call, &name, true).await;
        return Err(problem.into());
    }
    let user = plane.user(&name);
    let right = verify(plane, user.as_ref(), request.password).await?;
    let Some(user) = user.filter(|user| right && user.enabled) else {
        note_wrong(&call, &name, false).await;
        return Err(wrong_login().into());
    };
    plane.brake.right(call.peer.ip(), &name);
    call.notes.lock().who = Some((name.clone(), user.role));
    call.about(&name);
    let version = user.token_version;
    let tokens = call.transact(|snapshot| {
        let same = |user: &&Arc<UserRow>| user.enabled && user.token_version == version;
        let user = snapshot.get::<UserRow>(&name).filter(same).ok_or_else(wrong_login)?;
        let user = UserRow { last_login_at: Some(plane.tokens.now()), ..user.as_ref().clone() };
        let (change, tokens) = begin(&call, snapshot, &user)?;
        Ok((change.put(&user), tokens))
    });
    let tokens = tokens.await?;
    metrics::login("right");
    Ok(Shown(tokens))
}

fn begin(call: &Call, snapshot: &Snapshot, user: &UserRow) -> Result<(Change, Tokens), Problem> {
    let (address, hours) = (call.peer.to_string(), call.plane.live.session_hours());
    sessions::begin(&call.plane.tokens, snapshot, user, &address, hours).map_err(Problem::internal)
}

async fn refresh(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<RefreshRequest>,
) -> Result<Shown<Tokens>, Refusal> {
    let expired = || Problem::new(401, "unauthorized", "the refresh token is not valid: log in again");
    let (plane, hours) = (&call.plane, call.plane.live.session_hours());
    let refreshed = plane.database.transact(|snapshot| -> Result<Planned<Option<Tokens>>, Problem> {
        let done = sessions::refresh(&plane.tokens, snapshot, &request.refresh_token, hours);
        let (change, answer, audit) = match done.map_err(Problem::internal)? {
            Refreshed::Next(change, tokens) => (change, Some(tokens), None),
            Refreshed::Again(tokens) => (Change::default(), Some(tokens), None),
            Refreshed::Reused(change, session) => {
                tracing::warn!(user = %session.user, "a refresh token was used twice: its session ends");
                (change, None, Some(reused(&call, &session.user)))
            }
            Refreshed::Invalid => (Change::default(), None, None),
        };
        Ok(Planned { change, audit, answer })
    });
    Ok(Shown(refreshed.await?.ok_or_else(expired)?))
}

/// The record of a refresh token that was used twice.
fn reused(call: &Call, user: &str) -> AuditRecord {
    AuditRecord {
        id: 0,
        at: call.plane.now_ms(),
        user: user.to_owned(),
        role: None,
        address: call.peer.to_string(),
        request_id: call.id.0.to_string(),
        action: "auth.token-reused".to_owned(),
        target: user.to_owned(),
        result: AuditResult::Refused,
        problem: Some("unauthorized".to_owned()),
        before: None,
        after: None,
    }
}

fn session(call: &Call) -> Result<&Session, Problem> {
    call.session.as_ref().ok_or_else(|| Problem::new(401, "unauthorized", "log in first"))
}

async fn me(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<Me>, Refusal> {
    let session = session(&call)?;
    let must_change_password = session.claims.must_change;
    Ok(Shown(Me { username: session.user.clone(), role: session.role, must_change_password }))
}

async fn logout(call: Arc<Call>, asked: AllSessions, _: NoBody) -> Result<Done, Refusal> {
    let session = session(&call)?;
    call.about(&session.user);
    call.transact(|snapshot| {
        let ended = match asked.all {
            true => sessions::end_all(snapshot, &session.user),
            false => sessions::end(&session.claims),
        };
        Ok((ended, ()))
    })
    .await?;
    Ok(Done)
}

async fn change_password(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<PasswordChange>,
) -> Result<Shown<Tokens>, Refusal> {
    let (plane, name) = (&call.plane, session(&call)?.user.clone());
    call.about(&name);
    if name == LOCAL_USER {
        return Err(
            Problem::new(422, "no-password", "a command on the machine itself has no password").into()
        );
    }
    if request.new_password == request.old_password {
        return Err(Problem::field("new_password", "the new password must differ from the old one").into());
    }
    plane.brake.start(call.peer.ip(), &name)?;
    let user = plane.user(&name).ok_or_else(wrong_login)?;
    if !verify(plane, Some(&user), request.old_password).await? {
        if let Some(told) = plane.brake.wrong(call.peer.ip(), &name, false) {
            plane.tell_wrong_tries(told).await;
        }
        return Err(Problem::field("old_password", "the old password is wrong").into());
    }
    plane.brake.right(call.peer.ip(), &name);
    let password = hashed(plane, &name, "new_password", request.new_password).await?;
    call.after(&json!({ "password": "***" }));
    let version = user.token_version;
    let changed = call.transact(|snapshot| {
        let user = snapshot.get::<UserRow>(&name).filter(|user| user.token_version == version);
        let mut user = user.ok_or_else(wrong_login)?.as_ref().clone();
        user.set_password(password.clone(), false);
        let (change, tokens) = begin(&call, snapshot, &user)?;
        Ok((sessions::end_all(snapshot, &name).put(&user).then(change), tokens))
    });
    Ok(Shown(changed.await?))
}

/// The record of logins that went wrong.
pub(crate) async fn record_wrong(plane: &crate::ControlPlane, told: crate::brake::WrongTries) {
    let address = told.address.map_or_else(|| "local".to_owned(), |address| address.to_string());
    let record = AuditRecord {
        id: 0,
        at: plane.now_ms(),
        user: told.name.clone(),
        role: None,
        address,
        request_id: String::new(),
        action: "auth.login".to_owned(),
        target: told.name,
        result: AuditResult::Refused,
        problem: Some("wrong-login".to_owned()),
        before: None,
        after: Some(json!({ "tries": told.count })),
    };
    plane.database.add_audit(record).await.unwrap_or_else(unkept);
}
