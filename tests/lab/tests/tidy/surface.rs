//! What people and machines see from outside: the top folder, the metrics, links between pages.

use std::collections::{BTreeMap, BTreeSet};

use crate::{files, none, read, root, rust_files};

/// Everything that may lie at the top.
const TOP: [&str; 18] = [
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "ctl",
    "deny.toml",
    "deploy",
    "gateway",
    "grafana",
    "metadata",
    "policy",
    "rustfmt.toml",
    "tests",
    "tiers",
];
/// What every top must have from the first commit on.
const NEEDED: [&str; 6] =
    ["CHANGELOG.md", "Cargo.lock", "LICENSE", "README.md", "deploy/quickstart", "tests/run"];

#[test]
fn top_has_only_what_the_design_names() {
    let found: BTreeSet<String> =
        files().iter().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    let odd: Vec<String> = found.into_iter().filter(|name| !TOP.contains(&name.as_str())).collect();
    none("nothing at the top but what DESIGN names", &odd);
    let missing = NEEDED.iter().filter(|name| !root().join(name).is_file()).map(|name| (*name).to_owned());
    none("files that must exist", &missing.collect::<Vec<_>>());
}

/// The names in a file of metrics, each once: its table and what it makes of it. Its tests are left out.
fn declared(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    text.match_indices("\"dfs_")
        .map(|(at, _)| text[at + 1..].split('"').next().unwrap_or("").to_owned())
        .collect()
}

fn tables() -> impl Iterator<Item = (String, String)> {
    rust_files().into_iter().filter(|(name, _)| name.ends_with("/metrics.rs"))
}

#[test]
fn metrics_have_unique_well_formed_names() {
    let units = ["bytes", "seconds", "count", "ratio", "number", "flag", "info"];
    let (mut seen, mut wrong): (BTreeMap<String, String>, Vec<String>) = (BTreeMap::new(), Vec::new());
    for (file, text) in tables() {
        let names = declared(&text);
        if names.is_empty() {
            wrong.push(format!("{file}: no table of metrics"));
        }
        for name in names {
            let clean =
                name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_');
            // what a counter counts is its unit
            let has_unit = name.ends_with("_total") || units.iter().any(|unit| name.ends_with(unit));
            if !clean || name.split('_').count() < 4 || !has_unit {
                wrong.push(format!("{file}: {name} is not dfs_<part>_<thing>_<unit>[_total]"));
            }
            if let Some(other) = seen.insert(name.clone(), file.clone()) {
                wrong.push(format!("{file}: {name} is also in {other}"));
            }
        }
    }
    none("metrics with unique names in the house's form", &wrong);
    assert!(!seen.is_empty(), "no metric at all");
}

#[test]
fn metrics_used_are_declared() {
    let mut tables = BTreeSet::new();
    for (_, text) in self::tables() {
        tables.extend(declared(&text));
    }
    let mut wrong = Vec::new();
    for (name, text) in rust_files().iter().filter(|(name, _)| !name.starts_with("tests/")) {
        for macro_name in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            for (at, _) in text.match_indices(macro_name) {
                let metric = text[at + macro_name.len()..].split('"').next().unwrap_or("");
                if !tables.contains(metric) {
                    wrong.push(format!("{name}: {metric}"));
                }
            }
        }
    }
    none("every metric in its crate's table", &wrong);
}

#[test]
fn markdown_links_lead_somewhere() {
    let mut wrong = Vec::new();
    for name in files().into_iter().filter(|name| name.ends_with(".md")) {
        let text = read(&name);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#', ' ']).next().unwrap_or("");
            let is_file = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            let beside = root().join(&name).parent().unwrap().join(target);
            if is_file && !beside.exists() {
                wrong.push(format!("{name}: {target}"));
            }
        }
    }
    none("links between pages", &wrong);
}
