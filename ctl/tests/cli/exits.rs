//! Exit codes, and the one line that says what is wrong.

use crate::gateway::good;
use crate::stub::{Stub, problem};
use serde_json::json;
use std::net::TcpListener;

#[test]
fn exit_codes_tell_what_went_wrong() {
    let stub = Stub::new(good);
    assert_eq!(stub.run(&["share", "list"], "").code, 4, "not logged in");
    let said = stub.run(&["login", "--password-stdin"], "wrong\n");
    assert_eq!((said.code, said.err.contains("password is wrong")), (9, true), "{said:?}");
    let stub = Stub::logged_in(good);
    for (code, args, word) in [
        (0, &["share", "show", "s"][..], ""),
        (2, &["share", "delete", "s"], "--yes"),
        (2, &["share", "create", "s", "--block-size", "many"], "--block-size"),
        (2, &["share", "create", "s", "--root-mode", "789"], "octal"),
        (2, &["store", "cold", "add", "x", "--kind", "dir"], "--path"),
        (2, &["share", "set", "s"], "nothing to change"),
        (2, &["share", "set", "s", "--remove-client", "10.1.1.1"], "10.1.1.1"),
        (2, &["share", "set", "s", "--block", "delete"], "set_attr"),
        (2, &["quota", "set", "s", "share"], "--bytes-hard"),
        (2, &["quota", "set", "s", "user:me", "--bytes-hard", "1GiB"], "'me'"),
        (2, &["quota", "set", "s", "share", "--bytes-soft", "2GiB", "--bytes-hard", "1GiB"], "--bytes-soft"),
        (2, &["recycle", "empty", "s"], "--yes"),
        (2, &["recycle", "policy", "s", "--off", "--keep-days", "3"], "--off"),
        (2, &["frobnicate"], "frobnicate"),
        (10, &["store", "cold", "remove", "used", "--yes"], "used by s"),
        (6, &["share", "show", "t"], "nothing"),
        (8, &["tier", "flush", "--wait"], "the bucket is gone"),
    ] {
        let said = stub.run(args, "");
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        assert!(said.err.contains(word) && (code == 0 || said.out.is_empty()), "{args:?}: {said:?}");
    }
    assert_eq!(stub.run(&["tier", "flush"], "").code, 0, "without --wait the job only begins");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = stub.run(&["--server", &format!("http://{nobody}"), "status"], "");
    assert_eq!((said.code, said.err.contains(&nobody.to_string())), (3, true), "{said:?}");
}

#[test]
fn answers_that_make_no_sense_are_told_so() {
    let stub = Stub::new(|_| (200, json!({"surprise": true})));
    assert_eq!(stub.run(&["status"], "").code, 7);
}

#[test]
fn each_refusal_has_a_code_of_its_own_and_one_line_that_says_what_to_do() {
    for (status, kind, code, words) in [
        (400, "invalid", 5, "it is so"),
        (403, "forbidden", 5, "it is so"),
        (403, "must-change-password", 5, "user change-password"),
        (404, "not-found", 6, "it is so"),
        (409, "conflict", 10, "it is so"),
        (422, "idempotency-key-reused", 5, "it is so"),
        (429, "throttled", 11, "try again"),
        (500, "internal", 5, "it is so"),
        (503, "busy", 11, "try again"),
        (507, "disk-full", 12, "make room"),
    ] {
        let stub = Stub::logged_in(move |sent: &crate::stub::Sent| match sent.line.as_str() {
            "POST /auth/login" => good(sent),
            _ => problem(status, kind, "it is so\nand \u{1b}[31mworse"),
        });
        for args in
            [&["user", "list"][..], &["share", "delete", "s", "--yes"], &["settings", "set", "a", "1"]]
        {
            let said = stub.run(args, "");
            assert_eq!((said.code, said.err.lines().count()), (code, 1), "{args:?}: {said:?}");
            assert!(said.err.starts_with("dfsctl: ") && said.err.contains(words), "{said:?}");
            assert!(said.out.is_empty() && !said.err.contains('\u{1b}'), "{said:?}");
        }
        let said = stub.run(&["-v", "user", "list"], "");
        assert!(said.err.contains("GET /users") && said.err.contains("req-7"), "{said:?}");
        assert!(!said.err.contains("access-1"), "{said:?}");
    }
}

#[test]
fn change_that_would_cut_clients_names_them_and_is_done_with_force() {
    let stub = Stub::logged_in(|sent: &crate::stub::Sent| {
        let changes = !sent.line.starts_with("GET") && !sent.line.contains("/auth/");
        if !changes || sent.query.contains("force=true") {
            return good(sent);
        }
        let clients = ["192.0.2.7:1001 (share s)", "192.0.2.8:1001 (share s)"];
        let detail = "this would cut off 2 clients; repeat it with force to do it";
        (409, json!({"status": 409, "type": "would-cut-clients", "detail": detail, "clients": clients}))
    });
    for args in [
        &["share", "disable", "s"][..],
        &["share", "delete", "s", "--yes"],
        &["share", "set", "s", "--no-clients"],
        &["adapter", "disable", "nfs"],
        &["adapter", "remove", "nfs", "--yes"],
        &["adapter", "enable", "nfs", "--port", "2049"],
        &["adapter", "update", "nfs", "--listen", "127.0.0.1:2049"],
        &["adapter", "settings", "nfs", "update", "--max-connections", "1"],
        &["adapter", "settings", "nfs", "reset"],
    ] {
        let said = stub.run(args, "");
        assert_eq!((said.code, said.err.lines().count()), (10, 1), "{args:?}: {said:?}");
        for words in ["192.0.2.7:1001 (share s), 192.0.2.8", "repeat with --force"] {
            assert!(said.err.contains(words), "{args:?}: {said:?}");
        }
        let said = stub.run(&[args, &["--force"]].concat(), "");
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
    }
}

#[test]
fn deletion_without_a_terminal_must_be_meant() {
    let stub = Stub::logged_in(good);
    for line in [
        "user delete bo",
        "group delete staff",
        "share delete s",
        "store metadata remove default",
        "store cold remove default",
        "netgroup delete build",
        "idmap remove uid:1234",
        "client evict c1",
        "trash empty s",
        "adapter remove nfs",
        "context delete default",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let said = stub.run(&args, "");
        assert_eq!((said.code, said.err.contains("--yes")), (2, true), "{line}: {said:?}");
        assert_eq!(stub.run(&[&args[..], &["--yes"]].concat(), "").code, 0, "{line}");
        if line.starts_with("context") {
            continue;
        }
        assert_eq!(stub.run(&[&args[..], &["--force"]].concat(), "").code, 0, "{line} --force");
    }
}

#[test]
fn wrong_word_suggests_the_right_one() {
    let stub = Stub::new(good);
    for (line, word) in [
        ("usr list", "user"),
        ("user lst", "list"),
        ("share crate s", "create"),
        ("user create bo --rol admin", "--role"),
        ("user create bo --role admn", "admin"),
        ("-o jsn status", "json"),
    ] {
        let said = stub.run(&line.split(' ').collect::<Vec<_>>(), "");
        assert_eq!((said.code, said.err.contains(&format!("'{word}'"))), (2, true), "{line}: {said:?}");
    }
}

#[test]
fn reader_that_goes_away_ends_the_program_quietly() {
    let many: Vec<serde_json::Value> = (0..20_000).map(|_| crate::gateway::user()).collect();
    let many = json!(many);
    let stub = Stub::logged_in(move |sent: &crate::stub::Sent| match sent.line.as_str() {
        "GET /users" => (200, many.clone()),
        _ => good(sent),
    });
    let mut command = stub.command(&["-o", "json", "user", "list"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}
