//! The checked-in document, and what must hold of it and its page.

use super::*;
use crate::routes::table::table;
use std::path::Path;

/// Version in the checked-in document: it changes with the API, not with each release.
const VERSION: &str = "v1";

fn made() -> Value {
    document(&table(), VERSION)
}

#[test]
fn document_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/openapi.json");
    let made = serde_json::to_string_pretty(&made()).unwrap_or_default() + "\n";
    if std::env::var_os("DFS_RENEW").is_some() {
        std::fs::write(&path, &made).expect("the document can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(
        kept == made,
        "the API changed (line {differs:?}): look at it, then renew gateway/api/openapi.json with DFS_RENEW=1"
    );
}

#[test]
fn every_reference_leads_to_a_schema() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.insert(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = made();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{found:?}");
    for target in found {
        let path = target.strip_prefix('#').unwrap_or_default();
        assert!(document.pointer(path).is_some(), "{target} leads nowhere");
    }
}

#[test]
fn requests_refuse_what_they_do_not_know_and_answers_may_grow() {
    let document = made();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["CreateUser"]["additionalProperties"], false);
    assert_eq!(schemas["ShareConfig"]["additionalProperties"], false);
    assert_eq!(schemas["NfsSettingsInput"]["additionalProperties"], false);
    assert!(schemas["NfsSettings"].get("additionalProperties").is_none());
    assert!(schemas["User"].get("additionalProperties").is_none());
    assert!(schemas["ShareStatus"].get("unevaluatedProperties").is_none());
}

#[test]
fn every_number_of_a_request_has_bounds() {
    fn unbounded(name: &str, schema: &Value, found: &mut Vec<String>) {
        let is_number = schema["type"] == "integer" || schema["type"][0] == "integer";
        if is_number && (schema.get("minimum").is_none() || schema.get("maximum").is_none()) {
            found.push(name.to_owned());
        }
        match schema {
            Value::Object(fields) => {
                fields.iter().for_each(|(field, value)| unbounded(&format!("{name}.{field}"), value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| unbounded(name, item, found)),
            _ => {}
        }
    }
    let (document, mut found) = (made(), Vec::new());
    unbounded("", &document["components"]["schemas"], &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn page_shows_every_route_and_loads_nothing() {
    let document = made();
    let page = Page::of(&document);
    for route in table() {
        assert!(page.html.contains(&format!("id=\"{}\"", route.id)), "{}", route.id);
    }
    for tag in TAGS {
        assert!(page.html.contains(&format!("data-tag=\"{}\"", tag.0)));
    }
    let elsewhere = ["http://", "https://", "src=", "@import", "url(", "onclick", "onload", " style="];
    for bad in elsewhere {
        assert!(!page.html.contains(bad), "{bad}");
    }
    let tags: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
    assert!(table().iter().all(|route| tags.contains(route.tag)));
    assert_eq!(page.policy.matches("sha256-").count(), 2);
}
