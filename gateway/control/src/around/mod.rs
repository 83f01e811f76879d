//! What every request passes before its route and every answer after it, outermost first:
//!
//! request id → host → pace of the address → requests at once → route → problem with the id → headers
//!
//! A request that is refused here has cost a look into two small maps, and nothing of its body was read.

#[cfg(test)]
pub(crate) mod hand;
mod headers;
mod host;
pub(crate) mod idempotency;
pub(crate) mod pace;
mod peer;
pub(crate) mod recent;
pub(crate) mod request_id;

pub use peer::Peer;
pub(crate) use peer::Peers;

use crate::guard::Refusal;
use crate::plane::ControlPlane;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dfs_api::Problem;
use futures_util::FutureExt;
use request_id::RequestId;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tracing::Instrument;

/// After how many seconds a caller who was refused because of others may ask again.
const AGAIN_AFTER: u64 = 1;

/// Marks an answer whose status is no refusal, whatever it is.
#[derive(Clone, Copy)]
pub(crate) struct AsItIs;

/// The layer around everything.
pub(crate) async fn around(
    State(plane): State<Arc<ControlPlane>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers(), plane.entropy.as_ref());
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(peer);
    let span = tracing::info_span!("request", id = %id.0, method = %request.method(), from = %peer);
    let answer = admitted(&plane, peer, request, next).instrument(span).await;
    headers::finish(told(answer, &id), &id)
}

async fn admitted(plane: &ControlPlane, peer: Peer, request: Request, next: Next) -> Response {
    if let Err(problem) = host::check(peer, request.headers()) {
        return Refusal(problem).into_response();
    }
    if let Some(ip) = peer.ip()
        && let Err(problem) = plane.pace.admit(ip)
    {
        return Refusal(problem).into_response();
    }
    let Ok(_permit) = plane.requests.try_acquire() else {
        let why = "the gateway works on as many requests as it may; ask again";
        return Refusal(Problem::new(503, "busy", why)).into_response();
    };
    let caught = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    caught.unwrap_or_else(|_| {
        tracing::error!("a route panicked");
        Refusal(Problem::internal("the gateway failed at this request; its log says where")).into_response()
    })
}

/// An error answer as a problem that names the request. Whatever did not come as one is made one.
fn told(mut answer: Response, id: &RequestId) -> Response {
    let status = answer.status();
    if status.is_success() || answer.extensions().get::<AsItIs>().is_some() {
        return answer;
    }
    let told = answer.extensions_mut().remove::<Problem>();
    let problem = told.unwrap_or_else(|| {
        let words = status.canonical_reason().unwrap_or("refused").to_lowercase();
        Problem::new(status.as_u16(), &words.replace(' ', "-"), words)
    });
    let again = matches!(problem.status, 429 | 503).then_some(AGAIN_AFTER);
    let retry_after = problem.retry_after.or(again);
    let problem = Problem { request_id: Some(id.0.to_string()), retry_after, ..problem };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let (mut parts, _) = answer.into_parts();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = problem.retry_after {
        parts.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Response::from_parts(parts, body.into())
}
