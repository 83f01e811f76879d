//! Who calls, and whether he may; and problems as HTTP answers.

use crate::plane::ControlPlane;
use crate::routes::route::Access;
use crate::tokens::Claims;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use dfs_api::{Problem, Role};

/// A problem as an HTTP answer. The layer around all routes writes its body, with the id of the request in it.
#[derive(Debug)]
pub(crate) struct Refusal(pub Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Refusal(problem)
    }
}

impl From<crate::DatabaseError> for Refusal {
    fn from(error: crate::DatabaseError) -> Self {
        Refusal(Problem::from(error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = status.into_response();
        answer.extensions_mut().insert(self.0);
        answer
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub user: String,
    pub role: Role,
    pub claims: Claims,
}

fn unauthorized() -> Problem {
    Problem::new(401, "unauthorized", "a valid access token is needed: log in first")
}

/// Who calls, and whether he may use a route. *Errors:* 401 for nobody where somebody is needed; the inner ones, 403, are
/// those of a known caller.
pub(crate) fn admit(
    plane: &ControlPlane,
    headers: &HeaderMap,
    access: Access,
) -> Result<(Option<Session>, Result<(), Problem>), Problem> {
    if access == Access::Open {
        return Ok((None, Ok(())));
    }
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(unauthorized)?;
    let claims = plane.authenticate(token).ok_or_else(unauthorized)?;
    let session = Session { user: claims.sub.clone(), role: claims.role, claims };
    let allowed = match access {
        Access::Open | Access::LoggedIn => Ok(()),
        Access::AtLeast(_) if session.claims.must_change => {
            let detail = "change the password first (dfsctl login asks for a new one)";
            Err(Problem::new(403, "password-change-needed", detail))
        }
        Access::AtLeast(role) if session.role < role => {
            Err(Problem::new(403, "forbidden", format!("this needs the role {role:?}").to_lowercase()))
        }
        Access::AtLeast(_) => Ok(()),
    };
    Ok((Some(session), allowed))
}
