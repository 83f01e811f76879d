//! What a route may answer, refusals included.

use super::schemas::Schemas;
use crate::around::idempotency::REPLAYED;
use crate::around::request_id;
use crate::routes::answers::TOTAL;
use crate::routes::route::{Access, Route};
use schemars::Schema;
use serde_json::{Map, Value, json};

/// Every refusal, and what it means.
const REFUSALS: [(u16, &str); 17] = [
    (400, "The request is wrong; the field says where."),
    (401, "Not logged in, or no longer; or the name or the password is wrong."),
    (403, "The caller may not do this."),
    (404, "There is no such thing."),
    (408, "The body did not arrive in time."),
    (409, "The state of things forbids it; `clients` names those that it would cut off."),
    (413, "The body is too large."),
    (415, "The body is of another media type."),
    (421, "It was asked under a name that is not this machine's."),
    (422, "The request was understood, and cannot be done."),
    (429, "Too many requests."),
    (431, "The headers are too large."),
    (500, "The gateway failed."),
    (501, "This gateway cannot do that."),
    (503, "The gateway, or something that it needs, is busy or away."),
    (504, "It takes too long."),
    (507, "The gateway's disk is full."),
];

/// The refusals that routes may answer, under `components/responses`.
pub(crate) fn refusals(problem: &Schema) -> Value {
    let named = REFUSALS.iter().map(|(status, about)| (name(*status), refusal(*status, about, problem)));
    Value::Object(named.collect())
}

fn name(status: u16) -> String {
    format!("Refused{status}")
}

fn refusal(status: u16, about: &str, problem: &Schema) -> Value {
    let mut headers = json!({ request_id::HEADER.as_str(): id_header() });
    if matches!(status, 429 | 503) {
        headers["retry-after"] = json!({
            "description": "Seconds after which to ask again.",
            "required": true,
            "schema": { "type": "integer", "minimum": 0 },
        });
    }
    let content = json!({ "application/problem+json": { "schema": problem } });
    json!({ "description": about, "headers": headers, "content": content })
}

/// What a route may answer.
pub(crate) fn all(route: &Route, schemas: &mut Schemas, problem: &Schema) -> Value {
    let mut responses = Map::new();
    let kinds = (route.answer)(&mut schemas.answers).into_iter();
    let content: Map<String, Value> =
        kinds.map(|(kind, schema)| (kind.to_owned(), json!({ "schema": schema }))).collect();
    let about = route.status.canonical_reason().unwrap_or("Done");
    let mut good = json!({ "description": about, "headers": headers(route) });
    if !content.is_empty() {
        good["content"] = Value::Object(content.clone());
    }
    for (status, about) in REFUSALS.iter().filter(|(status, _)| may_refuse(route, *status)) {
        let mut answer = json!({ "$ref": format!("#/components/responses/{}", name(*status)) });
        if route.also_answers.is_some_and(|also| also.as_u16() == *status) {
            answer = refusal(*status, about, problem);
            content.iter().for_each(|(kind, schema)| answer["content"][kind] = schema.clone());
            // The answer of the route itself does not say when to ask again.
            answer["headers"]["retry-after"]["required"] = json!(false);
        }
        responses.insert(status.to_string(), answer);
    }
    responses.insert(route.status.as_u16().to_string(), good);
    Value::Object(responses)
}

fn id_header() -> Value {
    json!({
        "description": "Id of the request: the caller's, or a new one. Logs, problems and audit records have it too.",
        "required": true,
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    })
}

fn headers(route: &Route) -> Value {
    let mut headers = json!({ request_id::HEADER.as_str(): id_header() });
    if route.page {
        headers[TOTAL.as_str()] = json!({
            "description": "Items of the whole list.",
            "required": true,
            "schema": { "type": "integer", "minimum": 0 },
        });
        headers["link"] = json!({
            "description": "The next page, as `<path>; rel=\"next\"`, where there is one.",
            "schema": { "type": "string" },
        });
    }
    if route.once {
        headers[REPLAYED.as_str()] = json!({
            "description": "This is the answer that the same key got before.",
            "schema": { "type": "string", "enum": ["true"] },
        });
    }
    headers
}

/// Whether a route may refuse with a status.
fn may_refuse(route: &Route, status: u16) -> bool {
    let (open, body, changes) = (route.access == Access::Open, route.body_max.is_some(), route.changes());
    match status {
        401 => !open || route.tag == "auth",
        403 => !open,
        404 => route.parts().next().is_some() || changes,
        408 | 413 | 415 => body,
        // A share may have been made without what is asked of it.
        409 => body || changes || route.parts().next().is_some(),
        422 | 507 => body || changes,
        501 => changes,
        _ => true,
    }
}
