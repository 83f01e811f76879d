//! The OpenAPI 3.1 document, made from the route table and the types of the API; and the page that shows it.
//!
//! It is checked in as `gateway/api/openapi.json`; a test compares, so that a change of the API is seen in review.

mod page;
mod parts;
mod responses;
mod schemas;

pub(crate) use page::Page;

use crate::routes::route::{Access, Route};
use dfs_api::{PREFIX, Problem};
use schemars::Schema;
use schemas::{Schemas, point_to_inputs};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What each group of routes is about, in the order of the page.
const TAGS: [(&str, &str); 12] = [
    ("health", "How the gateway is, and what it is."),
    ("auth", "Logging in and out, tokens, the own password."),
    ("users", "People, and the uids by which shares know them."),
    ("groups", "Groups of people, and their members."),
    ("permissions", "Who may do what in which share."),
    ("shares", "Exported trees: what they promise, who may mount them, quotas, snapshots, recycle bins."),
    ("stores", "Where names and packs are kept."),
    ("adapters", "Protocols: listeners, settings, connected clients and mounts."),
    ("netgroups", "Machines under one name, for the client lists of shares."),
    ("identity", "For which user a uid or a principal acts."),
    ("settings", "What can be set while the gateway runs; the audit log; backups."),
    ("tier", "What is where and what is at risk; work that goes on."),
];

const ABOUT: &str = "Everything that `dfsctl` does goes through these routes. Errors are `application/problem+json` and \
name the field that is wrong. Lists are read page by page: follow the `link` header. Changes are in the audit log.";

/// The document. *Units and shape:* the same for the same table, its keys sorted.
pub(crate) fn document(table: &[Route], version: &str) -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.answers.subschema_for::<Problem>();
    let mut requests: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut paths: Map<String, Value> = Map::new();
    for route in table {
        let mut operation = operation(route, &mut schemas);
        operation["responses"] = responses::all(route, &mut schemas, &problem);
        let method = route.method.as_str().to_lowercase();
        if let Some((kind, body)) = (route.body)(&mut schemas.requests) {
            let body = json!({ "required": true, "content": { kind: { "schema": body } } });
            requests.insert((route.path.clone(), method.clone()), body);
        }
        paths.entry(route.path.clone()).or_insert_with(|| json!({}))[&method] = operation;
    }
    let (components, renamed) = schemas.finish();
    place_requests(&mut paths, requests, &renamed);
    let tag = |(name, about): &(&str, &str)| json!({ "name": name, "description": about });
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": "dfs control plane", "version": version, "description": ABOUT },
        "servers": [{ "url": PREFIX }],
        "tags": TAGS.iter().map(tag).collect::<Vec<_>>(),
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": responses::refusals(&problem),
            "securitySchemes": { "bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "The access token that `POST /auth/login` answers.",
            } },
        },
    });
    document.sort_all_objects();
    document
}

fn place_requests(
    paths: &mut Map<String, Value>,
    requests: BTreeMap<(String, String), Value>,
    renamed: &BTreeSet<String>,
) {
    for ((path, method), mut body) in requests {
        point_to_inputs(&mut body, renamed);
        if let Some(operations) = paths.get_mut(&path) {
            operations[&method]["requestBody"] = body;
        }
    }
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "x-role": route.access.name(),
        "parameters": parameters(route, schemas),
    });
    if route.access == Access::Open {
        operation["security"] = json!([]);
    }
    if let Some(action) = route.action {
        operation["x-audit-action"] = json!(action);
    }
    if let Some(original) = &route.alias_of {
        operation["x-alias-of"] = json!(original);
    }
    operation
}

fn parameters(route: &Route, schemas: &mut Schemas) -> Vec<Value> {
    let part =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": parts::part(name) });
    let mut all: Vec<Value> = route.parts().map(part).collect();
    if let Some(query) = (route.query)(&mut schemas.requests) {
        all.extend(query_parameters(query));
    }
    if route.once {
        all.push(parts::idempotency_key());
    }
    for (name, meaning, needed) in route.headers {
        let schema = json!({ "type": "string", "minLength": u8::from(*needed) });
        let header = json!({ "name": name, "in": "header", "required": needed });
        all.push(header);
        if let Some(header) = all.last_mut() {
            header["description"] = json!(meaning);
            header["schema"] = schema;
        }
    }
    all
}

/// The fields of a query's type as parameters. Each may be left out, so it is never `null`.
fn query_parameters(mut query: Schema) -> Vec<Value> {
    use schemars::transform::Transform;
    schemas::Bounded.transform(&mut query);
    let Some(Value::Object(fields)) = query.remove("properties") else { return Vec::new() };
    let parameter = |(name, mut schema): (String, Value)| {
        let about = schema.as_object_mut().and_then(|fields| fields.remove("description"));
        if let Some(Value::Array(kinds)) = schema.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [kind] = kinds.as_slice() {
                schema["type"] = kind.clone();
            }
        }
        if let Some(fields) = schema.as_object_mut() {
            fields.retain(|key, value| key != "default" || !value.is_null());
        }
        json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
    };
    fields.into_iter().map(parameter).collect()
}

#[cfg(test)]
mod tests;
