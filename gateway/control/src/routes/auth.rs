//! Logging in, refreshing, changing the password.

use super::Body;
use crate::change::Change;
use crate::database::Planned;
use crate::guard::{AnyCaller, Refusal};
use crate::metrics;
use crate::plane::ControlPlane;
use crate::rows::UserRow;
use crate::sessions::{self, Refreshed, SESSION_HOURS};
use crate::users::HashedPassword;
use axum::Json;
use axum::extract::{ConnectInfo, State};
use dfs_api::{LoginRequest, Me, PasswordChange, Problem, RefreshRequest, Tokens};
use dfs_auth::password::{PASSWORD_LEN_MAX, PasswordHash};
use std::net::SocketAddr;
use std::sync::Arc;

fn wrong_login() -> Problem {
    Problem::new(401, "wrong-login", "the user name or the password is wrong")
}

/// Verifies a password off the async threads; a user that does not exist takes as long as a wrong password.
async fn verify(plane: &ControlPlane, user: Option<&UserRow>, password: String) -> bool {
    let Ok(_permit) = plane.hashing.acquire().await else { return false };
    let stored = user.and_then(|user| PasswordHash::from_stored(&user.password_hash));
    let known = stored.is_some();
    let hash = stored.unwrap_or_else(|| plane.nobody.clone());
    let work = tokio::task::spawn_blocking(move || hash.verify(&password));
    work.await.unwrap_or(false) && known
}

pub(crate) async fn login(
    State(plane): State<Arc<ControlPlane>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Body(request): Body<LoginRequest>,
) -> Result<Json<Tokens>, Refusal> {
    if let Err(problem) = plane.brake.start(from.ip()) {
        metrics::login("refused");
        return Err(problem.into());
    }
    let user = plane.user(&request.username);
    let right =
        request.password.len() <= PASSWORD_LEN_MAX && verify(&plane, user.as_ref(), request.password).await;
    let Some(user) = user.filter(|_| right) else {
        metrics::login("wrong");
        return Err(wrong_login().into());
    };
    plane.brake.right(from.ip());
    metrics::login("right");
    let name = user.name;
    let logged_in = plane.database.transact(|snapshot| -> Result<Planned<Tokens>, Problem> {
        let user = snapshot.get::<UserRow>(&name).filter(|user| user.enabled).ok_or_else(wrong_login)?;
        let now = plane.tokens.now();
        let user = UserRow { last_login_at: Some(now), ..user.as_ref().clone() };
        let address = from.ip().to_string();
        let begun = sessions::begin(&plane.tokens, snapshot, &user, &address, SESSION_HOURS);
        let (change, answer) = begun.map_err(Problem::internal)?;
        Ok(Planned { change: change.put(&user), audit: None, answer })
    });
    Ok(Json(logged_in.await?))
}

pub(crate) async fn refresh(
    State(plane): State<Arc<ControlPlane>>,
    Body(request): Body<RefreshRequest>,
) -> Result<Json<Tokens>, Refusal> {
    let expired = || Problem::new(401, "unauthorized", "the refresh token is not valid: log in again");
    let refreshed = plane.database.transact(|snapshot| -> Result<Planned<Option<Tokens>>, Problem> {
        let done = sessions::refresh(&plane.tokens, snapshot, &request.refresh_token, SESSION_HOURS);
        let (change, answer) = match done.map_err(Problem::internal)? {
            Refreshed::Next(change, tokens) => (change, Some(tokens)),
            Refreshed::Again(tokens) => (Change::default(), Some(tokens)),
            Refreshed::Reused(change, session) => {
                tracing::warn!(user = %session.user, "a refresh token was used twice: its session ends");
                (change, None)
            }
            Refreshed::Invalid => (Change::default(), None),
        };
        Ok(Planned { change, audit: None, answer })
    });
    Ok(Json(refreshed.await?.ok_or_else(expired)?))
}

pub(crate) async fn me(AnyCaller(claims): AnyCaller) -> Json<Me> {
    Json(Me { username: claims.sub, role: claims.role, must_change_password: claims.must_change })
}

pub(crate) async fn change_password(
    State(plane): State<Arc<ControlPlane>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    AnyCaller(claims): AnyCaller,
    Body(request): Body<PasswordChange>,
) -> Result<Json<Tokens>, Refusal> {
    if request.new_password == request.old_password {
        return Err(Problem::field("new_password", "the new password must differ from the old one").into());
    }
    let user = plane.user(&claims.sub).ok_or_else(wrong_login)?;
    if !verify(&plane, Some(&user), request.old_password).await {
        return Err(Problem::field("old_password", "the old password is wrong").into());
    }
    let (new, entropy) = (request.new_password, plane.entropy.clone());
    let hashed = tokio::task::spawn_blocking(move || HashedPassword::new(&new, entropy.as_ref())).await;
    let password = match hashed {
        Ok(Ok(password)) => password,
        Ok(Err(error)) => return Err(Problem::field("new_password", error.to_string()).into()),
        Err(error) => return Err(Problem::internal(error.to_string()).into()),
    };
    let version = user.token_version;
    let changed = plane.database.transact(|snapshot| -> Result<Planned<Tokens>, Problem> {
        let user = snapshot.get::<UserRow>(&claims.sub).filter(|user| user.token_version == version);
        let mut user = user.ok_or_else(wrong_login)?.as_ref().clone();
        user.set_password(password.clone(), false);
        let address = from.ip().to_string();
        let begun = sessions::begin(&plane.tokens, snapshot, &user, &address, SESSION_HOURS);
        let (change, answer) = begun.map_err(Problem::internal)?;
        Ok(Planned {
            change: sessions::end_all(snapshot, &user.name).put(&user).then(change),
            audit: None,
            answer,
        })
    });
    Ok(Json(changed.await?))
}
