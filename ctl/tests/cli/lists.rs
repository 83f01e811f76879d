//! Every command in every form of output; lists of many pages.

use crate::gateway::good;
use crate::stub::{Answer, Sent, Stub};
use serde_json::{Value, json};

#[test]
fn every_listing_is_a_table_and_json_and_yaml() {
    let stub = Stub::logged_in(good);
    for line in [
        "share list",
        "share show s",
        "share create s",
        "share set s --read-only true",
        "share delete s --yes",
        "share enable s",
        "share disable s",
        "share open s",
        "share adopt s",
        "share release s",
        "share abandon s --yes",
        "share list-mounts",
        "share list-mounts s",
        "share permission list s",
        "share permission grant s --user bo --level read",
        "share permission grant /s --group staff --level read",
        "share permission revoke s --user bo",
        "share permission show s bo",
        "share mount s /mnt --port 1 --dry-run",
        "share unmount /mnt --dry-run",
        "quota list s",
        "quota set s user:1000 --bytes-hard 2GiB",
        "quota remove s every-group",
        "recycle list s",
        "recycle status s",
        "recycle restore s 1033",
        "recycle empty s --yes",
        "recycle policy s",
        "trash list s",
        "snapshot create s monday",
        "snapshot list s",
        "snapshot show s monday",
        "snapshot delete s monday --yes",
        "snapshot restore s monday a --to b",
        "snapshot schedule s",
        "file clone s a b",
        "netgroup list",
        "netgroup show build",
        "netgroup create build --member 192.0.2.0/24",
        "netgroup add-member build ci.example.org",
        "netgroup remove-member build 192.0.2.0/24",
        "netgroup delete build --yes",
        "store metadata list",
        "store metadata show default",
        "store metadata health default",
        "store metadata add x",
        "store metadata remove default --yes",
        "store cold list",
        "store cold show default",
        "store cold health default",
        "store cold check default",
        "store cold add x --kind memory",
        "store cold edit default --region here",
        "store cold remove default --yes",
        "store payload list",
        "user list",
        "user show bo",
        "user get bo",
        "user update bo --email a@b",
        "user enable bo",
        "user disable bo",
        "user delete bo --yes",
        "group list",
        "group get staff",
        "group create staff --gid 50",
        "group edit staff --description d",
        "group add-user staff bo",
        "group remove-user staff bo",
        "group delete staff --yes",
        "adapter list",
        "adapter show nfs",
        "adapter add nfs",
        "adapter enable nfs",
        "adapter disable nfs",
        "adapter update nfs --port 2049",
        "adapter remove nfs --yes",
        "adapter settings nfs show",
        "adapter settings nfs update --max-connections 9",
        "adapter settings nfs reset",
        "client list",
        "client evict c1 --yes",
        "idmap list",
        "idmap add uid:1234 bo",
        "idmap remove uid:1234 --yes",
        "settings list",
        "settings get logging.level",
        "settings set logging.level debug",
        "settings reset logging.level",
        "audit list",
        "audit list --all",
        "tier status",
        "tier flush",
        "job list",
        "job show 2",
        "job wait 2",
        "context list",
        "context current",
        "status",
        "version",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let say = |form: &[&str]| {
            let said = stub.run(&[form, &args].concat(), "");
            assert_eq!(said.code, 0, "{args:?}: {said:?}");
            assert!(said.err.is_empty(), "{args:?}: {said:?}");
            said.out
        };
        let json: Value = serde_json::from_str(&say(&["-o", "json"])).unwrap();
        let yaml: Value = serde_saphyr::from_str(&say(&["-o", "yaml"])).unwrap();
        assert_eq!(json, yaml, "{args:?}");
        let table = say(&[]);
        assert!(!table.trim().is_empty() && !table.contains('{'), "{table}");
    }
}

#[test]
fn json_is_the_gateways_own_with_fields_of_newer_ones() {
    let stub = Stub::logged_in(good);
    let shown = stub.run(&["-o", "json", "user", "show", "bo"], "").json();
    assert_eq!(shown, crate::gateway::user());
}

/// A gateway with 2,500 users that gives 1,000 at once.
fn paged(sent: &Sent) -> Answer {
    if sent.line != "GET /users" {
        return good(sent).into();
    }
    let after = sent.query.split('&').find_map(|pair| pair.strip_prefix("after="));
    let first = after.map_or(0, |after| after.trim_start_matches('u').parse::<usize>().unwrap() + 1);
    let last = (first + 1000).min(2500);
    let user = |number: usize| {
        let mut user = crate::gateway::user();
        user["name"] = json!(format!("u{number:05}"));
        user
    };
    let page: Vec<Value> = (first..last).map(user).collect();
    let mut answer = Answer::from((200, json!(page)));
    if last < 2500 {
        let next = format!("</api/v1/users?limit=1000&after=u{:05}>; rel=\"next\"", last - 1);
        answer.headers.push(("link".to_owned(), next));
    }
    answer
}

#[test]
fn list_of_many_pages_is_shown_whole() {
    let stub = Stub::logged_in(paged);
    let users = stub.run(&["-o", "json", "user", "list"], "").json();
    let names: std::collections::BTreeSet<&str> =
        users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!((users.as_array().unwrap().len(), names.len()), (2500, 2500));
    assert_eq!(stub.sent("GET /users").len(), 3);
    assert_eq!(stub.good("user list").lines().count(), 2501, "a line each and the header");
}

#[test]
fn nothing_is_colored_but_on_a_terminal_that_wants_it() {
    let stub = Stub::logged_in(good);
    let screen = |args: &[&str], no_color: &str| {
        let mut line = format!("'{}' {}", env!("CARGO_BIN_EXE_dfsctl"), args.join(" "));
        line = format!("env NO_COLOR={no_color} TERM=xterm {line}");
        let own = stub.command(&[]);
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        crate::stub::finish(command, "").out
    };
    assert!(screen(&["user", "list"], "").contains("\u{1b}[1m"), "bold on a terminal");
    assert!(!screen(&["user", "list"], "1").contains('\u{1b}'));
    assert!(!screen(&["user", "list", "--no-color"], "").contains('\u{1b}'));
    assert!(!screen(&["--no-color", "user", "--help"], "").contains('\u{1b}'));
    assert!(!stub.good("user list").contains('\u{1b}'), "and never in a pipe");
}
