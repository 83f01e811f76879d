//! Rules of the text of sources.

use crate::{files, none, read, rust_files};

/// A file that does not fit this many lines holds two things.
const FILE_LINES_MAX: usize = 600;
/// A function should fit one screen of about 70 lines; a few more are let through for a long match.
const FUNCTION_LINES_MAX: usize = 80;

#[test]
fn files_are_short() {
    let long = rust_files().into_iter().filter_map(|(name, text)| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{name}: {lines} lines"))
    });
    none("files of at most 600 lines", &long.collect::<Vec<_>>());
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    for (name, text) in rust_files() {
        if name.ends_with("tests.rs") || name.contains("/tests/") {
            continue;
        }
        for (function, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{name}: {function}: {lines} lines"));
            }
        }
    }
    none("functions of about 70 lines", &long);
}

/// The functions of a formatted source before its test module, each with its number of lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, String, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let is_function = body.split(' ').take(5).any(|word| word == "fn") && !body.starts_with("//");
        if is_function && !body.ends_with(['}', ';', ',']) {
            let after = body.split("fn ").nth(1).unwrap_or("");
            let name = after.split(['(', '<']).next().unwrap_or("").to_owned();
            open.push((indent, name, number));
        } else if body == "}" && open.last().is_some_and(|(depth, ..)| *depth == indent) {
            let (_, name, start) = open.pop().unwrap();
            found.push((name, number - start + 1));
        } else if body.ends_with(';') && open.last().is_some_and(|(depth, ..)| *depth == indent) {
            open.pop(); // the end of a declaration without a body
        }
    }
    found
}

#[test]
fn functions_of_a_sample_are_measured() {
    let sample = "impl A {\n    fn one(\n        a: u8,\n    ) -> u8 {\n        if a > 1 {\n        }\n        a\n    }\n}\n\
                  trait B {\n    fn declared(\n        &self,\n    );\n    fn two(&self) {\n        1\n    }\n}\n";
    assert_eq!(functions(sample), [("one".to_owned(), 7), ("two".to_owned(), 3)]);
}

#[test]
fn files_say_what_they_are() {
    let silent = rust_files().into_iter().filter(|(_, text)| {
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or("");
        !first.starts_with("//!")
    });
    none("a `//!` prologue in every file", &silent.map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn crate_roots_forbid_unsafe_or_argue_for_it() {
    let mut loose = Vec::new();
    for (name, text) in rust_files() {
        let is_root = name.ends_with("/src/lib.rs") || name.ends_with("/src/main.rs");
        let argued =
            text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("unsafe"));
        if is_root && !text.contains("#![forbid(unsafe_code)]") && !argued {
            loose.push(name);
        }
    }
    none("#![forbid(unsafe_code)] at each crate root, or an argument in the prologue", &loose);
}

#[test]
fn unsafe_blocks_carry_a_safety_note() {
    let mut bare = Vec::new();
    for (name, text) in rust_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let opens =
                ["unsafe {", "unsafe impl"].iter().any(|start| code.contains(start)) && !code.contains('"');
            if opens && !lines[at.saturating_sub(4)..=at].iter().any(|near| near.contains("SAFETY:")) {
                bare.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none("a SAFETY note above each unsafe block", &bare);
}

#[test]
fn ignored_tests_give_a_reason() {
    let bare =
        rust_files().into_iter().filter(|(_, text)| text.lines().any(|line| line.trim() == "#[ignore]"));
    none("#[ignore = \"reason\"]", &bare.map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn sources_name_no_place_of_one_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut found = Vec::new();
    for name in files() {
        if name == "Cargo.lock" || name.ends_with(".png") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(crate::root().join(&name)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("no path of one person's machine", &found);
}

#[test]
fn binaries_have_a_short_main() {
    for name in ["gateway/server/src/main.rs", "ctl/src/main.rs"] {
        let lines = read(name).lines().filter(|line| !line.trim_start().starts_with("//")).count();
        assert!(lines <= 25, "{name}: {lines} lines; a main parses, runs and returns the exit code");
    }
}
