//! What an operator may get wrong: a sentence that says what to do, an exit code, and nothing touched.

use crate::bed::{Bed, PASSWORD};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn unknown_key_is_refused_and_the_nearest_known_one_named() {
    let bed = Bed::made();
    for (text, unknown, near) in [
        ("jurnal: {size: 1GiB}", "jurnal", "journal"),
        ("journal: {sise: 1GiB}", "sise", "size"),
        ("nfs: {listen: 127.0.0.1:0, max_conections: 7}", "max_conections", "max_connections"),
    ] {
        bed.configure(text);
        let before = bed.snapshot(&bed.data());
        for args in [&["start"][..], &["start", "--foreground"], &["status"], &["stop"]] {
            bed.dfs(args).refuses(2, &["config.yaml", unknown, &format!("did you mean '{near}'")]);
        }
        assert_eq!(bed.snapshot(&bed.data()), before);
    }
}

#[test]
fn values_that_are_wrong_name_the_key_and_what_is_accepted() {
    let bed = Bed::made();
    for (text, words) in [
        ("journal: {size: big}", &["big", "512MiB"][..]),
        ("flush: {after: 30}", &["30", "30s"]),
        ("nfs: {listen: everywhere}", &["listen"]),
        ("control: {listen: 0.0.0.0:0}", &["control.listen", "insecure_listen"]),
        ("metrics: {listen: 0.0.0.0:0}", &["metrics.listen", "insecure_listen"]),
        ("logging: {level: lound}", &["logging.level", "lound"]),
        ("journal: {size: 1MiB, segment: 1MiB}", &["journal.size"]),
        ("journal: [", &["config.yaml"]),
    ] {
        bed.configure(text);
        bed.dfs(&["start"]).refuses(2, words);
    }
    std::fs::write(bed.config(), "nfs: {listen: 127.0.0.1:0}\n").unwrap();
    bed.dfs(&["start"]).refuses(2, &["data_dir is missing"]);
}

#[test]
fn port_in_use_is_named_with_its_setting_before_anything_is_opened() {
    let bed = Bed::made();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (section, more) in [("nfs", ""), ("control", ""), ("metrics", ""), ("portmap", "enabled: true, ")] {
        bed.configure(&format!("{section}: {{{more}listen: 127.0.0.1:{port}}}"));
        let said = bed.dfs(&["start"]);
        said.refuses(4, &[&port, "in use", &format!("{section}.listen")]);
        assert!(!bed.data().join("journal").exists(), "the data folder was opened");
    }
}

#[test]
fn second_gateway_on_the_folder_is_refused_and_the_first_serves_on() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let mut mounted = bed.mounted(&doors);
    mounted.write("file", b"bytes");
    bed.dfs(&["start"]).refuses(4, &[&doors.pid.to_string(), "dfs stop"]);
    bed.dfs(&["start", "--foreground"]).refuses(4, &["another gateway", &doors.pid.to_string()]);
    assert_eq!(mounted.read("file").unwrap(), b"bytes");
    assert_eq!(bed.block(client.health()).unwrap().status, "ok");
    assert_eq!(bed.doors().unwrap().pid, doors.pid);
}

#[test]
fn data_folder_that_is_missing_is_not_made_by_start() {
    let bed = Bed::made();
    std::fs::rename(bed.data(), bed.path("elsewhere")).unwrap();
    bed.dfs(&["start", "--foreground"]).refuses(5, &["does not exist", "dfs init", "mount"]);
    bed.dfs(&["start"]).refuses(5, &["data folder"]);
    assert!(!bed.data().exists());
    std::fs::write(bed.data(), "a file").unwrap();
    bed.dfs(&["start", "--foreground"]).refuses(5, &["data folder"]);
}

#[test]
fn data_folder_that_cannot_be_written_is_refused() {
    let bed = Bed::made();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    open(bed.path("").as_path(), 0o755);
    open(&bed.data(), 0o555);
    open(&bed.config(), 0o644);
    let program = bed.path("dfs");
    std::fs::copy(env!("CARGO_BIN_EXE_dfs"), &program).unwrap();
    let before = bed.snapshot(&bed.data());
    for args in [&["start"][..], &["start", "--foreground"]] {
        let mut command = Command::new(&program);
        command.arg("--config").arg(bed.config()).args(args);
        if rustix::process::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        bed.run(&mut command, "").refuses(5, &["data folder", bed.data().to_str().unwrap()]);
    }
    open(&bed.data(), 0o700);
    assert_eq!(bed.snapshot(&bed.data()), before);
    let file = bed.path("file");
    std::fs::write(&file, "").unwrap();
    let mut command = Command::new(&program);
    let inside = file.join("data");
    command.arg("--config").arg(bed.path("new.yaml")).args([
        "init",
        "--data-dir",
        inside.to_str().unwrap(),
        "--admin-password-stdin",
    ]);
    bed.run(&mut command, PASSWORD).refuses(5, &["data folder", inside.to_str().unwrap()]);
    assert!(!bed.path("new.yaml").exists());
}

#[test]
fn journal_that_does_not_fit_the_disk_is_refused() {
    let bed = Bed::made();
    let disk = rustix::fs::statvfs(bed.path("")).unwrap();
    let gib = (disk.f_bavail * disk.f_frsize).div_ceil(1 << 30) + 64;
    bed.configure(&format!("journal: {{size: {gib}GiB, segment: 256MiB}}"));
    bed.dfs(&["start"]).refuses(5, &["journal", "does not fit the disk", "free some space", "journal.size"]);
    let journal: Vec<_> = std::fs::read_dir(bed.data().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(journal.iter().all(|name| name == "lock"), "{journal:?}");
    bed.configure("journal: {size: 64MiB}");
    bed.start();
}

#[test]
fn token_key_that_is_cut_short_is_refused() {
    let bed = Bed::made();
    let path = bed.data().join("token.key");
    let key = std::fs::read(&path).unwrap();
    for bad in [&b""[..], &key[..31]] {
        std::fs::write(&path, bad).unwrap();
        bed.dfs(&["start"]).refuses(5, &["token.key", "dfs init"]);
    }
    std::fs::remove_file(&path).unwrap();
    bed.dfs(&["start"]).refuses(5, &["token.key", "dfs init"]);
    std::fs::write(&path, key).unwrap();
    bed.start();
}
