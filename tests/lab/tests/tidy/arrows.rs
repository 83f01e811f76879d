//! The arrows between crates, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{metadata, none, root};

/// The folders from the bottom to the top; a crate uses its own folder and those below.
const LAYERS: [&str; 4] = ["metadata", "policy", "tiers", "gateway"];
/// Crates that know no clock, no task and no I/O.
const PURE: [&str; 4] = ["dfs-model", "dfs-locks", "dfs-policy", "dfs-block"];
/// What would make them impure.
const IMPURE: [&str; 6] = ["tokio", "mio", "reqwest", "hyper", "axum", "redb"];
/// Crates that may see only these crates of ours.
const NARROW: [(&str, &[&str]); 4] = [
    ("dfs-nfs", &["dfs-model", "dfs-vfs", "dfs-rpc", "dfs-net", "dfs-auth"]),
    ("dfs-smb", &["dfs-model", "dfs-vfs", "dfs-net", "dfs-auth"]),
    ("dfsctl", &["dfs-api"]),
    ("dfs-api", &["dfs-model"]),
];
/// Crates that speak a wire protocol: used by nothing but the composition root and the tests.
const WIRE: [&str; 3] = ["dfs-nfs", "dfs-smb", "dfs-rpc"];

struct Crate {
    folder: String,
    /// Direct dependencies that the built product has: not those of tests.
    uses: BTreeSet<String>,
}

fn crates(metadata: &Value) -> BTreeMap<String, Crate> {
    let root = root();
    let mut found = BTreeMap::new();
    for package in
        metadata["packages"].as_array().unwrap().iter().filter(|package| package["source"].is_null())
    {
        let manifest = std::path::Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let uses = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["kind"].as_str() != Some("dev"));
        let uses = uses.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        found.insert(package["name"].as_str().unwrap().to_owned(), Crate { folder, uses });
    }
    found
}

fn layer(folder: &str) -> Option<usize> {
    let top = folder.split('/').next().unwrap_or("");
    LAYERS.iter().position(|layer| *layer == top)
}

#[test]
fn arrows_point_down() {
    let metadata = metadata();
    let crates = crates(&metadata);
    assert!(crates.len() >= 15, "only {} crates of ours", crates.len());
    let mut wrong = Vec::new();
    for (name, one) in &crates {
        for used in one.uses.iter().filter_map(|used| crates.get_key_value(used)) {
            let up = match (layer(&one.folder), layer(&used.1.folder)) {
                (Some(from), Some(to)) => to > from,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if up {
                wrong.push(format!("{name} ({}) uses {} ({})", one.folder, used.0, used.1.folder));
            }
        }
    }
    none("gateway → tiers → policy → metadata, never back", &wrong);
}

#[test]
fn narrow_crates_see_only_what_they_may() {
    let metadata = metadata();
    let crates = crates(&metadata);
    let mut wrong = Vec::new();
    for (name, allowed) in NARROW {
        let Some(one) = crates.get(name) else { continue };
        for used in one.uses.iter().filter(|used| crates.contains_key(*used)) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("{name} uses {used}; it may see {}", allowed.join(", ")));
            }
        }
    }
    none("what nfs, smb, dfsctl and api may see", &wrong);
    let api = &crates["dfs-api"];
    assert!(!api.uses.contains("axum"), "dfs-api is shared with dfsctl: no axum in it");
}

#[test]
fn wire_crates_are_used_by_protocols_and_the_root_only() {
    let metadata = metadata();
    let crates = crates(&metadata);
    let may = ["dfs-server", "dfs-nfs", "dfs-smb", "dfs-tests"];
    let mut wrong = Vec::new();
    for (name, one) in crates.iter().filter(|(name, _)| !may.contains(&name.as_str())) {
        wrong.extend(
            WIRE.iter().filter(|wire| one.uses.contains(**wire)).map(|wire| format!("{name} uses {wire}")),
        );
    }
    none("no wire type outside its protocol crate", &wrong);
}

#[test]
fn pure_crates_reach_no_runtime() {
    let metadata = metadata();
    let mut names = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        names.insert(package["id"].as_str().unwrap(), package["name"].as_str().unwrap());
    }
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let normal = node["deps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dep| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null()));
        let normal = normal.map(|dep| dep["pkg"].as_str().unwrap()).collect();
        edges.insert(node["id"].as_str().unwrap(), normal);
    }
    let mut wrong = Vec::new();
    for pure in PURE {
        let start =
            names.iter().find(|(_, name)| **name == pure).unwrap_or_else(|| panic!("no crate {pure}")).0;
        let (mut todo, mut seen) = (vec![*start], BTreeSet::new());
        while let Some(id) = todo.pop() {
            if seen.insert(id) {
                todo.extend(edges.get(id).into_iter().flatten());
            }
        }
        let reached: BTreeSet<&str> = seen.iter().map(|id| names[id]).collect();
        wrong.extend(
            IMPURE.iter().filter(|one| reached.contains(**one)).map(|one| format!("{pure} reaches {one}")),
        );
    }
    none("pure crates know no runtime", &wrong);
}
