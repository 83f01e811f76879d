//! The audit log: page by page, or all of it as JSON lines.

use super::answers::Answer;
use super::call::Call;
use super::inputs::{NoBody, PAGE_MAX};
use super::route::{ADMIN, Route, family, route};
use crate::guard::Refusal;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use dfs_api::{AuditQuery, AuditRecord, Problem};
use futures_util::stream;
use schemars::{Schema, SchemaGenerator};
use std::sync::Arc;

const LINES: &str = "application/x-ndjson";
/// Records of one answer by default.
const PAGE: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    let says = "Lists what was changed, by whom, from where, newest first; with `Accept: application/x-ndjson` all of it, \
                a record a line.";
    family("settings", vec![route(Method::GET, "/audit", "listAudit", ADMIN, list).says(says)])
}

/// Records of the audit log.
enum Records {
    Page { records: Vec<AuditRecord>, limit: usize, more: bool },
    Lines(Body),
}

impl Answer for Records {
    const STATUS: StatusCode = StatusCode::OK;

    fn schemas(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        let lines = schemars::json_schema!({ "type": "string", "description": "One AuditRecord a line." });
        vec![("application/json", schemas.subschema_for::<Vec<AuditRecord>>()), (LINES, lines)]
    }

    fn respond(self, call: &Call) -> Response {
        match self {
            Records::Page { records, limit, more } => {
                let last = records.last().filter(|_| more).map(|record| record.id.to_string());
                let mut answer = Json(records).into_response();
                let link = last.map(|after| call.next_page(limit, &after));
                if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
                    answer.headers_mut().insert(LINK, link);
                }
                answer
            }
            Records::Lines(body) => ([(CONTENT_TYPE, LINES)], body).into_response(),
        }
    }
}

async fn list(call: Arc<Call>, query: AuditQuery, _: NoBody) -> Result<Records, Refusal> {
    let limit = match query.limit {
        None => PAGE,
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => limit,
        Some(_) => return Err(Problem::field("limit", format!("limit is 1 to {PAGE_MAX}")).into()),
    };
    let accepts = call.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains(LINES)) {
        return Ok(Records::Lines(lines(call.clone(), query)));
    }
    // One more than asked for tells whether others follow.
    let asked = AuditQuery { limit: Some(limit + 1), ..query };
    let mut records = call.plane.database.audit(&asked).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    Ok(Records::Page { records, limit, more })
}

/// Every record, read page by page as the caller takes them. One that cannot be read ends the answer short, which the
/// caller's HTTP library tells.
fn lines(call: Arc<Call>, query: AuditQuery) -> Body {
    let start = Some(AuditQuery { limit: Some(PAGE_MAX), ..query });
    let pages = stream::try_unfold(start, move |query| {
        let call = call.clone();
        async move {
            let Some(query) = query else { return Ok(None) };
            let records = call.plane.database.audit(&query).await.map_err(std::io::Error::other)?;
            let Some(last) = records.last() else { return Ok(None) };
            let next = (records.len() == PAGE_MAX).then_some(AuditQuery { after: Some(last.id), ..query });
            let mut text = Vec::new();
            for record in &records {
                serde_json::to_writer(&mut text, record)?;
                text.push(b'\n');
            }
            Ok::<_, std::io::Error>(Some((Bytes::from(text), next)))
        }
    });
    Body::from_stream(pages)
}
