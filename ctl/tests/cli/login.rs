//! Logging in and out, and passwords.

use crate::gateway::good;
use crate::stub::{PASSWORD, Sent, Stub, finish, problem, tokens};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

#[test]
fn login_is_remembered_for_its_owner_only_and_tells_no_token() {
    let stub = Stub::logged_in(good);
    let path = stub.contexts();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = stub.run(&["-o", "json", "login", "--password-stdin"], &format!("{PASSWORD}\n"));
    assert_eq!(mode(&path), 0o600, "a second login protects the file again");
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap()["username"], "admin");
    assert!(!said.out.contains("access-1") && !said.out.contains(PASSWORD), "{said:?}");
    let left = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["contexts.json", "contexts.lock"], "nothing else is left there");
    let remembered = std::fs::read_to_string(&path).unwrap();
    assert!(!remembered.contains(PASSWORD) && remembered.contains("access-1"));
}

#[test]
fn login_needs_no_password_in_the_command_line_and_warns_of_one() {
    let stub = Stub::new(good);
    let said = stub.run(&["login"], "");
    assert_eq!((said.code, said.err.contains("--password-stdin")), (2, true), "{said:?}");
    assert_eq!(stub.run(&["login", "--password-stdin"], "").code, 2, "no line at all");
    assert!(stub.all_sent().is_empty());
    let said = stub.run(&["login", "--password", PASSWORD], "");
    assert_eq!((said.code, said.err.contains("warning")), (0, true), "{said:?}");
    assert!(!said.err.contains(PASSWORD) && !said.out.contains(PASSWORD));
    assert_eq!(
        stub.run(&["login", "--password", PASSWORD, "--password-stdin"], "").code,
        2,
        "one of the two"
    );
}

#[test]
fn first_password_is_changed_with_the_second_line() {
    fn answers(sent: &Sent) -> (u16, Value) {
        match sent.line.as_str() {
            "POST /auth/login" => (200, tokens("early", true)),
            "POST /users/me/password" if sent.token.as_deref() == Some("early") => {
                (200, tokens("late", false))
            }
            _ => problem(500, "internal", "unexpected"),
        }
    }
    let stub = Stub::new(answers);
    let said = stub.run(&["login", "--password-stdin"], "first\nthe second one\n");
    assert_eq!(said.code, 0, "{said:?}");
    let change = &stub.sent("POST /users/me/password")[0].body;
    assert_eq!(change, &json!({"old_password": "first", "new_password": "the second one"}));
    assert!(std::fs::read_to_string(stub.contexts()).unwrap().contains("late"));
}

#[test]
fn first_password_may_be_changed_later() {
    fn answers(sent: &Sent) -> (u16, Value) {
        match (sent.line.as_str(), sent.token.as_deref()) {
            ("POST /auth/login", _) => (200, tokens("early", true)),
            ("POST /users/me/password", Some("early")) => (200, tokens("access-1", false)),
            (_, Some("early")) => problem(403, "must-change-password", "the password must be changed first"),
            _ => good(sent),
        }
    }
    let stub = Stub::new(answers);
    let said = stub.run(&["login", "--password-stdin"], "first\n");
    assert_eq!((said.code, said.out.contains("user change-password")), (0, true), "{said:?}");
    let said = stub.run(&["share", "list"], "");
    assert_eq!((said.code, said.err.contains("user change-password")), (5, true), "{said:?}");
    let said = stub.run(&["user", "change-password", "--password-stdin"], "first\nthe second one\n");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(stub.run(&["share", "list"], "").code, 0, "the new tokens are remembered");
}

#[test]
fn logout_ends_the_login_there_and_here() {
    let stub = Stub::logged_in(good);
    assert_eq!(stub.run(&["logout", "--all"], "").code, 0);
    assert_eq!(stub.sent("POST /auth/logout")[0].query, "all=true");
    let text = std::fs::read_to_string(stub.contexts()).unwrap();
    assert!(!text.contains("access-1") && !text.contains("refresh-1") && text.contains("admin"), "{text}");
    assert_eq!(stub.run(&["logout"], "").code, 4, "nobody is logged in any more");
}

#[test]
fn logout_forgets_the_login_although_the_gateway_is_away() {
    let stub = Stub::logged_in(|sent: &Sent| match sent.line.as_str() {
        "POST /auth/logout" => problem(503, "busy", "too much to do"),
        _ => good(sent),
    });
    let said = stub.run(&["logout"], "");
    assert_eq!((said.code, said.err.contains("forgotten here")), (11, true), "{said:?}");
    assert!(!std::fs::read_to_string(stub.contexts()).unwrap().contains("access-1"));
}

#[test]
fn switching_the_user_stays_in_the_context() {
    let stub = Stub::logged_in(good);
    let said = stub.run(&["-o", "json", "switch-user", "bo", "--password-stdin"], &format!("{PASSWORD}\n"));
    assert_eq!(
        (said.code, &said.json()["username"], &said.json()["context"]),
        (0, &json!("bo"), &json!("default"))
    );
    assert_eq!(stub.last("POST /auth/login")["username"], "bo");
}

#[test]
fn passwords_of_others_come_from_standard_input_and_are_never_shown() {
    let stub = Stub::logged_in(good);
    for (args, line) in [
        (&["user", "create", "bo", "--password-stdin"][..], "POST /users"),
        (&["user", "password", "bo", "--password-stdin"], "POST /users/bo/password"),
    ] {
        let said = stub.run(&[&["-v"], args].concat(), "a secret of bo\n");
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        let body = stub.last(line).to_string();
        assert!(body.contains("a secret of bo"), "{body}");
        assert!(!said.out.contains("a secret of bo") && !said.err.contains("a secret of bo"), "{said:?}");
        let said = stub.run(args, "");
        assert_eq!(
            (said.code, said.err.contains("Password of bo") || said.err.contains("New password of bo")),
            (2, true)
        );
    }
    assert_eq!(stub.last("POST /users/bo/password")["must_change"], true);
}

/// What a terminal shows while somebody types.
#[test]
fn password_that_is_typed_is_not_echoed() {
    let stub = Stub::new(good);
    let program = env!("CARGO_BIN_EXE_dfsctl");
    let mut command = stub.command(&[]);
    let env: Vec<(String, String)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    command = std::process::Command::new("python3");
    command.args(["-c", TYPIST, program, PASSWORD]).envs(env);
    let said = finish(command, "");
    assert!(said.out.contains("Password: ") && said.out.contains("logged in"), "{said:?}");
    assert!(!said.out.contains(PASSWORD), "the password is on the screen: {said:?}");
    assert_eq!(stub.last("POST /auth/login")["password"], PASSWORD);
}

/// Gives the program a terminal, waits until its echo is off, and types.
const TYPIST: &str = r#"
import os, pty, sys, termios, select
child, screen = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "login"])
shown = b""
while b"Password" not in shown:
    shown += os.read(screen, 1000)
while termios.tcgetattr(screen)[3] & termios.ECHO:
    select.select([], [], [], 0.01)
os.write(screen, sys.argv[2].encode() + b"\n")
try:
    while piece := os.read(screen, 1000):
        shown += piece
except OSError:
    pass
os.waitpid(child, 0)
sys.stdout.write(shown.decode())
"#;
