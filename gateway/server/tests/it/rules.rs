//! A share's rules: shown as they were given, and acted on over NFS, also after a restart.

use crate::bed::{Bed, share_config};
use dfs_api::{AclMode, Client, Operation, Recycle, ShareConfig, ShareRules, ShareStatus};
use dfs_nfs::client::Pipe;
use dfs_nfs::wire::{CreateArgs, CreateHow, DirOp, FileName, SetAttributes, Status, nfs3};
use serde_json::json;
use std::net::SocketAddr;

fn rules() -> ShareRules {
    ShareRules {
        acl_mode: AclMode::Discard,
        blocked_operations: vec![Operation::Rename, Operation::SetAttr],
        quotas: true,
        recycle: Some(Recycle { keep_days: 3, bytes_max: 1 << 30 }),
        ..ShareRules::default()
    }
}

/// Makes and removes a file; answers the statuses of a blocked operation and of the bin's look-up.
fn tried(bed: &Bed, nfs: SocketAddr, xid: u32) -> (Status, Status) {
    bed.block(async {
        let mut pipe = Pipe::connect_as(nfs, 0, 0, xid).await.unwrap();
        let root = pipe.mount("/s").await.unwrap();
        let place = |name: &str| DirOp { dir: root.clone(), name: FileName::from(name) };
        let how = CreateHow::Guarded(SetAttributes::default());
        pipe.call::<nfs3::Create>(&CreateArgs { place: place("f"), how }).await.unwrap().ok().unwrap();
        let moved = dfs_nfs::wire::RenameArgs { from: place("f"), to: place("g") };
        let blocked = pipe.call::<nfs3::Rename>(&moved).await.unwrap().status();
        pipe.call::<nfs3::Remove>(&place("f")).await.unwrap().ok().unwrap();
        (blocked, pipe.call::<nfs3::Lookup>(&place(".recycle")).await.unwrap().status())
    })
}

#[test]
fn rules_of_a_share_are_shown_and_acted_on() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    let config = ShareConfig { rules: rules(), ..share_config("s") };
    let made: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    assert_eq!(made.config.rules, rules());
    assert_eq!(tried(&bed, doors.nfs, 0x51 << 20), (Status::Acces, Status::Ok));
    bed.dfs(&["stop"]).works();
    let doors = bed.start();
    let client: Client = bed.admin(&doors);
    let found: ShareStatus = bed.block(client.get("/shares/s")).unwrap();
    assert_eq!(found.config.rules, rules());
    assert_eq!(tried(&bed, doors.nfs, 0x52 << 20), (Status::Acces, Status::Ok));
}

#[test]
fn unknown_rule_is_refused_by_its_name() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    for (rules, word) in [
        (json!({"blocked_operations": ["delete"]}), "delete"),
        (json!({"acl_mode": "mask"}), "mask"),
        (json!({"retention": 3}), "retention"),
        (json!({"recycle": {"keep_days": 3}}), "bytes_max"),
    ] {
        let mut config = serde_json::to_value(share_config("s")).unwrap();
        config["rules"] = rules;
        let refused = bed.block(client.post::<_, ShareStatus>("/shares", &config)).unwrap_err();
        assert!(refused.to_string().contains(word), "{word}: {refused}");
    }
}
