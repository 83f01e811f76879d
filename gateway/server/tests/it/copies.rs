//! Clones of files over REST, seen by a client.

use crate::bed::{Bed, share_config};
use dfs_api::{CloneFile, ClonedFile, ShareConfig, ShareStatus};

fn asked(from: &str, to: &str, replace: bool) -> CloneFile {
    CloneFile { from: from.to_owned(), to: to.to_owned(), replace }
}

#[test]
fn file_is_cloned_and_both_go_their_own_ways() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    let config = ShareConfig { root_mode: 0o777, ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    let clone = |request: CloneFile| bed.block(client.post::<_, ClonedFile>("/shares/s/clone", &request));
    let mut mount = bed.mounted(&doors);
    let bytes: Vec<u8> = (0..700_000u32).map(|at| (at / 3) as u8).collect();
    mount.write("a", &bytes);
    // What is dirty is cloned too.
    assert_eq!(clone(asked("a", "/b", false)).unwrap().bytes, bytes.len() as u64);
    assert_eq!(mount.read("b").unwrap(), bytes);
    mount.write("a", b"changed");
    assert_eq!(mount.read("b").unwrap(), bytes);
    let refusals = [
        (asked("a", "b", false), "'b' is there"),
        (asked("none", "c", false), "there is no file"),
        (asked("a", "no/where", false), "there is no file"),
        (asked("/", "c", false), "only a file can be cloned"),
        (asked("a", "a", true), "only a file can be cloned"),
    ];
    for (request, why) in refusals {
        let said = clone(request).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    let source = mount.read("a").unwrap();
    clone(asked("a", "b", true)).unwrap();
    assert_eq!(mount.read("b").unwrap(), source);
    // A clone is as durable as its answer says.
    bed.kill();
    let doors = bed.start();
    assert_eq!(bed.mounted(&doors).read("b").unwrap(), source);
}
