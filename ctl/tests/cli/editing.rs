//! Changes in the caller's editor.

use crate::gateway::good;
use crate::stub::{Said, Sent, Stub, finish, problem};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Runs a command with an editor that is a line of shell; `$1` is the file.
fn edit(stub: &Stub, args: &[&str], editor: &str) -> Said {
    let script = stub.home().join("editor");
    std::fs::write(&script, format!("{editor}\n")).unwrap();
    let mut command = stub.command(args);
    command.env("EDITOR", format!("sh {}", script.display())).env("TMPDIR", texts(stub));
    finish(command, "")
}

fn texts(stub: &Stub) -> PathBuf {
    let folder = stub.home().join("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn left(stub: &Stub) -> usize {
    std::fs::read_dir(texts(stub)).unwrap().count()
}

#[test]
fn only_what_was_edited_is_sent_and_shown() {
    let stub = Stub::logged_in(good);
    for (args, editor, line, body) in [
        (
            &["user", "edit", "bo"][..],
            "sed -i 's/^email:.*/email: b@x/' $1",
            "PATCH /users/bo",
            json!({"email": "b@x"}),
        ),
        (
            &["user", "edit", "bo"],
            "sed -i 's/^uid:.*/uid: null/' $1",
            "PATCH /users/bo",
            json!({"uid": null}),
        ),
        (
            &["group", "edit", "staff"],
            "sed -i 's/^gid:.*/gid: 51/' $1",
            "PATCH /groups/staff",
            json!({"gid": 51}),
        ),
        (
            &["share", "edit", "s"],
            "echo 'recycle: {keep_days: 3, bytes_max: 5}' > $1",
            "PATCH /shares/s",
            json!({"recycle": {"keep_days": 3, "bytes_max": 5}}),
        ),
        (
            &["adapter", "edit", "nfs"],
            "echo 'enabled: false' > $1",
            "PATCH /adapters/nfs",
            json!({"enabled": false}),
        ),
        (
            &["adapter", "settings", "nfs", "edit"],
            "echo 'max_connections: 5' > $1",
            "PATCH /adapters/nfs/settings",
            json!({"max_connections": 5}),
        ),
        (
            &["store", "cold", "edit", "default"],
            "echo 'region: here' > $1",
            "PATCH /cold-stores/default",
            json!({"region": "here"}),
        ),
    ] {
        let said = edit(&stub, args, editor);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        assert_eq!(stub.last(line), body, "{args:?}");
        let name = body.as_object().unwrap().keys().next().unwrap();
        assert!(said.out.contains(&format!("{name}: ")) && said.out.contains(" -> "), "{said:?}");
        assert_eq!(left(&stub), 0, "{args:?}: the text is gone");
    }
}

#[test]
fn text_is_private_and_has_only_what_can_be_changed() {
    let stub = Stub::logged_in(good);
    let seen = stub.home().join("seen");
    let editor = format!("stat -c %a $1 > {0}; cat $1 >> {0}", seen.display());
    let said = edit(&stub, &["user", "edit", "bo"], &editor);
    assert_eq!((said.code, said.out.contains("nothing was changed")), (0, true), "{said:?}");
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with("600\n") && seen.contains("full_name: Bo Berg"), "{seen}");
    assert!(!seen.contains("created_at") && !seen.contains("\nname:"), "{seen}");
    assert!(stub.sent("PATCH /users/bo").is_empty() && left(&stub) == 0);
}

#[test]
fn text_that_cannot_be_used_is_kept() {
    let stub = Stub::logged_in(|sent: &Sent| -> (u16, Value) {
        match sent.line.as_str() {
            "PATCH /users/bo" => problem(400, "invalid", "that is no address"),
            _ => good(sent),
        }
    });
    for (editor, code, word) in [
        ("echo 'mail: x' > $1", 2, "full_name, gid"),
        ("echo '[' > $1", 2, "no YAML"),
        ("echo 'email: x' > $1", 5, "no address"),
    ] {
        let before = left(&stub);
        let said = edit(&stub, &["user", "edit", "bo"], editor);
        assert_eq!((said.code, said.err.contains(word)), (code, true), "{said:?}");
        assert!(said.err.contains("your text is kept in"), "{said:?}");
        assert_eq!(left(&stub), before + 1);
    }
    let before = left(&stub);
    let said = edit(&stub, &["user", "edit", "bo"], "exit 3");
    assert_eq!((said.code, said.err.contains("nothing was changed")), (1, true), "{said:?}");
    assert_eq!(left(&stub), before);
}
