//! What `dfsctl tier status` tells, and jobs.

use crate::gateway::good;
use crate::stub::{Sent, Stub, problem};
use serde_json::{Value, json};

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
