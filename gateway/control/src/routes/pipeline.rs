//! How a request of a known route goes:
//!
//! who asks and may he → body (bounded, in time) → the same create before? → handler → audit log
//!
//! The role is looked at before a byte of the body is read. What changes something runs in a task of its own to its end,
//! its audit record included, even if the caller goes away or is told that it takes too long.

use super::call::{Call, Notes};
use super::route::Route;
use crate::around::request_id::RequestId;
use crate::around::{Peer, idempotency};
use crate::guard::{self, Refusal};
use crate::metrics;
use crate::plane::ControlPlane;
use axum::RequestPartsExt;
use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, RawPathParams, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use dfs_api::{AuditResult, PREFIX, Problem};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take, and its body to arrive.
const WITHIN: Duration = Duration::from_secs(30);
/// How long the body of a large file may take to arrive.
const FILE_WITHIN: Duration = Duration::from_secs(600);

/// Runs a request through its route.
pub(crate) async fn run(route: Arc<Route>, plane: Arc<ControlPlane>, request: Request) -> Response {
    let answer = answered(route.clone(), plane, request).await.unwrap_or_else(IntoResponse::into_response);
    metrics::request(format!("{PREFIX}{}", route.path), answer.status().as_u16());
    answer
}

async fn answered(
    route: Arc<Route>,
    plane: Arc<ControlPlane>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (session, allowed) = guard::admit(&plane, &parts.headers, route.access)?;
    let call = Arc::new(called(route.clone(), plane, parts, session).await?);
    if let Err(problem) = allowed {
        refused(&call, &problem).await;
        return Err(problem.into());
    }
    let body = match route.body_max {
        Some(bytes_max) => read(body, bytes_max).await?,
        None => Bytes::new(),
    };
    let within = if route.long { Duration::MAX } else { WITHIN };
    let work = finished(call, body);
    let outcome = if route.changes() {
        let task = tokio::spawn(tracing::Instrument::in_current_span(work));
        let ended = tokio::time::timeout(within, task).await;
        ended.map(|done| done.unwrap_or_else(|error| Err(Problem::internal(error.to_string()).into())))
    } else {
        tokio::time::timeout(within, work).await
    };
    outcome.unwrap_or_else(|_| {
        let why = if route.changes() {
            "it takes longer than 30 s and goes on: look later what came of it"
        } else {
            "it takes longer than 30 s"
        };
        Err(Problem::new(504, "timeout", why).into())
    })
}

async fn called(
    route: Arc<Route>,
    plane: Arc<ControlPlane>,
    mut parts: Parts,
    session: Option<guard::Session>,
) -> Result<Call, Refusal> {
    let not_found = |_| Problem::new(404, "not-found", "a part of the path is no UTF-8");
    let params = parts.extract::<RawPathParams>().await.map_err(not_found)?;
    let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let uri = parts.extensions.get::<OriginalUri>().map_or(parts.uri, |original| original.0.clone());
    let id = parts.extensions.remove::<RequestId>().unwrap_or_else(|| RequestId("none".into()));
    let peer = parts.extensions.remove::<Peer>().unwrap_or(Peer::Local);
    let (headers, notes) = (parts.headers, parking_lot::Mutex::new(Notes::default()));
    Ok(Call { plane, route, session, peer, id, uri, headers, path, notes })
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let within = if bytes_max > 1 << 20 { FILE_WITHIN } else { WITHIN };
    let collected = tokio::time::timeout(within, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let why = format!("the body is larger than {bytes_max} bytes");
            Err(Problem::new(413, "too-large", why).into())
        }
        Ok(Err(error)) => Err(Problem::new(400, "invalid-body", error.to_string()).into()),
        Err(_) => Err(Problem::new(408, "body-too-slow", "the body did not arrive in time").into()),
    }
}

/// The handler, and what the audit log gets of it.
async fn finished(call: Arc<Call>, body: Bytes) -> Result<Response, Refusal> {
    let work = (call.route.run)(call.clone(), body.clone());
    let outcome = match idempotency::Key::of(&call, &body)? {
        Some(key) => idempotency::once(&call, key, work).await,
        None => work.await,
    };
    match &outcome {
        Ok(_) if !call.notes.lock().recorded => {
            if let Some(record) = call.record(AuditResult::Done, None) {
                call.plane.database.add_audit(record).await.unwrap_or_else(unkept);
            }
        }
        Ok(_) => {}
        Err(Refusal(problem)) => refused(&call, problem).await,
    }
    outcome
}

/// Puts a refusal into the audit log, if it is one of a change and a known caller; not more than a few a second of an address.
async fn refused(call: &Call, problem: &Problem) {
    if call.session.is_none() || call.peer.ip().is_some_and(|ip| call.plane.refusals.admit(ip).is_err()) {
        return;
    }
    let result = if problem.status >= 500 { AuditResult::Failed } else { AuditResult::Refused };
    if let Some(record) = call.record(result, Some(problem)) {
        call.plane.database.add_audit(record).await.unwrap_or_else(unkept);
    }
}

/// A record that could not be kept is told in the log at least.
pub(crate) fn unkept(error: crate::DatabaseError) {
    tracing::error!(%error, "a record of the audit log could not be kept");
}
