//! A share's rules: shown as they were given, and acted on over NFS, also after a restart.

use crate::bed::{Bed, share_config};
use dfs_api::{
    AclMode, Client, Emptied, EmptyBin, Limits, Operation, QuotaLimits, QuotaStatus, QuotaSubject, Recycle,
    RecycledFile, RestoreFile, SetQuota, ShareConfig, ShareRules, ShareStatus,
};
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

/// Makes files as a user and answers how many could be made; the last one is removed.
fn made_by(bed: &Bed, nfs: SocketAddr, uid: u32, xid: u32) -> usize {
    bed.block(async {
        let mut pipe = Pipe::connect_as(nfs, uid, uid, xid).await.unwrap();
        let root = pipe.mount("/s").await.unwrap();
        let place = |name: String| DirOp { dir: root.clone(), name: FileName::from(name.as_str()) };
        for nth in 0..10 {
            let (place, how) = (place(format!("f{nth}")), CreateHow::Guarded(SetAttributes::default()));
            let status = pipe.call::<nfs3::Create>(&CreateArgs { place, how }).await.unwrap().status();
            if status != Status::Ok {
                assert_eq!(status, Status::Dquot);
                pipe.call::<nfs3::Remove>(&self::place(&root, "f0")).await.unwrap().ok().unwrap();
                return nth;
            }
        }
        10
    })
}

fn place(root: &dfs_nfs::wire::Handle, name: &str) -> DirOp {
    DirOp { dir: root.clone(), name: FileName::from(name) }
}

#[test]
fn quotas_and_the_bin_are_managed_over_rest() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    let rules = ShareRules { blocked_operations: Vec::new(), ..rules() };
    let config = ShareConfig { rules, root_mode: 0o777, ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    let limits = QuotaLimits {
        bytes: Limits::default(),
        inodes: Limits { soft: None, hard: Some(4) },
        grace_seconds: 60,
    };
    let set = SetQuota { subject: QuotaSubject::User(1000), limits: Some(limits) };
    let listed: Vec<QuotaStatus> = bed.block(client.put("/shares/s/quotas", &set)).unwrap();
    assert!(listed.iter().any(|line| line.subject == set.subject && line.limits == Some(limits)));
    assert_eq!(made_by(&bed, doors.nfs, 1000, 0x53 << 20), 4);
    let listed: Vec<QuotaStatus> = bed.block(client.get("/shares/s/quotas")).unwrap();
    let used = |subject| listed.iter().find(|line| line.subject == subject).unwrap().used_inodes;
    assert_eq!(
        (used(QuotaSubject::User(1000)), used(QuotaSubject::Share)),
        (4, 6),
        "with the root and the bin"
    );
    let bin: Vec<RecycledFile> = bed.block(client.get("/shares/s/recycled")).unwrap();
    assert_eq!((bin.len(), bin[0].name.as_str(), bin[0].removed_by), (1, "f0", 1000));
    let restore = |path: Option<&str>| RestoreFile { inode: bin[0].inode, path: path.map(str::to_owned) };
    let taken =
        bed.block(client.post::<_, Vec<RecycledFile>>("/shares/s/recycled/restore", &restore(Some("f1"))));
    assert!(taken.unwrap_err().to_string().contains("the name is taken"));
    let nowhere =
        bed.block(client.post::<_, Vec<RecycledFile>>("/shares/s/recycled/restore", &restore(Some("no/f"))));
    assert!(nowhere.unwrap_err().to_string().contains("no directory 'no'"));
    let left: Vec<RecycledFile> =
        bed.block(client.post("/shares/s/recycled/restore", &restore(None))).unwrap();
    assert!(left.is_empty());
    bed.mounted(&doors).read("f0").unwrap();
    let end = SetQuota { limits: None, ..set };
    let _: Vec<QuotaStatus> = bed.block(client.put("/shares/s/quotas", &end)).unwrap();
    bed.block(async {
        let mut pipe = Pipe::connect_as(doors.nfs, 1000, 1000, 0x54 << 20).await.unwrap();
        let root = pipe.mount("/s").await.unwrap();
        pipe.call::<nfs3::Remove>(&place(&root, "f3")).await.unwrap().ok().unwrap();
    });
    let emptied: Emptied = bed.block(client.post("/shares/s/recycled/empty", &EmptyBin::default())).unwrap();
    assert_eq!(emptied.removed, 1);
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
