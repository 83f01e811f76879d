//! Tidy: rules of the house that a compiler does not know. Each test prints every offender, not only the first.
//!
//! The rules come from the design: sizes of files and functions, arrows between crates, licences, names of metrics, what
//! may lie at the top, and that what the README tells people to run is there.
#![allow(clippy::unwrap_used, clippy::panic)]

mod arrows;
mod licences;
mod readme;
mod sources;
mod surface;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// Every file of the project, relative to the root: what git tracks, and what it would.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "git ls-files failed");
    let mut names: Vec<String> =
        String::from_utf8(listed.stdout).unwrap().split('\0').map(str::to_owned).collect();
    names.retain(|name| !name.is_empty() && root().join(name).is_file());
    names.sort();
    names.dedup();
    assert!(names.iter().any(|name| name == "Cargo.toml"), "no Cargo.toml among the project's files");
    names
}

/// Every Rust file of the project with its text.
fn rust_files() -> Vec<(String, String)> {
    let names = files().into_iter().filter(|name| name.ends_with(".rs"));
    names.map(|name| (name.clone(), read(&name))).collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What `cargo metadata` says, dependencies included.
fn metadata() -> serde_json::Value {
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(told.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

/// Fails with the whole list, if there is one.
fn none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}
