//! The schemas of requests and answers, gathered under `components/schemas`.
//!
//! A type may look different in the two directions: what may be left out in a request is always there in an answer, and an
//! answer may gain fields where a request is refused for one. Where they differ the request's is called `…Input`.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const PREFIX: &str = "#/components/schemas/";

/// Collects the schemas that routes name.
pub(crate) struct Schemas {
    pub requests: SchemaGenerator,
    pub answers: SchemaGenerator,
}

impl Schemas {
    pub fn new() -> Schemas {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Schemas {
            requests: settings().for_deserialize().with_transform(Bounded).into_generator(),
            answers: settings().for_serialize().with_transform(Bounded).with_transform(Open).into_generator(),
        }
    }

    /// Every schema by name, and the names that are other ones in requests.
    pub fn finish(mut self) -> (Map<String, Value>, BTreeSet<String>) {
        let requests = self.requests.take_definitions(true);
        let mut all = self.answers.take_definitions(true);
        let renamed = differing(&requests, &all);
        for (name, mut schema) in requests {
            point_to_inputs(&mut schema, &renamed);
            let name = if renamed.contains(&name) { format!("{name}Input") } else { name };
            all.insert(name, schema);
        }
        (all, renamed)
    }
}

/// Names whose schemas differ, or refer to some that do.
fn differing(requests: &Map<String, Value>, answers: &Map<String, Value>) -> BTreeSet<String> {
    let both = || requests.iter().filter_map(|(name, schema)| Some((name, schema, answers.get(name)?)));
    let mut renamed: BTreeSet<String> =
        both().filter(|(_, request, answer)| request != answer).map(|(name, _, _)| name.clone()).collect();
    loop {
        let before = renamed.len();
        let refers = |request: &Value| {
            let text = request.to_string();
            renamed.iter().any(|name| text.contains(&format!("\"{PREFIX}{name}\"")))
        };
        let more: Vec<String> =
            both().filter(|(_, request, _)| refers(request)).map(|(name, _, _)| name.clone()).collect();
        renamed.extend(more);
        if renamed.len() == before {
            return renamed;
        }
    }
}

/// Lets references of a request's schema mean the requests' schemas.
pub(crate) fn point_to_inputs(schema: &mut Value, renamed: &BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && target.strip_prefix(PREFIX).is_some_and(|name| renamed.contains(name))
            {
                target.push_str("Input");
            }
            fields.values_mut().for_each(|value| point_to_inputs(value, renamed));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to_inputs(item, renamed)),
        _ => {}
    }
}

/// Says what a number may be where its format only names a type of Rust.
#[derive(Clone, Debug)]
pub(crate) struct Bounded;

impl Transform for Bounded {
    fn transform(&mut self, schema: &mut Schema) {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let bounds: Option<(Value, Value)> = match format {
            "uint8" => Some((json!(0), json!(u8::MAX))),
            "uint16" => Some((json!(0), json!(u16::MAX))),
            "uint32" => Some((json!(0), json!(u32::MAX))),
            "uint64" | "uint" => Some((json!(0), json!(u64::MAX))),
            "int32" => Some((json!(i32::MIN), json!(i32::MAX))),
            "int64" => Some((json!(i64::MIN), json!(i64::MAX))),
            _ => None,
        };
        if let Some((least, most)) = bounds {
            let fields = schema.ensure_object();
            fields.entry("minimum").or_insert(least);
            fields.entry("maximum").or_insert(most);
        }
        transform_subschemas(self, schema);
    }
}

/// Lets answers have more fields than this version knows.
#[derive(Clone, Debug)]
struct Open;

impl Transform for Open {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("additionalProperties");
        schema.remove("unevaluatedProperties");
        transform_subschemas(self, schema);
    }
}
