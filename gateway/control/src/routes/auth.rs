//! Logging in, refreshing, changing the password.

use super::Body;
use crate::guard::{AnyCaller, Refusal};
use crate::metrics;
use crate::plane::ControlPlane;
use crate::tokens::TokenUse;
use crate::users::User;
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
async fn verify(plane: &ControlPlane, user: Option<&User>, password: String) -> bool {
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
    let user = plane.user(&request.username)?;
    let right =
        request.password.len() <= PASSWORD_LEN_MAX && verify(&plane, user.as_ref(), request.password).await;
    let Some(user) = user.filter(|_| right) else {
        metrics::login("wrong");
        return Err(wrong_login().into());
    };
    plane.brake.right(from.ip());
    metrics::login("right");
    Ok(Json(plane.tokens.issue(&user).map_err(Problem::internal)?))
}

pub(crate) async fn refresh(
    State(plane): State<Arc<ControlPlane>>,
    Body(request): Body<RefreshRequest>,
) -> Result<Json<Tokens>, Refusal> {
    let expired = || Problem::new(401, "unauthorized", "the refresh token is not valid: log in again");
    let claims = plane.tokens.check(&request.refresh_token, TokenUse::Refresh).ok_or_else(expired)?;
    let user =
        plane.user(&claims.sub)?.filter(|user| user.token_version == claims.version).ok_or_else(expired)?;
    Ok(Json(plane.tokens.issue(&user).map_err(Problem::internal)?))
}

pub(crate) async fn me(AnyCaller(claims): AnyCaller) -> Json<Me> {
    Json(Me { username: claims.sub, role: claims.role, must_change_password: claims.must_change })
}

pub(crate) async fn change_password(
    State(plane): State<Arc<ControlPlane>>,
    AnyCaller(claims): AnyCaller,
    Body(request): Body<PasswordChange>,
) -> Result<Json<Tokens>, Refusal> {
    if request.new_password == request.old_password {
        return Err(Problem::field("new_password", "the new password must differ from the old one").into());
    }
    let _changing = plane.changing.lock().await;
    let mut user = plane.user(&claims.sub)?.ok_or_else(wrong_login)?;
    if !verify(&plane, Some(&user), request.old_password).await {
        return Err(Problem::field("old_password", "the old password is wrong").into());
    }
    let (new, entropy) = (request.new_password, plane.entropy.clone());
    let hashed = tokio::task::spawn_blocking(move || PasswordHash::new(&new, entropy.as_ref())).await;
    user.password_hash = match hashed {
        Ok(Ok(hash)) => hash.as_str().to_owned(),
        Ok(Err(error)) => return Err(Problem::field("new_password", error.to_string()).into()),
        Err(error) => return Err(Problem::internal(error.to_string()).into()),
    };
    user.must_change_password = false;
    user.token_version += 1;
    plane.database.put(&user)?;
    Ok(Json(plane.tokens.issue(&user).map_err(Problem::internal)?))
}
