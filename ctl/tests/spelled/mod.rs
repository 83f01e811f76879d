//! The commands that the project's texts spell out: messages, comments, README, scripts. Each must exist.

use std::path::{Path, PathBuf};

/// Every `program word …` spelled in the project, with where; words end at the first that is no command's name.
pub fn commands(program: &str) -> Vec<(Vec<String>, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|dir| dir.join("Cargo.lock").exists())
        .unwrap();
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.extend(spelled(&text, program).into_iter().map(|words| (words, path.clone())));
            }
        }
    }
    found
}

fn spelled(text: &str, program: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(program) {
        // As it is typed: after a back quote, a bracket or at the start of a line, with words on the same line.
        let before = text[..at].chars().next_back();
        if !matches!(before, Some('`' | '(' | '\n')) {
            continue;
        }
        let Some(rest) = text[at + program.len()..].strip_prefix(' ') else { continue };
        let line = rest.split(['\n', '`', '"', ')', ',', ';']).next().unwrap_or_default();
        let plain = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                && !word.starts_with('-')
        };
        let words: Vec<String> = line.split(' ').take_while(plain).map(str::to_owned).collect();
        if !words.is_empty() {
            found.push(words);
        }
    }
    found
}

#[test]
fn command_in_a_message_is_found_and_prose_is_not() {
    let text = "run `tool share open NAME` (tool stop); a tool does; \"tool name log\"; (tool init); tool-x y; `tool --flag up`";
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(spelled(text, "tool"), [words("share open"), words("stop"), words("init")]);
}
