//! Completion: scripts that load in their shells, and live names.

use crate::gateway::good;
use crate::stub::{Said, Stub, finish, problem};
use std::process::Command;
use std::time::Duration;

/// What the program offers after the words, the last of which is being typed.
fn offered(stub: &Stub, words: &[&str]) -> Said {
    let mut command = stub.command(&["--", "dfsctl"]);
    command.args(words).env("DFSCTL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n");
    let said = finish(command, "");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "a completion says nothing else: {said:?}");
    said
}

#[test]
fn commands_options_and_live_names_are_offered() {
    let stub = Stub::logged_in(good);
    for (words, wanted) in [
        (&["us"][..], "user"),
        (&["user", ""], "create"),
        (&["user", "create", "--ho"], "--host-uid"),
        (&["user", "show", ""], "bo"),
        (&["user", "update", "bo", "--role", ""], "operator"),
        (&["user", "create", "x", "--groups", ""], "staff"),
        (&["group", "add-user", "staff", ""], "bo"),
        (&["share", "show", ""], "s"),
        (&["share", "mount", "/"], "/s"),
        (&["share", "permission", "grant", "s", "--user", ""], "bo"),
        (&["share", "create", "x", "--cold", ""], "default"),
        (&["store", "metadata", "show", ""], "default"),
        (&["netgroup", "show", "b"], "build"),
        (&["settings", "set", "log"], "logging.level"),
        (&["idmap", "remove", "uid"], "uid:1234"),
        (&["client", "evict", ""], "c1"),
        (&["context", "use", ""], "default"),
        (&["adapter", "enable", ""], "nfs"),
    ] {
        let out = offered(&stub, words).out;
        assert!(out.lines().any(|line| line == wanted), "{words:?} offers: {out}");
    }
    let other = offered(&stub, &["user", "show", "x"]).out;
    assert!(!other.lines().any(|line| line == "bo"), "only what begins so: {other}");
}

#[test]
fn names_are_not_offered_and_nothing_is_said_where_the_gateway_cannot_be_asked() {
    let stranger = Stub::new(good);
    assert!(!offered(&stranger, &["user", "show", ""]).out.lines().any(|line| line == "bo"));
    assert!(stranger.all_sent().is_empty(), "without a login nobody is asked");
    let refusing = Stub::logged_in(|sent: &crate::stub::Sent| match sent.line.as_str() {
        "POST /auth/login" => good(sent),
        _ => problem(401, "unauthorized", "no"),
    });
    assert!(!offered(&refusing, &["user", "show", ""]).out.lines().any(|line| line == "bo"));
}

#[test]
fn gateway_that_is_slow_is_waited_for_a_second() {
    let stub = Stub::logged_in(|sent: &crate::stub::Sent| {
        if sent.line == "GET /users" {
            // Never answered: a thread that waits for ever costs this test nothing.
            std::thread::park_timeout(Duration::from_secs(60));
        }
        good(sent)
    });
    let mut bounded = Command::new("timeout");
    bounded.args(["5", env!("CARGO_BIN_EXE_dfsctl"), "--", "dfsctl", "user", "show", ""]);
    let own = stub.command(&[]);
    bounded.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bounded.env("DFSCTL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
    bounded.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
    let said = finish(bounded, "");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
}

/// Runs a line in a shell that has loaded the script; `None` where the shell is not on this machine.
fn in_shell(stub: &Stub, shell: &str, args: &[&str], script: &str) -> Option<Said> {
    Command::new(shell).arg("--version").output().ok()?;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_dfsctl"));
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(program.parent().unwrap().to_owned()).chain(std::env::split_paths(&path));
    let mut command = Command::new(shell);
    command.args(args).arg(script).env("PATH", std::env::join_paths(folders).unwrap());
    command.envs(stub.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("HOME", stub.home());
    Some(finish(command, ""))
}

#[test]
fn script_completes_a_live_name_in_bash() {
    let stub = Stub::logged_in(good);
    let script = "eval \"$(dfsctl completion bash)\"\n\
        COMP_WORDS=(dfsctl user show b); COMP_CWORD=3; COMP_LINE='dfsctl user show b'; COMP_POINT=18; COMP_TYPE=9\n\
        $(complete -p dfsctl | sed 's/.*-F \\([^ ]*\\).*/\\1/') dfsctl b show\nprintf '<%s>' \"${COMPREPLY[@]}\"";
    let Some(said) = in_shell(&stub, "bash", &["--norc", "-c"], script) else { return };
    assert_eq!((said.code, said.out.trim(), said.err.as_str()), (0, "<bo>", ""), "{said:?}");
}

#[test]
fn script_completes_a_live_name_in_fish() {
    let stub = Stub::logged_in(good);
    let script = "dfsctl completion fish | source; complete -C 'dfsctl user show b'";
    let Some(said) = in_shell(&stub, "fish", &["-c"], script) else { return };
    assert_eq!((said.code, said.out.trim()), (0, "bo"), "{said:?}");
}

#[test]
fn script_loads_in_zsh() {
    let stub = Stub::logged_in(good);
    let script = "autoload -U compinit; compinit -u -D; eval \"$(dfsctl completion zsh)\"; print -r -- ${_comps[dfsctl]}";
    let Some(said) = in_shell(&stub, "zsh", &["-f", "-c"], script) else { return };
    assert!(said.code == 0 && said.out.contains("dfsctl") && said.err.is_empty(), "{said:?}");
}

#[test]
fn every_shell_has_a_script() {
    let stub = Stub::new(good);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stub.good(&format!("completion {shell}"));
        assert!(script.contains("DFSCTL_COMPLETE") && script.contains("dfsctl"), "{shell}: {script}");
    }
    assert_eq!(stub.run(&["completion", "csh"], "").code, 2);
}
