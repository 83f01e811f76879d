//! What a route answers: status, media type and schema come from the type that its handler returns.

use super::call::Call;
use super::inputs::Paged;
use crate::guard::Refusal;
use crate::mirror::Snapshot;
use crate::rows::Row;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dfs_api::Problem;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use std::fmt::Display;
use std::str::FromStr;

pub(crate) const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// What a route answers when it went well.
pub(crate) trait Answer: Send + 'static {
    const STATUS: StatusCode;
    /// Whether it is a page of a list, with the headers of one.
    const PAGE: bool = false;
    /// Another status with which the same is answered.
    const ALSO: Option<StatusCode> = None;
    /// Media types and schemas.
    fn schemas(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)>;
    fn respond(self, call: &Call) -> Response;
}

macro_rules! json_answer {
    ($name:ident, $status:expr, $doc:literal) => {
        #[doc = $doc]
        pub(crate) struct $name<T>(pub T);

        impl<T: Serialize + JsonSchema + Send + 'static> Answer for $name<T> {
            const STATUS: StatusCode = $status;

            fn schemas(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![("application/json", schemas.subschema_for::<T>())]
            }

            fn respond(self, _: &Call) -> Response {
                (Self::STATUS, Json(self.0)).into_response()
            }
        }
    };
}
json_answer!(Shown, StatusCode::OK, "A resource as it is now.");
json_answer!(Created, StatusCode::CREATED, "A resource that was made.");
json_answer!(Accepted, StatusCode::ACCEPTED, "Work that goes on.");

/// Nothing to say.
pub(crate) struct Done;

impl Answer for Done {
    const STATUS: StatusCode = StatusCode::NO_CONTENT;

    fn schemas(_: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        Vec::new()
    }

    fn respond(self, _: &Call) -> Response {
        Self::STATUS.into_response()
    }
}

/// A page of a list.
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Items of the whole list.
    pub total: usize,
    /// Key of the last item, where others follow it.
    pub next: Option<String>,
    /// Most items of a page.
    pub limit: usize,
}

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Page<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const PAGE: bool = true;

    fn schemas(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![("application/json", schemas.subschema_for::<Vec<T>>())]
    }

    fn respond(self, call: &Call) -> Response {
        let mut answer = (Self::STATUS, Json(self.items)).into_response();
        let headers = answer.headers_mut();
        headers.insert(TOTAL, HeaderValue::from(self.total));
        let link = self.next.map(|after| call.next_page(self.limit, &after));
        if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            headers.insert(LINK, link);
        }
        answer
    }
}

/// A page of rows of the database.
pub(crate) fn page_of<R: Row, T>(
    snapshot: &Snapshot,
    paged: &Paged,
    show: impl Fn(&R) -> T,
) -> Result<Page<T>, Refusal> {
    let limit = paged.limit()?;
    let (rows, total, more) = snapshot.page::<R>(paged.after()?, limit);
    let next = rows.last().filter(|_| more).map(|row| row.key());
    Ok(Page { items: rows.iter().map(|row| show(row)).collect(), total, next, limit })
}

/// A page of what is gathered for each request, in the order of its keys.
pub(crate) fn cut<T, K: Ord + Display + FromStr>(
    mut items: Vec<T>,
    paged: &Paged,
    key: impl Fn(&T) -> K,
) -> Result<Page<T>, Refusal> {
    let (limit, total) = (paged.limit()?, items.len());
    if let Some(after) = paged.after()? {
        let none = |_| Problem::field("after", format!("'{after}' is not the key of an item"));
        let after: K = after.parse().map_err(none)?;
        items.retain(|item| key(item) > after);
    }
    items.sort_by_cached_key(&key);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|item| key(item).to_string());
    Ok(Page { items, total, next, limit })
}

/// A file to be kept.
pub(crate) struct Download {
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

impl Answer for Download {
    const STATUS: StatusCode = StatusCode::OK;

    fn schemas(_: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![("application/octet-stream", schemars::json_schema!({}))]
    }

    fn respond(self, _: &Call) -> Response {
        let named = format!("attachment; filename=\"{}\"", self.name);
        let kind = (CONTENT_TYPE, "application/octet-stream".to_owned());
        ([kind, (header::CONTENT_DISPOSITION, named)], self.bytes).into_response()
    }
}

/// Text of some media type, such as a page or a document.
pub(crate) struct Text {
    pub kind: &'static str,
    pub body: Bytes,
    /// What the page may load, if it is one.
    pub policy: Option<HeaderValue>,
}

impl Text {
    pub fn respond(self) -> Response {
        let mut answer = Body::from(self.body).into_response();
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if let Some(policy) = self.policy {
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }
}
