//! The first page is true: its arrows, its crates, its dependencies and its commands are those of the project. The group
//! `readme` of tests/run also runs the commands.

use crate::{metadata, none, read, root};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

/// Crates whose arrows the page does not draw: what everybody uses, the composition root, the tests.
const UNDRAWN: [&str; 5] = ["model", "server", "tests", "lab", "fill"];

/// The text between a heading and the next.
fn section(heading: &str) -> String {
    let text = read("README.md");
    let after =
        text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    after.split("\n## ").next().unwrap_or("").to_owned()
}

/// Every crate of the workspace with its folder and those that it uses outside its tests, by their short names.
fn crates() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let metadata = metadata();
    let top = metadata["workspace_root"].as_str().unwrap();
    let short = |name: &str| name.strip_prefix("dfs-").unwrap_or(name).trim_start_matches("dfs").to_owned();
    let members =
        metadata["packages"].as_array().unwrap().iter().filter(|package| package["source"].is_null());
    let one = |package: &serde_json::Value| {
        let manifest = package["manifest_path"].as_str().unwrap();
        let folder = manifest
            .strip_prefix(top)
            .unwrap()
            .trim_matches('/')
            .strip_suffix("/Cargo.toml")
            .unwrap()
            .to_owned();
        let uses = package["dependencies"].as_array().unwrap().iter();
        let uses = uses.filter(|used| used["kind"].is_null() && used["path"].is_string());
        (
            short(package["name"].as_str().unwrap()),
            (folder, uses.map(|used| short(used["name"].as_str().unwrap())).collect()),
        )
    };
    members.map(one).collect()
}

#[test]
fn arrows_of_the_page_are_those_of_the_code() {
    let drawn = |line: &str| {
        let (user, used) = line.split_once("─▶")?;
        let user = user.split_whitespace().last()?.to_owned();
        Some((user, used.split(',').map(|one| one.trim().to_owned()).collect::<BTreeSet<_>>()))
    };
    let page: BTreeMap<_, _> = section("Code map")
        .lines()
        .take_while(|line| !line.starts_with("Arrows"))
        .filter_map(drawn)
        .collect();
    let mut wrong = Vec::new();
    for (name, (_, mut uses)) in crates() {
        uses.remove("model");
        let shown = page.get(&name).cloned().unwrap_or_default();
        if !UNDRAWN.contains(&name.as_str()) && shown != uses {
            wrong.push(format!("{name} uses {uses:?}, the page says {shown:?}"));
        }
    }
    none("arrows of README.md", &wrong);
}

#[test]
fn crates_are_all_on_the_page() {
    let map = section("Code map");
    let rows: Vec<&str> = map.lines().filter(|line| line.starts_with('|')).collect();
    let missing = crates().into_iter().filter(|(name, (folder, _))| {
        let last = folder.rsplit('/').next().unwrap();
        !rows.iter().any(|row| {
            row.contains(&format!("`{folder}`")) || row.contains(&format!("`{last}`")) && row.contains(name)
        })
    });
    none(
        "crates that README.md does not tell of",
        &missing.map(|(_, (folder, _))| folder).collect::<Vec<_>>(),
    );
}

#[test]
fn dependencies_have_a_row_with_a_reason() {
    let text = section("Dependencies");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|--"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let named: BTreeSet<&str> =
        rows.iter().filter(|row| row.len() == 3).flat_map(|row| row[0].split(',').map(str::trim)).collect();
    let bare = rows.iter().filter(|row| row.len() != 3 || row[1].is_empty() || row[2].len() < 4);
    none("rows without a reason", &bare.map(|row| row.join(" | ")).collect::<Vec<_>>());
    let metadata = metadata();
    let mut used = BTreeSet::new();
    for package in
        metadata["packages"].as_array().unwrap().iter().filter(|package| package["source"].is_null())
    {
        let foreign =
            package["dependencies"].as_array().unwrap().iter().filter(|used| used["path"].is_null());
        used.extend(foreign.map(|used| used["name"].as_str().unwrap()));
    }
    none(
        "dependencies without a row",
        &used.difference(&named).map(|name| (*name).to_owned()).collect::<Vec<_>>(),
    );
    let gone = named.difference(&used).filter(|name| !["crate", "---"].contains(*name));
    none("rows without a dependency", &gone.map(|name| (*name).to_owned()).collect::<Vec<_>>());
}

#[test]
fn two_commands_are_there_to_run() {
    for needed in ["deploy/quickstart", "tests/run"] {
        assert!(
            section("Two commands").contains(&format!("```sh\n{needed}\n```")),
            "README.md does not tell of {needed}"
        );
        let mode = std::fs::metadata(root().join(needed)).map_or(0, |data| data.permissions().mode());
        assert!(mode & 0o111 != 0, "{needed} is not to be run");
    }
}
