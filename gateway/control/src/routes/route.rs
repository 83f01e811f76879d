//! A row of the route table: the one place that says what a route is called, who may use it, what it takes and answers.
//! Router, role check, audit log and OpenAPI document are all made from it, so they cannot disagree.

use super::answers::Answer;
use super::call::Call;
use super::inputs::{Payload, Query};
use crate::guard::Refusal;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use dfs_api::Role;
use futures_util::future::BoxFuture;
use schemars::{Schema, SchemaGenerator};
use std::sync::Arc;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, without logging in.
    Open,
    /// Whoever is logged in, even one who must change his password first.
    LoggedIn,
    /// Whoever has at least this role.
    AtLeast(Role),
}

impl Access {
    /// As the OpenAPI document has it.
    pub fn name(self) -> &'static str {
        match self {
            Access::Open => "open",
            Access::LoggedIn | Access::AtLeast(Role::User) => "user",
            Access::AtLeast(Role::Operator) => "operator",
            Access::AtLeast(Role::Admin) => "admin",
        }
    }
}

type Run = dyn Fn(Arc<Call>, Bytes) -> BoxFuture<'static, Result<Response, Refusal>> + Send + Sync;

/// A route.
#[derive(Clone)]
pub(crate) struct Route {
    pub method: Method,
    /// Below the prefix.
    pub path: String,
    pub id: String,
    pub tag: &'static str,
    pub summary: &'static str,
    pub access: Access,
    /// Name in the audit log of what changes something.
    pub action: Option<&'static str>,
    /// Whether an `Idempotency-Key` is heeded.
    pub once: bool,
    /// Whether it may take longer than other requests.
    pub long: bool,
    /// The path that it is another spelling of.
    pub alias_of: Option<String>,
    pub query: fn(&mut SchemaGenerator) -> Option<Schema>,
    pub body: fn(&mut SchemaGenerator) -> Option<(&'static str, Schema)>,
    pub body_max: Option<usize>,
    pub answer: fn(&mut SchemaGenerator) -> Vec<(&'static str, Schema)>,
    pub status: StatusCode,
    pub page: bool,
    /// Another status with which the same is answered.
    pub also_answers: Option<StatusCode>,
    /// Further headers that it takes: name, meaning, whether it is needed.
    pub headers: &'static [(&'static str, &'static str, bool)],
    pub run: Arc<Run>,
}

/// A route as its handler is: query, body and answer are read off its signature.
pub(crate) fn route<H, F, Q, B, A>(method: Method, path: &str, id: &str, access: Access, handler: H) -> Route
where
    H: Fn(Arc<Call>, Q, B) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<A, Refusal>> + Send + 'static,
    Q: Query,
    B: Payload,
    A: Answer,
{
    let run = move |call: Arc<Call>, body: Bytes| -> BoxFuture<'static, Result<Response, Refusal>> {
        let handler = handler.clone();
        Box::pin(async move {
            let query = Q::parse(&call.uri)?;
            let body = B::parse(&call.headers, body)?;
            Ok(handler(call.clone(), query, body).await?.respond(&call))
        })
    };
    Route {
        method,
        path: path.to_owned(),
        id: id.to_owned(),
        tag: "",
        summary: "",
        access,
        action: None,
        once: false,
        long: false,
        alias_of: None,
        query: Q::schema,
        body: B::schema,
        body_max: B::BYTES_MAX,
        answer: A::schemas,
        status: A::STATUS,
        page: A::PAGE,
        also_answers: A::ALSO,
        headers: &[],
        run: Arc::new(run),
    }
}

impl Route {
    /// What it does, in one sentence.
    pub fn says(self, summary: &'static str) -> Route {
        Route { summary, ..self }
    }

    /// It changes something: the audit log has it under this name, and it goes on to its end if the caller goes away.
    pub fn audited(self, action: &'static str) -> Route {
        Route { action: Some(action), ..self }
    }

    /// It creates something: with the same `Idempotency-Key` it does so once.
    pub fn once(self) -> Route {
        Route { once: true, ..self }
    }

    /// It may take as long as it needs.
    pub fn long(self) -> Route {
        Route { long: true, ..self }
    }

    /// It takes further headers.
    pub fn takes(self, headers: &'static [(&'static str, &'static str, bool)]) -> Route {
        Route { headers, ..self }
    }

    /// The same under another method.
    pub fn also(&self, method: Method, id: &str) -> Route {
        let alias_of = Some(format!("{} {}", self.method, self.path));
        Route { method, id: id.to_owned(), alias_of, ..self.clone() }
    }

    /// The same under another path.
    pub fn under(&self, path: &str, id: &str) -> Route {
        let alias_of = Some(format!("{} {}", self.method, self.path));
        Route { path: path.to_owned(), id: id.to_owned(), alias_of, ..self.clone() }
    }

    /// Names of the parts of its path.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        self.action.is_some()
    }
}

/// Rows that belong together.
pub(crate) fn family(tag: &'static str, rows: Vec<Route>) -> Vec<Route> {
    rows.into_iter().map(|route| Route { tag, ..route }).collect()
}

pub(crate) const OPERATOR: Access = Access::AtLeast(Role::Operator);
pub(crate) const ADMIN: Access = Access::AtLeast(Role::Admin);
