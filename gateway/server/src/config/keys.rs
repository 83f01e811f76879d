//! The settings there are, read from the schema that is generated from the code: their dotted names and what they hold.

use super::Config;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Number,
    Text,
}

/// The JSON Schema of the configuration file.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), Value::from("Configuration of dfs"));
    }
    schema
}

/// Every setting by its dotted name.
pub(super) fn known() -> BTreeMap<String, Kind> {
    let mut found = BTreeMap::new();
    walk(&schema(), "", &mut found);
    found
}

fn walk(schema: &Value, name: &str, found: &mut BTreeMap<String, Kind>) {
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        walk(choice, name, found);
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            walk(inner, &dotted, found);
        }
    } else if let Some(kind) = kind(schema) {
        found.insert(name.to_owned(), kind);
    }
}

/// `None`: a choice of several schemas, or nothing at all.
fn kind(schema: &Value) -> Option<Kind> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => {
            let words = schema.get("enum").or_else(|| schema.get("const")).or_else(|| schema.get("oneOf"));
            return words.map(|_| Kind::Text);
        }
    };
    // A size is a text or a number: as a text it may have a unit.
    if types.contains(&"string") {
        Some(Kind::Text)
    } else if types.contains(&"boolean") {
        Some(Kind::Flag)
    } else if types.contains(&"integer") || types.contains(&"number") {
        Some(Kind::Number)
    } else {
        None
    }
}

/// The known word that is nearest to an unknown one.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &&str| (strsim::jaro_winkler(word, unknown) * 1e6) as u64;
    known.max_by_key(likeness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_every_kind_are_known() {
        let known = known();
        for (name, kind) in [
            ("data_dir", Kind::Text),
            ("nfs.max_connections", Kind::Number),
            ("portmap.enabled", Kind::Flag),
            ("journal.size", Kind::Text),
            ("shutdown_timeout", Kind::Text),
            ("metadata.postgres.url", Kind::Text),
            ("metadata.postgres.tls", Kind::Text),
            ("control.tls.cert", Kind::Text),
            ("control.database.connections", Kind::Number),
            ("logging.format", Kind::Text),
        ] {
            assert_eq!(known.get(name), Some(&kind), "{name} of {known:?}");
        }
        assert!(!known.contains_key("nfs") && !known.contains_key("control.tls"));
    }
}
