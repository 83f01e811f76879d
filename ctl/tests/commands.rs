//! Every `dfsctl …` that a text of the project tells people to type exists.
#![allow(clippy::unwrap_used, clippy::panic)]

mod spelled;

use std::process::Command;

/// Whether `dfsctl help WORDS` knows them.
fn known(words: &[String]) -> bool {
    Command::new(env!("CARGO_BIN_EXE_dfsctl")).arg("help").args(words).output().unwrap().status.success()
}

/// Whether the words name a family of commands instead of a command.
fn family(words: &[String]) -> bool {
    let help = Command::new(env!("CARGO_BIN_EXE_dfsctl")).arg("help").args(words).output().unwrap();
    String::from_utf8_lossy(&help.stdout).contains("\nCommands:\n")
}

#[test]
fn every_dfsctl_command_that_is_spelled_exists() {
    let spelled = spelled::commands("dfsctl");
    assert!(spelled.len() > 10, "the texts are not found: {}", spelled.len());
    for (words, path) in spelled {
        // Below a command of its own stand arguments; below a family must stand one of its commands.
        let longest = (1..=words.len()).rev().find(|level| known(&words[..*level]));
        let whole = longest.is_some_and(|level| level == words.len() || !family(&words[..level]));
        assert!(whole, "{}: `dfsctl {}` does not exist", path.display(), words.join(" "));
    }
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(!known(&words("recover")) && family(&words("share permission")) && !family(&words("login")));
}
