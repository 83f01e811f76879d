//! `dfs doctor`: each finding on a machine where it is true.

use crate::bed::Bed;
use std::os::unix::fs::PermissionsExt;

/// The result of each check, the worst of those with one name.
fn results(bed: &Bed) -> (i32, Vec<(String, String, String)>) {
    let said = bed.dfs(&["doctor", "-o", "json"]);
    let checks: Vec<serde_json::Value> =
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let each =
        checks.iter().map(|check| (text(&check["check"]), text(&check["result"]), text(&check["message"])));
    for check in &checks {
        assert_eq!(check.get("fix").is_some(), check["result"] != "ok", "{check}");
    }
    (said.code, each.collect())
}

fn result(bed: &Bed, name: &str) -> String {
    let (_, all) = results(bed);
    let rank = |result: &str| ["ok", "warn", "fail"].iter().position(|word| *word == result);
    let found = all.iter().filter(|(check, ..)| check == name).map(|(_, result, _)| result.clone());
    found.max_by_key(|result| rank(result)).unwrap_or_else(|| panic!("no check '{name}' in {all:?}"))
}

#[test]
fn healthy_folder_fails_nothing_running_or_not_and_is_left_as_it_was() {
    let bed = Bed::made();
    let files = || bed.snapshot(&bed.data()).into_iter().filter(|(path, _)| !path.ends_with("control.redb"));
    let before: Vec<_> = files().collect();
    let (code, all) = results(&bed);
    assert_eq!(code, 0, "{all:?}");
    for name in [
        "configuration",
        "ports",
        "gateway",
        "data folder",
        "keys",
        "space",
        "file system",
        "sync",
        "clock",
        "time source",
        "open files",
        "memory",
    ] {
        assert!(all.iter().any(|(check, ..)| check == name), "no check '{name}' in {all:?}");
    }
    assert!(files().eq(before), "the doctor left something behind");
    let said = bed.dfs(&["doctor"]).works();
    assert!(said.out.contains("µs") && said.out.contains("none runs"), "{said:?}");
    let doors = bed.start();
    let said = bed.dfs(&["doctor"]).works();
    assert!(said.out.contains(&format!("pid {} serves", doors.pid)), "{said:?}");
}

#[test]
fn folder_that_others_may_write_fails() {
    let bed = Bed::made();
    std::fs::set_permissions(bed.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(result(&bed, "data folder"), "warn");
    std::fs::set_permissions(bed.data(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(result(&bed, "data folder"), "fail");
    bed.dfs(&["doctor"]).refuses(1, &["checks failed"]);
}

#[test]
fn port_of_another_program_fails() {
    let bed = Bed::made();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(result(&bed, "ports"), "ok");
    bed.configure(&format!("nfs: {{listen: '{}'}}", taken.local_addr().unwrap()));
    assert_eq!(result(&bed, "ports"), "fail");
}

#[test]
fn key_that_others_may_read_and_one_that_is_missing_fail() {
    let bed = Bed::made();
    let key = bed.data().join("token.key");
    assert_eq!(result(&bed, "keys"), "ok");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(result(&bed, "keys"), "fail");
    std::fs::remove_file(&key).unwrap();
    assert_eq!(result(&bed, "keys"), "fail");
}

#[test]
fn space_and_memory_that_are_not_there_fail() {
    let bed = Bed::made();
    bed.configure("journal: {size: 1PiB}\nmemory: {budget: 64TiB}");
    assert_eq!((result(&bed, "space"), result(&bed, "memory")), ("fail".to_owned(), "fail".to_owned()));
}

#[test]
fn configuration_that_is_wrong_or_missing_fails_in_one_line() {
    let bed = Bed::made();
    bed.configure("journal: {sise: 1}");
    assert_eq!(result(&bed, "configuration"), "fail");
    std::fs::remove_file(bed.config()).unwrap();
    assert_eq!(result(&bed, "configuration"), "fail");
}

#[test]
fn folder_in_memory_is_warned_of_where_there_is_one() {
    let Ok(temp) = tempfile::tempdir_in("/dev/shm") else { return };
    let bed = Bed::made();
    let data = temp.path().join("data");
    let args = ["init", "--force", "--data-dir", data.to_str().unwrap()];
    bed.dfs(&args).works();
    assert_eq!(result(&bed, "file system"), "warn");
}

#[test]
fn certificate_that_has_ended_fails() {
    let bed = Bed::made();
    let with = |from: i32, until: i32| {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let (cert_file, key_file) = (bed.path("tls.crt"), bed.path("tls.key"));
        std::fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        bed.configure(&format!(
            "control: {{listen: 127.0.0.1:0, tls: {{cert: {cert_file:?}, key: {key_file:?}}}}}"
        ));
        result(&bed, "control.tls")
    };
    assert_eq!(with(2020, 2021), "fail");
    assert_eq!(with(2090, 2099), "fail");
    assert_eq!(with(2020, 2099), "ok");
}

#[test]
fn cold_store_that_is_away_fails_of_a_running_gateway_and_of_a_stopped_one() {
    let bed = Bed::made();
    let doors = bed.start();
    bed.share(&bed.admin(&doors));
    assert_eq!(result(&bed, "cold store packs"), "ok");
    bed.dfs(&["stop"]).works();
    assert_eq!(result(&bed, "cold store packs"), "ok");
    std::fs::rename(bed.path("cold"), bed.path("away")).unwrap();
    assert_eq!(result(&bed, "cold store packs"), "fail");
}

#[test]
fn database_that_does_not_answer_fails() {
    let bed = Bed::made();
    bed.configure("metadata: {postgres: {url: 'postgres://u@127.0.0.1:1/d', tls: off}}");
    assert_eq!(result(&bed, "metadata.postgres"), "fail");
}
