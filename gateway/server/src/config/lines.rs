//! In which line of the file a setting is.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// The settings of a text by their dotted names, each with its line; nothing for a text that cannot be read.
pub(super) fn lines(text: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    if let Ok(Node::Section(parts)) = serde_saphyr::from_str::<Node>(text) {
        collect(&parts, "", &mut found);
    }
    found
}

enum Node {
    Section(Vec<(String, Spanned<Node>)>),
    Value,
}

fn collect(parts: &[(String, Spanned<Node>)], within: &str, found: &mut BTreeMap<String, u64>) {
    for (key, node) in parts {
        let name = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        match &node.value {
            Node::Section(parts) => collect(parts, &name, found),
            Node::Value => {
                found.insert(name, node.referenced.line());
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Node, D::Error> {
        from.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = map.next_entry::<String, Spanned<Node>>()? {
            parts.push(part);
        }
        Ok(Node::Section(parts))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node::Value)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Value)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Value)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Value)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Value)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Value)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Value)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_both_forms_of_sections() {
        let text = "# first\ndata_dir: /d\n\nnfs:\n  listen: 1.2.3.4:5\n  max_connections: 7\njournal: {size: 1GiB,\n  sync_max: 1s}\nmetadata:\n  postgres:\n    tls: off\nmemory: {}\n";
        let found = lines(text);
        let expected = [
            ("data_dir", 2),
            ("journal.size", 7),
            ("journal.sync_max", 8),
            ("metadata.postgres.tls", 11),
            ("nfs.listen", 5),
            ("nfs.max_connections", 6),
        ];
        let expected = expected.map(|(key, line)| (key.to_owned(), line));
        assert_eq!(found, BTreeMap::from(expected));
        assert!(lines("a: [").is_empty());
    }
}
