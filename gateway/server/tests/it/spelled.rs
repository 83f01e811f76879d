//! Every `dfs …` that a text of the project tells people to type exists.

#[path = "../../../../ctl/tests/spelled/mod.rs"]
mod texts;

use std::process::Command;

fn known(word: &str) -> bool {
    Command::new(env!("CARGO_BIN_EXE_dfs")).args(["help", word]).output().unwrap().status.success()
}

#[test]
fn every_dfs_command_that_is_spelled_exists() {
    let spelled = texts::commands("dfs");
    assert!(spelled.len() > 10, "the texts are not found: {}", spelled.len());
    for (words, path) in spelled {
        assert!(known(&words[0]), "{}: `dfs {}` does not exist", path.display(), words.join(" "));
    }
    assert!(!known("recover"), "the check finds what is not there");
}
