//! The real `dfsctl` against a stub of the control plane: exit codes, forms of output, what is remembered and what is sent.
//!
//! The stub answers by method and path and keeps what it was sent; the real gateway is driven by the whole-system tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const PASSWORD: &str = "a long password";

/// One request as it came.
#[derive(Clone, Debug)]
struct Sent {
    /// Method and path.
    line: String,
    token: Option<String>,
    body: Value,
}

type Answers = fn(&Sent) -> (u16, Value);

/// A control plane with canned answers.
struct Stub {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    home: tempfile::TempDir,
}

impl Stub {
    fn new(answers: Answers) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = sent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, answers, &kept));
            }
        });
        Stub { address, sent, home: tempfile::tempdir().unwrap() }
    }

    fn run(&self, args: &[&str], stdin: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfsctl"));
        command.args(args).env("DFSCTL_SERVER", format!("http://{}", self.address));
        command
            .env("DFSCTL_HOME", self.home.path().join("ctl"))
            .env_remove("DFSCTL_TOKEN")
            .env_remove("DFSCTL_SECRET_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input ends first; that is its answer.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn logged_in(answers: Answers) -> Stub {
        let stub = Stub::new(answers);
        let said = stub.run(&["login", "--password-stdin"], &format!("{PASSWORD}\n"));
        assert_eq!(said.code, 0, "{said:?}");
        stub
    }

    fn sent(&self, line: &str) -> Vec<Sent> {
        self.sent.lock().unwrap().iter().filter(|sent| sent.line == line).cloned().collect()
    }
}

#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn serve(stream: TcpStream, answers: Answers, kept: &Mutex<Vec<Sent>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length, mut token) = (String::new(), 0, None);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "authorization" => token = Some(value.trim().trim_start_matches("Bearer ").to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        // As a router does: the query is no part of the resource's name.
        let line =
            first.rsplit_once(" HTTP").unwrap().0.split('?').next().unwrap().replacen("/api/v1", "", 1);
        let sent = Sent { line, token, body: serde_json::from_slice(&body).unwrap_or(Value::Null) };
        kept.lock().unwrap().push(sent.clone());
        let (status, answer) = answers(&sent);
        let answer = if answer.is_null() { String::new() } else { answer.to_string() };
        let text = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> (u16, Value) {
    (status, json!({"status": status, "type": kind, "detail": detail}))
}

fn tokens(access: &str, must_change: bool) -> Value {
    json!({"access_token": access, "refresh_token": "refresh-1", "expires_in": 900, "must_change_password": must_change})
}

fn share() -> Value {
    json!({
        "name": "s", "metadata": "default", "cold": "default", "durability": "local", "compression": "lz4",
        "block_size": 262_144, "clients": ["127.0.0.1"], "squash": "none", "anon_uid": 65_534, "anon_gid": 65_534,
        "read_only": false, "capacity": 1u64 << 40, "root_mode": 493, "root_uid": 0, "root_gid": 0, "id": "0123",
        "state": "serving", "epoch": 3, "used_bytes": 1_610_612_736u64, "inodes": 42, "promise": "survives a power cut"
    })
}

fn quotas() -> Value {
    json!([
        {"subject": "share", "limits": null, "used_bytes": 3u64 << 30, "used_inodes": 42},
        {
            "subject": {"user": 1000},
            "limits": {"bytes": {"hard": 2u64 << 30}, "inodes": {"soft": 10, "hard": 20}, "grace_seconds": 604_800},
            "used_bytes": 1u64 << 30, "used_inodes": 7
        }
    ])
}

fn recycled() -> Value {
    json!({
        "inode": 1033, "name": "report.txt", "directory": 1024, "removed_at": 1_795_676_017, "removed_by": 1000,
        "bytes": 5 << 20
    })
}

fn netgroup() -> Value {
    json!({"name": "build", "members": ["192.0.2.0/24", "ci.example.org"], "shares": ["s"]})
}

/// A gateway where everything works.
fn good(sent: &Sent) -> (u16, Value) {
    match sent.line.as_str() {
        "POST /auth/login" if sent.body["password"] == PASSWORD => (200, tokens("access-1", false)),
        "POST /auth/login" => problem(401, "wrong-login", "the user name or the password is wrong"),
        "GET /health" => {
            (200, json!({"status": "ok", "version": "1", "uptime_seconds": 5, "pid": 7, "shares": 1}))
        }
        _ if sent.token.as_deref() != Some("access-1") => problem(401, "unauthorized", "a token is needed"),
        "GET /auth/me" => (200, json!({"username": "admin", "role": "admin", "must_change_password": false})),
        "GET /shares" => (200, json!([share()])),
        "POST /shares" => (201, share()),
        "GET /shares/s" => (200, share()),
        "PATCH /shares/s" => (200, share()),
        "DELETE /shares/s" => (204, Value::Null),
        "GET /shares/s/quotas" | "PUT /shares/s/quotas" => (200, quotas()),
        "GET /shares/s/recycled" | "POST /shares/s/recycled/restore" => (200, json!([recycled()])),
        "POST /shares/s/recycled/empty" => (200, json!({"removed": 3})),
        "GET /netgroups" => (200, json!([netgroup()])),
        "POST /netgroups" => (201, netgroup()),
        "GET /netgroups/build" | "POST /netgroups/build/members" => (200, netgroup()),
        "DELETE /netgroups/build" | "DELETE /netgroups/build/members/192.0.2.0%2F24" => (204, Value::Null),
        "GET /metadata-stores" => {
            (200, json!([{"name": "default", "kind": "embedded", "health": "up", "shares": ["s"]}]))
        }
        "GET /cold-stores" => (
            200,
            json!([{"name": "default", "kind": "dir", "path": "/packs", "health": "up", "shares": ["s"]}]),
        ),
        "POST /metadata-stores" | "POST /cold-stores" => (201, sent.body.clone()),
        "POST /tier/flush" => (202, json!({"id": 1, "what": "flush s", "state": "running"})),
        "GET /jobs/1" => {
            (200, json!({"id": 1, "what": "flush s", "state": "failed", "error": "the bucket is gone"}))
        }
        "DELETE /cold-stores/used" => problem(409, "conflict", "cold store 'used' is used by s"),
        "GET /tier/status" => (
            200,
            json!({
                "occupancy": 0.5, "journal_bytes": 1 << 30, "hot_bytes": 0, "hot_hits": 0, "hot_misses": 0, "warm_bytes": 0,
                "warm_hits": 0, "warm_misses": 0, "cache_drops": 0, "shares": []
            }),
        ),
        _ => problem(404, "not-found", "there is nothing"),
    }
}

#[test]
fn login_is_remembered_for_its_owner_only_and_tells_no_token() {
    let stub = Stub::logged_in(good);
    let path = stub.home.path().join("ctl/login.json");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = stub.run(&["-o", "json", "login", "--password-stdin"], &format!("{PASSWORD}\n"));
    assert_eq!(mode(&path), 0o600, "a second login protects the file again");
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap()["username"], "admin");
    assert!(!said.out.contains("access-1") && !said.out.contains(PASSWORD), "{said:?}");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
    let remembered = std::fs::read_to_string(&path).unwrap();
    assert!(!remembered.contains(PASSWORD) && remembered.contains("access-1"));
}

#[test]
fn login_takes_no_password_from_the_command_line() {
    let stub = Stub::new(good);
    assert_eq!(stub.run(&["login", "--password", PASSWORD], "").code, 2);
    let said = stub.run(&["login"], "");
    assert_eq!((said.code, said.err.contains("--password-stdin")), (2, true), "{said:?}");
    assert_eq!(stub.run(&["login", "--password-stdin"], "").code, 2, "no line at all");
    assert!(stub.sent.lock().unwrap().is_empty());
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
    assert!(std::fs::read_to_string(stub.home.path().join("ctl/login.json")).unwrap().contains("late"));
    assert_eq!(stub.run(&["login", "--password-stdin"], "first\n").code, 2, "no new password was given");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let stub = Stub::new(good);
    assert_eq!(stub.run(&["share", "list"], "").code, 4, "not logged in");
    let said = stub.run(&["login", "--password-stdin"], "wrong\n");
    assert_eq!((said.code, said.err.contains("password is wrong")), (5, true), "{said:?}");
    let stub = Stub::logged_in(good);
    for (code, args, word) in [
        (0, &["share", "show", "s"][..], ""),
        (2, &["share", "delete", "s"], "--yes"),
        (2, &["share", "create", "s", "--block-size", "many"], "--block-size"),
        (2, &["share", "create", "s", "--root-mode", "789"], "octal"),
        (2, &["store", "cold", "add", "x", "--kind", "dir"], "--path"),
        (2, &["share", "set", "s"], "--client"),
        (2, &["share", "set", "s", "--remove-client", "10.1.1.1"], "10.1.1.1"),
        (2, &["share", "set", "s", "--block", "delete"], "set_attr"),
        (2, &["quota", "set", "s", "share"], "--bytes-hard"),
        (2, &["quota", "set", "s", "user:me", "--bytes-hard", "1GiB"], "'me'"),
        (2, &["quota", "set", "s", "share", "--bytes-soft", "2GiB", "--bytes-hard", "1GiB"], "--bytes-soft"),
        (2, &["recycle", "empty", "s"], "--yes"),
        (2, &["recycle", "policy", "s", "--off", "--keep-days", "3"], "--off"),
        (2, &["frobnicate"], "frobnicate"),
        (5, &["store", "cold", "remove", "used"], "used by s"),
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
fn every_listing_is_a_table_and_json_and_yaml() {
    let stub = Stub::logged_in(good);
    for args in [
        &["share", "list"][..],
        &["share", "show", "s"],
        &["share", "create", "s"],
        &["share", "set", "s", "--read-only", "true"],
        &["share", "delete", "s", "--yes"],
        &["quota", "list", "s"],
        &["quota", "set", "s", "user:1000", "--bytes-hard", "2GiB"],
        &["quota", "remove", "s", "every-group"],
        &["recycle", "list", "s"],
        &["recycle", "restore", "s", "1033"],
        &["recycle", "empty", "s", "--yes"],
        &["recycle", "policy", "s"],
        &["netgroup", "list"],
        &["netgroup", "show", "build"],
        &["netgroup", "create", "build", "--member", "192.0.2.0/24"],
        &["netgroup", "add-member", "build", "ci.example.org"],
        &["netgroup", "remove-member", "build", "192.0.2.0/24"],
        &["netgroup", "delete", "build"],
        &["store", "metadata", "list"],
        &["store", "metadata", "add", "x"],
        &["store", "cold", "list"],
        &["tier", "status"],
        &["tier", "flush"],
        &["status"],
        &["version"],
    ] {
        let say = |form: &[&str]| {
            let said = stub.run(&[form, args].concat(), "");
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
    let run = |line: &str| {
        let said = stub.run(&line.split(' ').collect::<Vec<_>>(), "");
        assert_eq!(said.code, 0, "{line}: {said:?}");
        said.out
    };
    let last = |line: &str| stub.sent(line).last().unwrap().body.clone();
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
    let stub = Stub::logged_in(|sent| match sent.line.as_str() {
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

/// A gateway with one share that is fine and dirty, and one that is not open.
fn troubled(sent: &Sent) -> (u16, Value) {
    if sent.line != "GET /tier/status" {
        return good(sent);
    }
    let fine = json!({
        "share": "projects", "state": "serving", "durability": "local", "dirty_bytes": 3 << 20, "dirty_inodes": 7,
        "at_risk": [
            {"older_than_seconds": 0, "bytes": 1 << 20, "files": 4},
            {"older_than_seconds": 60, "bytes": 0, "files": 0},
            {"older_than_seconds": 3600, "bytes": 2 << 20, "files": 3},
        ],
        "oldest_undurable_seconds": 0.4, "oldest_unplaced_seconds": 7300.0,
        "held": ["/a/rotten (inode 1033): log segment 00000003.log is damaged at byte 4096"],
        "uploads_in_flight": 2, "uploaded_bytes": 5 << 30, "uploads": 320,
        "blocks_hot": 70, "blocks_warm": 20, "blocks_cold": 10,
        "cold": "connection refused", "cold_down_seconds": 7200.0, "a field of a newer server": 1
    });
    let failed = json!({
        "share": "media", "state": "failed: the journal is damaged (put it right, then `dfsctl share open media`)",
        "durability": "relaxed", "cold": "up"
    });
    let status = json!({
        "occupancy": 0.625, "journal_bytes": 8u64 << 30, "drain_bytes_per_second": 50 << 20, "hot_bytes": 1 << 20,
        "hot_capacity_bytes": 256 << 20, "hot_hits": 3, "hot_misses": 1, "warm_bytes": 100u64 << 30,
        "warm_allocated_bytes": 100u64 << 30, "warm_hits": 0, "warm_misses": 0, "cache_drops": 2,
        "shares": [failed, fine]
    });
    (200, status)
}

#[test]
fn tier_status_tells_what_is_only_here_what_a_power_cut_loses_and_what_is_wrong() {
    let stub = Stub::logged_in(troubled);
    let said = stub.run(&["tier", "status"], "");
    assert_eq!(said.code, 0, "{said:?}");
    for words in [
        "projects  serving  local       3.0 MiB    7      2.0 h   the last 0.4 s",
        "90.0 %",
        "media     failed   relaxed",
        "journal  62.5 % of 8.0 GiB in use, drains 50.0 MiB a second",
        "hot      1.0 MiB of 256.0 MiB, 75.0 % of look-ups hit",
        "warm     100.0 GiB (100.0 GiB on disk), - of look-ups hit, 2 blocks dropped",
        "at risk  projects: 1.0 MiB in 4 files new, 2.0 MiB in 3 files over 60 min",
        "!        media: failed: the journal is damaged (put it right, then `dfsctl share open media`)",
        "!        projects: cold store down for 2.0 h: connection refused",
        "!        projects: not flushed: /a/rotten (inode 1033): log segment 00000003.log is damaged at byte 4096",
    ] {
        assert!(said.out.contains(words), "'{words}' is not in:\n{}", said.out);
    }
    let said = stub.run(&["-o", "json", "tier", "status"], "");
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(whole["shares"][1]["at_risk"][2]["bytes"], 2 << 20);
    let said = stub.run(&["-o", "yaml", "tier", "status"], "");
    assert!(said.out.contains("occupancy: 0.625") && said.out.contains("dirty_bytes: 3145728"), "{said:?}");
}

#[test]
fn share_open_asks_for_another_try_and_tells_the_state() {
    fn answers(sent: &Sent) -> (u16, Value) {
        match sent.line.as_str() {
            "POST /shares/broken/open" => {
                problem(500, "internal", "share 'broken' cannot be opened: damaged")
            }
            _ => good(sent),
        }
    }
    let stub = Stub::logged_in(answers);
    let said = stub.run(&["share", "open", "broken"], "");
    assert_eq!((said.code, said.err.contains("damaged")), (5, true), "{said:?}");
    assert_eq!(stub.sent("POST /shares/broken/open").len(), 1);
}
