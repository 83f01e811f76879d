//! Remembered gateways, and logins that are renewed.

use crate::gateway::good;
use crate::stub::{PASSWORD, Sent, Stub, problem, tokens};
use serde_json::{Value, json};
use std::sync::Mutex;

#[test]
fn expired_access_token_is_renewed_once_and_remembered() {
    fn answers(sent: &Sent) -> (u16, Value) {
        match (sent.line.as_str(), sent.token.as_deref()) {
            ("POST /auth/login", _) => (200, tokens("expired", false)),
            ("POST /auth/refresh", _) if sent.body["refresh_token"] == "refresh-1" => {
                (200, tokens("access-1", false))
            }
            (_, Some("access-1")) => good(sent),
            _ => problem(401, "unauthorized", "a token is needed"),
        }
    }
    let stub = Stub::logged_in(answers);
    for _ in 0..2 {
        assert_eq!(stub.run(&["share", "list"], "").code, 0);
    }
    assert_eq!(stub.sent("POST /auth/refresh").len(), 1);
}

/// A gateway whose refresh tokens work once, and whose first access token has expired.
fn rotating() -> Stub {
    let generation = Mutex::new(1u32);
    Stub::logged_in(move |sent: &Sent| {
        let mut now = generation.lock().unwrap();
        let issued = |number: u32| {
            json!({"access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
                "expires_in": 900, "must_change_password": false})
        };
        match sent.line.as_str() {
            "POST /auth/login" => (200, tokens("expired", false)),
            "POST /auth/refresh" if sent.body["refresh_token"] == format!("refresh-{now}") => {
                *now += 1;
                (200, issued(*now))
            }
            "POST /auth/refresh" => problem(401, "unauthorized", "this token was used before"),
            _ if sent.token == Some(format!("access-{now}")) => {
                good(&Sent { token: Some("access-1".to_owned()), ..sent.clone() })
            }
            _ => problem(401, "unauthorized", "a token is needed"),
        }
    })
}

#[test]
fn programs_that_renew_the_same_login_do_it_once() {
    let stub = rotating();
    let running: Vec<std::process::Child> = (0..8)
        .map(|_| {
            let mut command = stub.command(&["share", "list"]);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in running {
        assert!(child.wait().unwrap().success(), "one of them lost the login");
    }
    assert_eq!(stub.sent("POST /auth/refresh").len(), 1);
    assert_eq!(stub.run(&["share", "list"], "").code, 0);
}

#[test]
fn login_that_cannot_be_renewed_says_so() {
    let stub = rotating();
    let text = std::fs::read_to_string(stub.contexts()).unwrap();
    std::fs::write(stub.contexts(), text.replace("refresh-1", "refresh-0")).unwrap();
    let said = stub.run(&["share", "list"], "");
    assert_eq!(
        (said.code, said.err.contains("dfsctl login"), said.err.lines().count()),
        (4, true, 1),
        "{said:?}"
    );
    assert_eq!(
        stub.run(&["--token", "access-0", "share", "list"], "").code,
        4,
        "a token that is given is not renewed"
    );
}

#[test]
fn renewed_login_that_cannot_be_remembered_still_works_once() {
    let stub = rotating();
    // The new file goes beside the old one under this name; a folder is in its way.
    let mut command = stub.command(&["share", "list"]);
    let folder = stub.contexts().parent().unwrap().to_owned();
    let script = "mkdir -p \"$1/contexts.json.$$/x\"; exec \"$2\" share list";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(&folder).arg(command.get_program());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = shell;
    let said = crate::stub::finish(command, "");
    assert_eq!((said.code, said.err.contains("warning: cannot remember")), (0, true), "{said:?}");
    assert!(std::fs::read_to_string(stub.contexts()).unwrap().contains("expired"), "the old file is whole");
}

#[test]
fn contexts_are_used_renamed_and_forgotten() {
    let (one, two) = (Stub::logged_in(good), Stub::new(good));
    let secret = format!("{PASSWORD}\n");
    let run = |args: &[&str], stdin: &str| {
        let mut command = one.command(args);
        command.env_remove("DFSCTL_SERVER");
        crate::stub::finish(command, stdin)
    };
    let said = run(
        &["login", "--server", &two.url(), "--context", "two", "--username", "bo", "--password-stdin"],
        &secret,
    );
    assert_eq!(said.code, 0, "{said:?}");
    let said = run(&["-o", "json", "context", "list"], "");
    let listed = said.json();
    assert_eq!(
        listed[0],
        json!({"name": "default", "current": false, "server": one.url(), "username": "admin",
        "logged_in": true, "ca_file": null})
    );
    assert_eq!(
        (&listed[1]["name"], &listed[1]["current"], &listed[1]["username"]),
        (&json!("two"), &json!(true), &json!("bo"))
    );
    assert!(!said.out.contains("access-1") && !said.out.contains("refresh-1"), "no token is shown");
    run(&["share", "list"], "");
    assert_eq!(
        (one.sent("GET /shares").len(), two.sent("GET /shares").len()),
        (0, 1),
        "the last login is in use"
    );
    assert_eq!(run(&["context", "use", "default"], "").code, 0);
    run(&["share", "list"], "");
    run(&["--context", "two", "share", "list"], "");
    assert_eq!((one.sent("GET /shares").len(), two.sent("GET /shares").len()), (1, 2));
    assert_eq!(run(&["context", "rename", "default", "first"], "").code, 0);
    assert_eq!(run(&["-o", "json", "context", "current"], "").json()["name"], "first");
    assert_eq!(run(&["context", "rename", "two", "first"], "").code, 2, "never over another");
    assert_eq!(run(&["context", "rename", "two", "a/b"], "").code, 2);
    assert_eq!(run(&["context", "delete", "first", "--yes"], "").code, 0);
    assert_eq!(run(&["context", "current"], "").code, 6);
    for args in [
        &["context", "use", "first"][..],
        &["--context", "first", "share", "list"],
        &["context", "delete", "no", "--yes"],
    ] {
        let said = run(args, "");
        assert_eq!((said.code, said.err.contains("two")), (6, true), "{said:?}");
    }
}

#[test]
fn token_goes_to_its_own_gateway_only() {
    let (one, two) = (Stub::logged_in(good), Stub::new(good));
    let said = one.run(&["--server", &two.url(), "share", "list"], "");
    assert_eq!(said.code, 4, "{said:?}");
    let said = one.run(&["--server", &two.url(), "--context", "default", "share", "list"], "");
    assert_eq!((said.code, said.err.contains("default")), (2, true), "{said:?}");
    assert!(two.all_sent().is_empty(), "nothing was sent there");
}

#[test]
fn login_of_an_earlier_version_goes_on() {
    let stub = Stub::new(good);
    let folder = stub.home().join("ctl");
    std::fs::create_dir(&folder).unwrap();
    let login = json!({"server": stub.url(), "access_token": "access-1", "refresh_token": "refresh-1"});
    std::fs::write(folder.join("login.json"), login.to_string()).unwrap();
    stub.good("share list");
    stub.good("context rename default mine");
    assert!(!folder.join("login.json").exists());
    stub.good("share list");
}

#[test]
fn damaged_file_is_named_and_a_token_of_ones_own_needs_none() {
    let stub = Stub::logged_in(good);
    std::fs::write(stub.contexts(), "{").unwrap();
    let said = stub.run(&["share", "list"], "");
    assert_eq!((said.code, said.err.contains("contexts.json")), (1, true), "{said:?}");
    assert_eq!(stub.run(&["--token", "access-1", "share", "list"], "").code, 0);
}

#[test]
fn certificate_file_that_is_none_is_a_mistake_of_usage() {
    let stub = Stub::logged_in(good);
    let file = stub.home().join("ca.pem");
    std::fs::write(&file, "nothing").unwrap();
    for file in [file.to_str().unwrap(), "/nowhere/ca.pem"] {
        assert_eq!(stub.run(&["--ca", file, "share", "list"], "").code, 2, "{file}");
    }
}
