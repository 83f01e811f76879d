//! What is sent for what was typed.

use crate::gateway::good;
use crate::stub::{Answer, Sent, Stub};
use serde_json::json;

#[test]
fn create_sends_what_was_asked_and_shows_the_numbers() {
    let stub = Stub::logged_in(good);
    let args = [
        "share",
        "create",
        "s",
        "--client",
        "10.0.0.0/8",
        "--client",
        "*",
        "--squash",
        "none",
        "--durability",
        "relaxed",
    ];
    let said = stub.run(
        &[&args[..], &["--block-size", "64KiB", "--capacity", "2TiB", "--root-mode", "1777"]].concat(),
        "",
    );
    let body = &stub.sent("POST /shares")[0].body;
    assert_eq!(body["clients"], json!(["10.0.0.0/8", "*"]));
    assert_eq!((&body["squash"], &body["durability"]), (&json!("none"), &json!("relaxed")));
    assert_eq!(
        (&body["block_size"], &body["capacity"], &body["root_mode"]),
        (&json!(65_536), &json!(1u64 << 41), &json!(0o1777))
    );
    for shown in ["served as /s", "1.5 GiB", "42", "256.0 KiB", "survives a power cut"] {
        assert!(said.out.contains(shown), "'{shown}' is not in: {}", said.out);
    }
}

#[test]
fn rules_of_a_share_are_sent_as_they_were_asked() {
    let stub = Stub::logged_in(good);
    let run = |line: &str| stub.good(line);
    let last = |line: &str| stub.last(line);
    run(
        "share create s --block rename --block set_acl --quotas --recycle-days 3 --recycle-max 1GiB --no-relatime --list-snapshots",
    );
    let bin = json!({"keep_days": 3, "bytes_max": 1 << 30});
    let rules = json!({
        "acl_mode": "masked", "blocked_operations": ["rename", "set_acl"], "relatime": false, "quotas": true,
        "snapshots_listed": true, "recycle": bin
    });
    assert_eq!(last("POST /shares")["rules"], rules);
    run("share set s --add-client @build --add-client 127.0.0.1 --squash all_to_guest --anon-uid 99");
    let sent = json!({"clients": ["127.0.0.1", "@build"], "squash": "all_to_guest", "anon_uid": 99});
    assert_eq!(last("PATCH /shares/s"), sent, "what is not asked for is not sent");
    run("share set s --remove-client 127.0.0.1 --block remove --unblock write");
    assert_eq!(last("PATCH /shares/s"), json!({"clients": [], "blocked_operations": ["remove"]}));
    run("recycle policy s --keep-days 3 --max 1GiB");
    assert_eq!(last("PATCH /shares/s"), json!({"recycle": bin}));
    run("recycle policy s --off");
    assert_eq!(last("PATCH /shares/s"), json!({"recycle": null}));
    run("recycle restore s 1033 --to old/report.txt");
    assert_eq!(last("POST /shares/s/recycled/restore"), json!({"inode": 1033, "path": "old/report.txt"}));
    run("recycle empty s --older-than-days 2 --yes");
    assert_eq!(last("POST /shares/s/recycled/empty"), json!({"older_than_days": 2}));
    run("quota set s user:1000 --bytes-soft 1GiB --inodes-hard 20 --grace 1d");
    let limits = json!({"bytes": {"soft": 1 << 30}, "inodes": {"hard": 20}, "grace_seconds": 86_400});
    assert_eq!(last("PUT /shares/s/quotas"), json!({"subject": {"user": 1000}, "limits": limits}));
    run("quota remove s every-user");
    assert_eq!(last("PUT /shares/s/quotas"), json!({"subject": "every_user", "limits": null}));
    run("netgroup add-member build 192.0.2.7 ci.example.org");
    assert_eq!(last("POST /netgroups/build/members"), json!({"members": ["192.0.2.7", "ci.example.org"]}));
    for (line, words) in [
        ("quota list s", &["user:1000", "1.0 GiB", "2.0 GiB", "7 d"][..]),
        ("recycle list s", &["1033", "report.txt", "5.0 MiB", "2026-11-26 06:53:37 UTC"]),
        ("netgroup show build", &["192.0.2.0/24, ci.example.org"]),
    ] {
        let out = run(line);
        words.iter().for_each(|word| assert!(out.contains(word), "'{word}' is not in: {out}"));
    }
}

#[test]
fn secret_key_comes_from_standard_input_and_is_not_shown() {
    let stub = Stub::logged_in(|sent: &Sent| match sent.line.as_str() {
        "POST /cold-stores" => {
            let mut shown = sent.body.clone();
            shown.as_object_mut().unwrap().remove("secret_key");
            (201, shown)
        }
        _ => good(sent),
    });
    let args = [
        "store",
        "cold",
        "add",
        "b",
        "--kind",
        "s3",
        "--bucket",
        "box",
        "--access-key",
        "AK",
        "--secret-key-stdin",
    ];
    let said = stub.run(&args, "top-secret\n");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(stub.sent("POST /cold-stores")[0].body["secret_key"], "top-secret");
    assert!(!said.out.contains("top-secret"));
    assert_eq!(
        stub.run(&[&args[..10], &["--secret-key", "x"]].concat(), "").code,
        2,
        "never in the arguments"
    );
}

#[test]
fn name_that_looks_like_a_path_reaches_no_other_resource() {
    let stub = Stub::logged_in(good);
    for name in ["s?x", "s#x", "s/", "../cold-stores/default", ".."] {
        assert_eq!(stub.run(&["share", "delete", name, "--yes"], "").code, 6, "{name}");
    }
    assert!(stub.sent("DELETE /shares/s").is_empty() && stub.sent("DELETE /cold-stores/default").is_empty());
}

#[test]
fn person_is_sent_as_it_was_asked() {
    let stub = Stub::logged_in(good);
    let run = |line: &str| {
        let said = stub.run(&line.split(' ').collect::<Vec<_>>(), "a long secret\n");
        assert_eq!(said.code, 0, "{line}: {said:?}");
        said.out
    };
    run(
        "user create bo --password-stdin --uid 1000 --gid 100 --groups a,b --group c --role operator --email b@x --full-name Bo",
    );
    let whole = json!({
        "name": "bo", "password": "a long secret", "full_name": "Bo", "email": "b@x", "role": "operator",
        "enabled": true, "must_change_password": true, "uid": 1000, "gid": 100, "groups": ["a", "b", "c"]
    });
    assert_eq!(stub.last("POST /users"), whole);
    run("user create --username bo --host-uid --password-stdin --disabled --keep-password");
    let sent = stub.last("POST /users");
    let own = rustix::process::getuid().as_raw();
    assert_eq!(
        (&sent["uid"], &sent["enabled"], &sent["must_change_password"]),
        (&json!(own), &json!(false), &json!(false))
    );
    run("user update bo --no-uid --add-group new --full-name Bob --enabled false");
    let change = json!({"full_name": "Bob", "enabled": false, "uid": null, "groups": ["staff", "new"]});
    assert_eq!(stub.last("PATCH /users/bo"), change, "what is not asked for is not sent");
    run("user edit bo --groups a,b --role admin");
    assert_eq!(stub.last("PATCH /users/bo"), json!({"role": "admin", "groups": ["a", "b"]}));
    run("user disable bo");
    assert_eq!(stub.last("PATCH /users/bo"), json!({"enabled": false}));
    run("user password bo --password-stdin --keep-password");
    assert_eq!(
        stub.last("POST /users/bo/password"),
        json!({"new_password": "a long secret", "must_change": false})
    );
    run("group create --name staff --gid 50 --member bo --description people");
    let group = json!({"name": "staff", "gid": 50, "description": "people", "members": ["bo"]});
    assert_eq!(stub.last("POST /groups"), group);
    run("group edit staff --no-gid");
    assert_eq!(stub.last("PATCH /groups/staff"), json!({"gid": null}));
    run("group add-user staff bo");
    assert_eq!(stub.last("POST /groups/staff/members"), json!({"user": "bo"}));
    let said = stub.run(&["user", "update", "bo", "--remove-group", "nobody"], "");
    assert_eq!((said.code, said.err.contains("staff")), (2, true), "{said:?}");
}

#[test]
fn permission_is_sent_to_its_holder_and_a_share_may_have_a_slash() {
    let stub = Stub::logged_in(good);
    stub.good("share permission grant /s --user bo --level read-write");
    assert_eq!(stub.last("PUT /shares/s/permissions/users/bo"), json!({"level": "read-write"}));
    stub.good("share permission grant s --group staff --level none");
    assert_eq!(stub.last("PUT /shares/s/permissions/groups/staff"), json!({"level": "none"}));
    stub.good("share permission revoke s --group staff");
    assert_eq!(stub.sent("DELETE /shares/s/permissions/groups/staff").len(), 1);
    let listed = stub.good("share permission list s");
    assert!(listed.contains("others") && listed.contains("read"), "the default is told too: {listed}");
    for wrong in
        [&["--level", "read"][..], &["--user", "a", "--group", "b", "--level", "read"], &["--user", "a"]]
    {
        assert_eq!(
            stub.run(&[&["share", "permission", "grant", "s"], wrong].concat(), "").code,
            2,
            "{wrong:?}"
        );
    }
    stub.good(
        "share create --name /s --default-permission none --manage-gids false --comment words --disabled",
    );
    let sent = stub.last("POST /shares");
    assert_eq!(sent["name"], "s");
    assert_eq!((&sent["default_permission"], &sent["manage_gids"]), (&json!("none"), &json!(false)));
    assert_eq!((&sent["comment"], &sent["enabled"]), (&json!("words"), &json!(false)));
}

#[test]
fn adapter_is_started_where_it_is_not_there_and_keeps_its_address() {
    let stub = Stub::logged_in(good);
    stub.good("adapter enable nfs --port 2049");
    assert_eq!(stub.last("PATCH /adapters/nfs"), json!({"enabled": true, "listen": "0.0.0.0:2049"}));
    stub.good("adapter edit nfs --listen [::]:2049");
    assert_eq!(stub.last("PATCH /adapters/nfs"), json!({"listen": "[::]:2049"}));
    stub.good(
        "adapter settings nfs update --block rename --idle-timeout 10m --request-memory 64MiB --dry-run",
    );
    let sent = stub.sent("PATCH /adapters/nfs/settings").pop().unwrap();
    assert_eq!(sent.query, "dry_run=true");
    let change = json!({"blocked_operations": ["rename"], "idle_timeout_seconds": 600, "request_memory_bytes": 64 << 20});
    assert_eq!(sent.body, change);
    stub.good("adapter settings nfs reset --dry-run");
    assert!(stub.sent("POST /adapters/nfs/settings/reset").is_empty(), "a dry run changes nothing");
    let said = stub.run(&["adapter", "enable", "smb"], "");
    assert_eq!((said.code, said.err.contains("SMB protocol")), (6, true), "{said:?}");
    let absent = Stub::logged_in(|sent: &Sent| match sent.line.as_str() {
        "GET /adapters/nfs" => crate::stub::problem(404, "not-found", "there is no adapter"),
        _ => good(sent),
    });
    absent.good("adapter enable nfs");
    assert_eq!(absent.last("POST /adapters"), json!({"kind": "nfs", "listen": null, "enabled": true}));
}

#[test]
fn store_may_be_told_by_options_or_json_in_either_spelling() {
    let stub = Stub::logged_in(good);
    stub.good("store payload add --name default --type memory");
    assert_eq!(stub.last("POST /cold-stores"), json!({"name": "default", "kind": "memory"}));
    stub.good("store metadata add --name default --type badger");
    assert_eq!(stub.last("POST /metadata-stores"), json!({"name": "default", "kind": "embedded"}));
    let config = r#"{"bucket":"b","region":"here","access_key_id":"AK","secret_access_key":"planted"}"#;
    let said =
        stub.run(&["store", "cold", "add", "x", "--type", "s3", "--config", config, "--region", "there"], "");
    assert_eq!((said.code, said.err.contains("warning")), (0, true), "{said:?}");
    assert!(!said.err.contains("planted"));
    let sent = stub.last("POST /cold-stores");
    assert_eq!(
        (&sent["bucket"], &sent["region"], &sent["access_key"]),
        (&json!("b"), &json!("there"), &json!("AK"))
    );
    for (args, word) in [
        (&["--type", "dir"][..], "--path"),
        (&["--type", "dir", "--bucket", "b"], "--kind s3"),
        (&["--type", "s3"], "--bucket"),
        (&["--type", "s3", "--config", "{"], "--config"),
        (&["--type", "s3", "--config", r#"{"bucket":"b","buckt":"c"}"#], "buckt"),
        (&["--type", "s3", "--config", r#"{"bucket":7}"#], "bucket"),
    ] {
        let said = stub.run(&[&["store", "cold", "add", "x"], args].concat(), "");
        assert_eq!((said.code, said.err.contains(word)), (2, true), "{args:?}: {said:?}");
    }
    let said = stub.run(&["store", "cold", "edit", "default", "--secret-key-stdin"], "planted\n");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(stub.last("PATCH /cold-stores/default"), json!({"secret_key": "planted"}));
    let said = stub.run(&["store", "metadata", "edit", "default"], "");
    assert_eq!((said.code, said.err.contains("nothing to change")), (5, true), "{said:?}");
}

#[test]
fn audit_is_asked_for_what_was_filtered_and_exported_as_it_comes() {
    const LINES: &str = "{\"id\":1}\n{\"id\":2}\n";
    let stub = Stub::logged_in(|sent: &Sent| match sent.headers.get("accept").map(String::as_str) {
        Some("application/x-ndjson") => {
            Answer { status: 200, headers: Vec::new(), body: LINES.as_bytes().to_vec() }
        }
        _ => good(sent).into(),
    });
    stub.good("audit list --user bo --action share --target a/b --since 2026-11-26 -n 7");
    let query = stub.sent("GET /audit").pop().unwrap().query;
    assert_eq!(query, "limit=7&since=1795651200000&user=bo&action=share&target=a%2Fb");
    assert_eq!(stub.good("audit export --since 1h"), LINES);
    let file = stub.home().join("audit.jsonl");
    let args = ["audit", "export", "--file", file.to_str().unwrap()];
    assert_eq!(stub.run(&args, "").code, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), LINES);
    let said = stub.run(&args, "");
    assert_eq!((said.code, said.err.contains("--force")), (2, true), "{said:?}");
    assert_eq!(stub.run(&["audit", "list", "--since", "yesterday"], "").code, 2);
}

#[test]
fn backup_is_private_never_over_another_and_comes_back_as_it_was() {
    let sealed: &[u8] = &[0, 159, 146, 150, b'\n', 255];
    let stub = Stub::logged_in(move |sent: &Sent| match sent.line.as_str() {
        "POST /backup" => Answer { status: 200, headers: Vec::new(), body: sealed.to_vec() },
        "POST /restore" if sent.query != "force=true" => {
            crate::stub::problem(409, "conflict", "the gateway has users and shares already").into()
        }
        "POST /restore" => (200, json!({"users": 3, "shares": 2, "restart_needed": true})).into(),
        _ => good(sent).into(),
    });
    let file = stub.home().join("backup");
    let path = file.to_str().unwrap();
    let take = ["backup", "controlplane", "--file", path, "--passphrase-stdin"];
    assert_eq!(stub.run(&take, "the phrase\n").code, 0);
    assert_eq!(stub.last("POST /backup"), json!({"passphrase": "the phrase"}));
    assert_eq!(std::fs::read(&file).unwrap(), sealed);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let asked = stub.sent("POST /backup").len();
    assert_eq!(stub.run(&take, "the phrase\n").code, 2, "never over another");
    assert_eq!(stub.sent("POST /backup").len(), asked, "and that is known before the gateway works");
    assert_eq!(stub.run(&[&take[..], &["--force"]].concat(), "the phrase\n").code, 0);
    for odd in [" the phrase", "the\tphrase"] {
        let said = stub.run(&[&take[..], &["--force"]].concat(), &format!("{odd}\n"));
        assert_eq!(
            (said.code, said.err.contains("blanks")),
            (2, true),
            "it could not be sent back: {said:?}"
        );
    }
    let bring = ["restore", "controlplane", "--input", path, "--passphrase-stdin"];
    let said = stub.run(&bring, "the phrase\n");
    assert_eq!((said.code, said.err.contains("already")), (10, true), "{said:?}");
    let said = stub.run(&[&bring[..], &["--force"]].concat(), "die Wörter\n");
    assert_eq!((said.code, said.out.contains("start the gateway again")), (0, true), "{said:?}");
    let sent = stub.sent("POST /restore").pop().unwrap();
    assert_eq!((sent.bytes.as_slice(), sent.headers["x-passphrase"].as_str()), (sealed, "die Wörter"));
}

#[test]
fn mount_is_the_command_that_the_gateway_needs() {
    let stub = Stub::logged_in(good);
    let options = "vers=3,proto=tcp,mountproto=tcp,port=12049,mountport=12049,nolock,hard";
    let shown = stub.good("share mount /s /mnt/a -p nfs --dry-run --option ro");
    assert_eq!(shown, format!("mount -t nfs -o {options},ro 127.0.0.1:/s /mnt/a\n"));
    let shown = stub.run(
        &["-o", "json", "share", "mount", "s", "/mnt/a b", "--port", "7", "--host", "g", "--dry-run"],
        "",
    );
    let command = shown.json()["command"].clone();
    assert_eq!((&command[5], &command[6]), (&json!("g:/s"), &json!("/mnt/a b")));
    let stranger = Stub::new(good);
    let said = stranger.run(&["share", "mount", "s", "/mnt", "--dry-run"], "");
    assert_eq!((said.code, said.err.contains("12049")), (0, true), "no login is needed: {said:?}");
    assert_eq!(stub.run(&["share", "mount", "s", "/mnt", "-p", "smb"], "").code, 2);
}
