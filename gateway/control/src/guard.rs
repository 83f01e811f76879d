//! Who calls: bearer tokens and roles; and problems as HTTP answers.

use crate::plane::ControlPlane;
use crate::tokens::Claims;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use dfs_api::{Problem, Role};
use std::sync::Arc;

/// A problem as an HTTP answer.
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
        let status = axum::http::StatusCode::from_u16(self.0.status)
            .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(axum::http::header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

/// The caller, with at least the asked role.
pub(crate) struct Caller(pub Claims);

impl Caller {
    /// Refuses callers below a role (403).
    pub fn at_least(&self, role: Role) -> Result<(), Refusal> {
        if self.0.role >= role {
            return Ok(());
        }
        Err(Problem::new(403, "forbidden", format!("this needs the role {role:?}").to_lowercase()).into())
    }
}

/// The caller, even one who must change his password first.
pub(crate) struct AnyCaller(pub Claims);

fn unauthorized() -> Refusal {
    Problem::new(401, "unauthorized", "a valid access token is needed: log in first").into()
}

impl FromRequestParts<Arc<ControlPlane>> for AnyCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &Arc<ControlPlane>) -> Result<Self, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(unauthorized)?;
        plane.authenticate(token).map(AnyCaller).ok_or_else(unauthorized)
    }
}

impl FromRequestParts<Arc<ControlPlane>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &Arc<ControlPlane>) -> Result<Self, Refusal> {
        let AnyCaller(claims) = AnyCaller::from_request_parts(parts, plane).await?;
        if claims.must_change {
            let detail = "change the password first (dfsctl login asks for a new one)";
            return Err(Problem::new(403, "password-change-needed", detail).into());
        }
        Ok(Caller(claims))
    }
}
