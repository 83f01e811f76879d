//! What the gateway says of itself: its OpenAPI document, the page that shows it, and its name at `/`.

use super::answers::{Answer, Text};
use super::call::Call;
use super::inputs::{NoBody, NoQuery};
use super::route::{Access, Route, family, route};
use crate::guard::Refusal;
use crate::openapi::Page;
use crate::plane::ControlPlane;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use dfs_api::About;
use schemars::{Schema, SchemaGenerator, json_schema};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "health",
        vec![
            route(Method::GET, "/openapi.json", "getOpenapi", Access::Open, document)
                .says("The OpenAPI document of these routes."),
            route(Method::GET, "/docs", "getDocs", Access::Open, docs)
                .says("A page that shows these routes; it needs no network."),
        ],
    )
}

/// The document and the page, made once.
pub(crate) struct Documents {
    json: Bytes,
    html: Bytes,
    policy: HeaderValue,
}

impl Documents {
    /// *Errors:* the page's policy is no header; cannot happen with what it is made of.
    pub fn new(table: &[Route], version: &str) -> Documents {
        let document = crate::openapi::document(table, version);
        let page = Page::of(&document);
        let json = serde_json::to_vec_pretty(&document).unwrap_or_default();
        let policy = HeaderValue::from_str(&page.policy);
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Documents { json: json.into(), html: page.html.into(), policy }
    }

    fn json(&self) -> Text {
        Text { kind: "application/json", body: self.json.clone(), policy: None }
    }

    fn html(&self) -> Text {
        Text { kind: "text/html; charset=utf-8", body: self.html.clone(), policy: Some(self.policy.clone()) }
    }
}

struct Document(Text);

impl Answer for Document {
    const STATUS: StatusCode = StatusCode::OK;

    fn schemas(_: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![("application/json", json_schema!({ "type": "object" }))]
    }

    fn respond(self, _: &Call) -> Response {
        self.0.respond()
    }
}

struct Html(Text);

impl Answer for Html {
    const STATUS: StatusCode = StatusCode::OK;

    fn schemas(_: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![("text/html", json_schema!({ "type": "string" }))]
    }

    fn respond(self, _: &Call) -> Response {
        self.0.respond()
    }
}

async fn document(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Document, Refusal> {
    Ok(Document(call.plane.documents.json()))
}

async fn docs(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Html, Refusal> {
    Ok(Html(call.plane.documents.html()))
}

/// `/openapi.json` without the prefix.
pub(super) async fn document_at_root(State(plane): State<Arc<ControlPlane>>) -> Response {
    plane.documents.json().respond()
}

/// `/docs` without the prefix.
pub(super) async fn docs_at_root(State(plane): State<Arc<ControlPlane>>) -> Response {
    plane.documents.html().respond()
}

/// `/`
pub(super) async fn about(State(plane): State<Arc<ControlPlane>>) -> Json<About> {
    let (name, version) = ("dfs".to_owned(), plane.version.to_owned());
    Json(About { name, version, docs: "/docs".to_owned() })
}
