//! Routes under `/api/v1`: the table, its router, and one file for each resource.

mod adapters;
pub(crate) mod answers;
mod audit;
pub(crate) mod auth;
mod backup;
pub(crate) mod call;
mod clients;
mod cold;
pub(crate) mod docs;
mod groups;
mod health;
mod identity;
pub(crate) mod inputs;
mod keep;
mod netgroups;
mod owners;
mod passwords;
mod permissions;
pub(crate) mod pipeline;
pub(crate) mod route;
pub(crate) mod settings;
mod shares;
mod snapshots;
mod stores;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod tier;
mod users;

use crate::around;
use crate::guard::Refusal;
use crate::metrics;
use crate::plane::ControlPlane;
use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, get};
use dfs_api::Problem;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The router of a table, with the layers around it.
pub(crate) fn router(plane: Arc<ControlPlane>) -> Router {
    let mut paths: BTreeMap<String, MethodRouter<Arc<ControlPlane>>> = BTreeMap::new();
    for route in table::table() {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let methods = paths.remove(&route.path).unwrap_or_default();
        let (path, route) = (route.path.clone(), Arc::new(route));
        let run = move |State(plane): State<Arc<ControlPlane>>, request: Request| {
            pipeline::run(route.clone(), plane, request)
        };
        paths.insert(path, methods.on(filter, run));
    }
    let api = paths.into_iter().fold(Router::new(), |api, (path, methods)| api.route(&path, methods));
    Router::new()
        .route("/", get(docs::about))
        .route("/docs", get(docs::docs_at_root))
        .route("/openapi.json", get(docs::document_at_root))
        .nest(dfs_api::PREFIX, api)
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(plane.clone(), around::around))
        .with_state(plane)
}

async fn wrong_method(OriginalUri(uri): OriginalUri, request: Request) -> Refusal {
    metrics::request(String::new(), 405);
    let detail = format!("{} has no {}", uri.path(), request.method());
    Problem::new(405, "no-such-method", detail).into()
}

async fn no_such_route(OriginalUri(uri): OriginalUri, request: Request) -> Refusal {
    metrics::request(String::new(), 404);
    Problem::new(404, "no-such-route", format!("there is nothing at {} {}", request.method(), uri.path()))
        .into()
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
