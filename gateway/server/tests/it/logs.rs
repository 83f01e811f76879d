//! The log: kept in bounds, followed, read back, opened again, never in the way.

use crate::bed::{Bed, http};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Makes the gateway log: each hangup is told.
fn provoke(bed: &Bed, times: usize) {
    let pid = Pid::from_raw(bed.doors().unwrap().pid).unwrap();
    for _ in 0..times {
        let before = bed.log().len();
        kill_process(pid, Signal::HUP).unwrap();
        // A hangup is told in the log; the next one counts only once this one was seen.
        while bed.log().len() == before && bed.doors().is_some() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn log_of_a_running_gateway_is_put_aside_by_size_and_read_back_whole() {
    let bed = Bed::made();
    bed.configure("journal: {size: 64MiB}\nlogging: {rotate_bytes: 1KiB, keep_files: 3}");
    bed.start();
    provoke(&bed, 60);
    let aside = |number: usize| bed.data().join(format!("dfs.log.{number}"));
    assert!(aside(1).exists() && aside(3).exists() && !aside(4).exists());
    for number in 1..=3 {
        assert!(std::fs::metadata(aside(number)).unwrap().len() <= 1024);
    }
    let files: String = (1..=3).rev().map(|number| std::fs::read_to_string(aside(number)).unwrap()).collect();
    let said = bed.dfs(&["logs", "-n", "1000"]).works();
    assert!(said.out.starts_with(&files) && said.out.ends_with(&bed.log()), "{said:?}");
    assert_eq!(bed.dfs(&["logs", "-n", "7"]).works().out.lines().count(), 7);
    bed.dfs(&["stop"]).works();
    assert!(bed.dfs(&["logs", "-n", "2"]).works().out.contains("stopped"));
}

#[test]
fn log_is_followed_over_rotation() {
    let bed = Bed::made();
    bed.configure("journal: {size: 64MiB}\nlogging: {rotate_bytes: 1KiB, keep_files: 9, format: json}");
    bed.start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfs"));
    command.arg("--config").arg(bed.config()).args(["logs", "-f", "-n", "1"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The last line of before: from here on every line must come, each once and in order.
    let first = lines.next().unwrap().unwrap();
    let reader = std::thread::spawn(move || {
        let mut came = vec![first];
        for line in lines.map_while(Result::ok) {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            came.push(line);
            if event["message"] == "stopped" {
                break;
            }
        }
        came
    });
    provoke(&bed, 40);
    bed.dfs(&["stop"]).works();
    let came = reader.join().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let written = bed.dfs(&["logs", "-n", "10000"]).works().out;
    let written: Vec<&str> = written.lines().collect();
    assert!(bed.data().join("dfs.log.2").exists(), "there was no rotation");
    assert!(came.len() > 40, "{} lines came", came.len());
    assert!(
        written.ends_with(&came.iter().map(String::as_str).collect::<Vec<_>>()),
        "{came:?}\nof\n{written:?}"
    );
}

#[test]
fn lines_since_a_moment_are_shown() {
    let bed = Bed::made();
    bed.start();
    let first = bed.log().lines().next().unwrap().split(' ').next().unwrap().to_owned();
    let all = bed.log();
    assert_eq!(bed.dfs(&["logs", "--since", &first]).works().out, all);
    assert_eq!(bed.dfs(&["logs", "--since", "1h"]).works().out, all);
    assert_eq!(bed.dfs(&["logs", "--since", "2999-01-01T00:00:00Z"]).works().out, "");
    assert_eq!(bed.dfs(&["logs", "--since", "1h", "-n", "1"]).works().out.lines().count(), 1);
    bed.dfs(&["logs", "--since", "yesterday"]).refuses(2, &[]);
}

#[test]
fn log_that_is_not_there_is_told() {
    let bed = Bed::made();
    bed.dfs(&["logs"]).refuses(1, &["dfs.log", "--file"]);
    bed.dfs(&["logs", "--file", "/no/such/log"]).refuses(1, &["/no/such/log"]);
}

#[test]
fn log_on_a_full_disk_does_not_keep_the_gateway_from_serving() {
    let bed = Bed::made();
    let log = bed.path("full.log");
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    bed.dfs(&["start", "--log-file", log.to_str().unwrap()]).works();
    let doors = bed.doors().unwrap();
    bed.admin(&doors);
    let numbers = http(doors.metrics, "GET", "/metrics", None, "").1;
    let lost = numbers.lines().find_map(|line| line.strip_prefix("dfs_server_log_lines_dropped_total "));
    assert!(lost.unwrap().parse::<f64>().unwrap() > 0.0, "{numbers}");
    // There is room again: what was lost is told.
    std::fs::remove_file(&log).unwrap();
    kill_process(Pid::from_raw(doors.pid).unwrap(), Signal::HUP).unwrap();
    loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if text.contains("lines of this log were lost") && text.contains("opened again") {
            break;
        }
        std::thread::yield_now();
    }
    bed.dfs(&["stop"]).works();
}
