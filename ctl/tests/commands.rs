//! Every `dfsctl …` that a text of the project tells people to type exists.
#![allow(clippy::unwrap_used, clippy::panic)]

mod spelled;

use std::process::Command;

/// Whether `dfsctl help WORDS` knows them.
fn known(words: &[String]) -> bool {
    Command::new(env!("CARGO_BIN_EXE_dfsctl")).arg("help").args(words).output().unwrap().status.success()
}

#[test]
fn every_dfsctl_command_that_is_spelled_exists() {
    let spelled = spelled::commands("dfsctl");
    assert!(spelled.len() > 10, "the texts are not found: {}", spelled.len());
    for (words, path) in spelled {
        // Two levels at most: what follows is an argument.
        let level = words.len().min(if matches!(words[0].as_str(), "store") { 3 } else { 2 });
        let whole = known(&words[..level]);
        let flat = matches!(words[0].as_str(), "login" | "status" | "version") && known(&words[..1]);
        assert!(whole || flat, "{}: `dfsctl {}` does not exist", path.display(), words.join(" "));
    }
    assert!(!known(&["recover".to_owned()]), "the check finds what is not there");
}
