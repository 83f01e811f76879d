//! Creates that may be sent again: the first answer to an `Idempotency-Key` is kept for a day and given again.
//!
//! Only what went well is kept: a refusal changed nothing, and asking again is the way to learn whether it still holds. Two
//! requests with one key at once wait for each other. The answer is written down after what it created: a crash in between
//! leaves a repetition to find that the thing exists (409). Caller, route, key and body are kept as keyed hashes only, so
//! that nothing of a password that was in a body can be guessed from the database.

use super::request_id::RequestId;
use crate::change::Change;
use crate::guard::Refusal;
use crate::routes::call::Call;
use crate::rows::IdempotencyRow;
use axum::body::to_bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dfs_api::Problem;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Header that a caller sends.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Header that says that the answer is an old one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest key.
pub(crate) const KEY_MAX: usize = 128;
/// Seconds that an answer is kept.
pub(crate) const KEPT_SECONDS: i64 = 24 * 3600;
/// Answers kept at most; the oldest goes first.
const KEPT_MAX: usize = 10_000;
/// Largest answer that is kept.
const ANSWER_MAX: usize = 64 * 1024;

/// A key as it is remembered.
pub(crate) struct Key {
    id: String,
    body: String,
}

impl Key {
    /// The key of a call; none where none was sent, or where the route does not heed it. *Errors:* a key that is none.
    pub fn of(call: &Call, body: &[u8]) -> Result<Option<Key>, Refusal> {
        let Some(sent) = call.headers.get(HEADER).filter(|_| call.route.once) else { return Ok(None) };
        let plain = |byte: &u8| (0x21..=0x7e).contains(byte);
        if !(1..=KEY_MAX).contains(&sent.len()) || !sent.as_bytes().iter().all(plain) {
            let why = format!("an Idempotency-Key has 1 to {KEY_MAX} visible ASCII characters");
            return Err(Problem::field("idempotency-key", why).into());
        }
        let route = format!("{}\n{}\n", call.caller(), call.uri.path());
        let id = call.plane.database.mac("idempotency key", &[route.as_bytes(), sent.as_bytes()].concat());
        let body = call.plane.database.mac("idempotency body", body);
        Ok(Some(Key { id, body }))
    }
}

/// Whose turn it is with a key.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the others with this key.
    async fn take(&self, id: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = self.0.lock().entry(id.to_owned()).or_default().clone();
        turn.lock_owned().await
    }

    /// Forgets a key that nobody waits for.
    fn forget(&self, id: &str) {
        let mut turns = self.0.lock();
        if turns.get(id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(id);
        }
    }
}

/// Does the work, or gives the answer of the first time again. *Errors:* 422 for a key that came with another body.
pub(crate) async fn once(
    call: &Call,
    key: Key,
    work: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    let turns = &call.plane.turns;
    let turn = turns.take(&key.id).await;
    let outcome = first_or_again(call, &key, work).await;
    drop(turn);
    turns.forget(&key.id);
    outcome
}

async fn first_or_again(
    call: &Call,
    key: &Key,
    work: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    let now = call.plane.clock.wall().secs;
    let kept = call.plane.database.get::<IdempotencyRow>(&key.id);
    if let Some(kept) = kept.filter(|kept| now - kept.at < KEPT_SECONDS) {
        if kept.body_hash != key.body {
            let why = "this Idempotency-Key came with another body before: take a new one";
            return Err(Problem::new(422, "idempotency-key-reused", why).into());
        }
        // It is in the audit log since it was done.
        call.notes.lock().recorded = true;
        return Ok(again(kept));
    }
    let (parts, body) = work.await?.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| Problem::internal(error.to_string()))?;
    if let Ok(text) = std::str::from_utf8(&body)
        && body.len() <= ANSWER_MAX
    {
        let row = IdempotencyRow {
            id: key.id.clone(),
            body_hash: key.body.clone(),
            status: parts.status.as_u16(),
            body: text.to_owned(),
            at: now,
        };
        if let Err(error) = call.plane.database.commit(room(call).put(&row), None).await {
            let id = call_id(call);
            tracing::warn!(%error, id, "the answer could not be kept: a repetition will find that the thing exists");
        }
    }
    Ok(Response::from_parts(parts, body.into()))
}

fn call_id(call: &Call) -> &str {
    let RequestId(id) = &call.id;
    id
}

fn again(kept: IdempotencyRow) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let mut answer = (status, kept.body).into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    answer
}

/// Makes room for one more answer.
fn room(call: &Call) -> Change {
    let snapshot = call.plane.database.snapshot();
    if snapshot.count::<IdempotencyRow>() < KEPT_MAX {
        return Change::default();
    }
    let oldest = snapshot.rows::<IdempotencyRow>().min_by_key(|row| row.at).map(|row| row.id.clone());
    oldest.map_or_else(Change::default, |id| Change::default().remove::<IdempotencyRow>(&id))
}
