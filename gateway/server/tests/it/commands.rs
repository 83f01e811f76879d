//! The commands of `dfs` and their exit codes.

use crate::bed::{Bed, PASSWORD};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn init_then_start_status_stop_each_say_so_and_end_with_zero() {
    let bed = Bed::made();
    let doors = bed.start();
    let said = bed.dfs(&["status"]).works();
    assert!(said.out.contains("ok") && said.out.contains(&doors.nfs.to_string()), "{said:?}");
    let said = bed.dfs(&["status", "-o", "json"]).works();
    let health: dfs_api::Health = serde_json::from_str(&said.out).unwrap();
    assert_eq!((health.pid, health.shares), (doors.pid as u32, 0));
    bed.dfs(&["stop"]).works();
    bed.dfs(&["status"]).refuses(3, &["no gateway runs"]);
    bed.dfs(&["stop"]).refuses(3, &["no gateway runs"]);
}

#[test]
fn memory_is_taken_in_plain_pages() {
    let bed = Bed::made();
    let doors = bed.start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", doors.pid)).unwrap();
    // Kernels before 5.0 do not tell.
    if let Some(told) = status.lines().find_map(|line| line.strip_prefix("THP_enabled:")) {
        assert_eq!(told.trim(), "0");
    }
}

#[test]
fn version_needs_no_configuration() {
    let said = Bed::empty().dfs(&["version"]).works();
    assert_eq!(said.out.trim(), format!("dfs {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_that_is_wrong_ends_with_two() {
    let bed = Bed::empty();
    for args in [&["strat"][..], &["start", "--forground"], &[], &["status", "-o", "xml"]] {
        assert_eq!(bed.dfs(args).code, 2, "{args:?}");
    }
    bed.dfs(&["start"]).refuses(2, &["config.yaml", "dfs init"]);
}

#[test]
fn init_again_is_refused_and_with_force_keeps_administrator_and_key() {
    let bed = Bed::made();
    let (key, config) =
        (std::fs::read(bed.data().join("token.key")).unwrap(), std::fs::read(bed.config()).unwrap());
    bed.init("another long password").refuses(2, &["exists", "--force"]);
    assert_eq!(std::fs::read(bed.config()).unwrap(), config);
    let data = bed.data();
    let said = bed.dfs(&["init", "--force", "--data-dir", data.to_str().unwrap()]).works();
    assert!(said.out.contains("already there: admin"), "{said:?}");
    assert_eq!(std::fs::read(data.join("token.key")).unwrap(), key);
    bed.configure("");
    let doors = bed.start();
    bed.admin(&doors);
}

#[test]
fn init_protects_folder_key_and_database() {
    let bed = Bed::made();
    let mode = |name: &str| std::fs::metadata(bed.data().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("."), mode("token.key"), mode("control.redb")), (0o700, 0o600, 0o600));
}

#[test]
fn init_never_prints_a_password_that_is_not_read_from_a_terminal() {
    let bed = Bed::empty();
    let data = bed.data();
    let said = bed.dfs(&["init", "--data-dir", data.to_str().unwrap()]).works();
    let file = data.join("admin-password");
    let password = std::fs::read_to_string(&file).unwrap();
    assert!(password.trim().len() >= 16, "a made-up password of {} letters", password.trim().len());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!said.out.contains(password.trim()) && !said.err.contains(password.trim()));
    assert!(said.out.contains("admin-password"), "{said:?}");
}

#[test]
fn init_with_a_short_password_is_refused() {
    let bed = Bed::empty();
    bed.init("short").refuses(2, &["password", "8"]);
    bed.init(PASSWORD).works();
}

#[test]
fn init_on_a_folder_with_other_files_is_refused_and_changes_nothing() {
    let bed = Bed::empty();
    let data = bed.data();
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(data.join("thesis.txt"), "mine").unwrap();
    bed.init(PASSWORD).refuses(5, &["thesis.txt", "--data-dir"]);
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(bed.snapshot(&data).len(), 1);
}

#[test]
fn init_while_a_gateway_runs_is_refused() {
    let bed = Bed::made();
    let doors = bed.start();
    let data = bed.data();
    let said = bed.dfs(&["init", "--force", "--data-dir", data.to_str().unwrap()]);
    said.refuses(4, &["another gateway", &doors.pid.to_string()]);
}

#[test]
fn pid_file_is_written_and_removed() {
    let bed = Bed::made();
    let pid_file = bed.path("dfs.pid");
    bed.dfs(&["start", "--pid-file", pid_file.to_str().unwrap()]).works();
    let doors = bed.doors().unwrap();
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), doors.pid.to_string());
    bed.dfs(&["stop"]).works();
    assert!(!pid_file.exists() && bed.doors().is_none());
}

#[test]
fn foreground_logs_to_standard_error_and_ends_with_zero_on_a_signal() {
    let bed = Bed::made();
    bed.configure("logging: {format: json}\njournal: {size: 64MiB}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfs"));
    command.arg("--config").arg(bed.config()).args(["start", "--foreground"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let doors = loop {
        match bed.doors() {
            Some(doors) => break doors,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(doors.pid as u32, child.id());
    bed.dfs(&["stop"]).works();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["message"].is_string() && event["level"].is_string(), "{line}");
    }
    assert!(text.contains("the gateway serves") && text.contains("stopped"), "{text}");
}
