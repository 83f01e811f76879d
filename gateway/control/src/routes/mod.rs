//! Routes under `/api/v1`.

mod auth;
mod health;
mod keep;
mod netgroups;
mod owners;
mod shares;
mod stores;
mod tier;

use crate::guard::Refusal;
use crate::metrics;
use crate::plane::ControlPlane;
use axum::extract::{DefaultBodyLimit, FromRequest, MatchedPath, OriginalUri, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use dfs_api::Problem;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Largest request body in bytes.
const BODY_MAX: usize = 1 << 20;

pub(crate) fn router(plane: Arc<ControlPlane>) -> Router {
    let api = Router::new()
        .route("/health", get(health::health))
        .route("/auth/login", post(auth::login))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/me", get(auth::me))
        .route("/users/me/password", post(auth::change_password))
        .route("/metadata-stores", get(stores::list_metadata).post(stores::add_metadata))
        .route("/metadata-stores/{name}", axum::routing::delete(stores::remove_metadata))
        .route("/cold-stores", get(stores::list_cold).post(stores::add_cold))
        .route("/cold-stores/{name}", axum::routing::delete(stores::remove_cold))
        .route("/shares", get(shares::list).post(shares::create))
        .route("/shares/{name}", get(shares::show).patch(shares::change).delete(shares::delete))
        .route("/shares/{name}/open", post(shares::open))
        .route("/shares/{name}/adopt", post(owners::adopt))
        .route("/shares/{name}/release", post(owners::release))
        .route("/shares/{name}/abandon", post(owners::abandon))
        .route("/shares/{name}/quotas", get(keep::quotas).put(keep::set_quota))
        .route("/shares/{name}/recycled", get(keep::recycled))
        .route("/shares/{name}/recycled/restore", post(keep::restore))
        .route("/shares/{name}/recycled/empty", post(keep::empty))
        .route("/netgroups", get(netgroups::list).post(netgroups::create))
        .route("/netgroups/{name}", get(netgroups::show).delete(netgroups::delete))
        .route("/netgroups/{name}/members", post(netgroups::add_members))
        .route("/netgroups/{name}/members/{member}", axum::routing::delete(netgroups::remove_member))
        .route("/tier/status", get(tier::status))
        .route("/tier/flush", post(tier::flush))
        .route("/jobs/{id}", get(tier::job))
        .merge(crate::copies::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .route_layer(middleware::from_fn(count));
    Router::new()
        .nest(dfs_api::PREFIX, api)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(plane)
}

/// Counts requests by the route's pattern (never by what a caller wrote in it) and status.
async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics::request(route.unwrap_or_default(), response.status().as_u16());
    response
}

async fn wrong_method(request: Request) -> Refusal {
    let detail = format!("{} has no {}", request.uri().path(), request.method());
    Problem::new(405, "no-such-method", detail).into()
}

async fn no_such_route(OriginalUri(uri): OriginalUri, request: Request) -> Refusal {
    Problem::new(404, "no-such-route", format!("there is nothing at {} {}", request.method(), uri.path()))
        .into()
}

/// A JSON body whose errors are problems that name the field.
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<ControlPlane>> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Arc<ControlPlane>) -> Result<Self, Refusal> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Body(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let field = text.split('`').nth(1).map(str::to_owned);
                Err(Refusal(Problem {
                    field,
                    ..Problem::new(rejection.status().as_u16(), "invalid-body", text)
                }))
            }
        }
    }
}

/// A name as resources carry it: 1 to 64 of letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if first && rest && name.len() <= 64 {
        return Ok(());
    }
    let rule = "a name has 1 to 64 letters, digits, '-', '_' or '.', and begins with a letter or digit";
    Err(Problem::field("name", rule))
}
