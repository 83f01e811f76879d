//! Bytes that rot and formats that are newer: refused or reported by name, never guessed, never zeros; and once the bytes are
//! as they were, everything is there.

use crate::bed::{Bed, Doors, noise};
use dfs_api::Client;
use dfs_nfs::wire::Status;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::{Path, PathBuf};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The file below a folder that has these bytes, and where.
pub fn holding(bed: &Bed, folder: &Path, part: &[u8]) -> (PathBuf, usize) {
    let found = bed.snapshot(folder).into_iter().find_map(|(path, bytes)| Some((path, find(&bytes, part)?)));
    found.unwrap_or_else(|| panic!("nothing in {} has the bytes", folder.display()))
}

/// Flips one byte; flipping it again takes it back.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

fn with_share(bed: &Bed) -> (Doors, Client) {
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    (doors, client)
}

#[test]
fn segment_of_a_newer_format_stops_the_start() {
    let bed = Bed::made();
    let (doors, _) = with_share(&bed);
    bed.mounted(&doors).write("file", b"some bytes that are in the journal");
    bed.kill();
    let (segment, _) = holding(&bed, &bed.data().join("journal"), b"some bytes that are in the journal");
    let good = std::fs::read(&segment).unwrap();
    let mut newer = good.clone();
    // Both copies of the header (metadata/log/README.md): format at 8, checksum of the first 68 bytes after them.
    for copy in [0, 2048] {
        newer[copy + 8] = 9;
        let sum = crc32c::crc32c(&newer[copy..copy + 68]);
        newer[copy + 68..copy + 72].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(&segment, &newer).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    bed.dfs(&["start"]).refuses(6, &[name, "format 9", "newer version", "no data was touched"]);
    assert!(std::fs::read(&segment).unwrap() == newer);
    std::fs::write(&segment, &good).unwrap();
    let doors = bed.start();
    assert_eq!(bed.mounted(&doors).read("file").unwrap(), b"some bytes that are in the journal");
}

/// Changes the format in a database's head and returns what was there.
fn set_format(path: &Path, format: u64) -> u64 {
    let database = Database::open(path).unwrap();
    let before =
        database.begin_read().unwrap().open_table(META).unwrap().get("format").unwrap().unwrap().value();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
    before
}

#[test]
fn databases_of_a_newer_format_stop_the_start() {
    let bed = Bed::made();
    let (doors, client) = with_share(&bed);
    bed.mounted(&doors).write("file", b"bytes");
    bed.flush(&client);
    bed.dfs(&["stop"]).works();
    for (path, words) in [
        (bed.data().join("control.redb"), &["control database", "format 77", "newer version"][..]),
        (
            bed.data().join("metadata-names/metadata.redb"),
            &["metadata store 'names'", "format 77", "newer version"],
        ),
    ] {
        let before = set_format(&path, 77);
        bed.dfs(&["start"]).refuses(6, words);
        assert_eq!(set_format(&path, before), 77, "a refused start changed the format");
    }
    let doors = bed.start();
    assert_eq!(bed.mounted(&doors).read("file").unwrap(), b"bytes");
}

#[test]
fn database_that_is_no_database_stops_the_start() {
    let bed = Bed::made();
    let path = bed.data().join("control.redb");
    let good = std::fs::read(&path).unwrap();
    let rubbish = noise(5, good.len());
    std::fs::write(&path, &rubbish).unwrap();
    bed.dfs(&["start"]).refuses(6, &["control database", "control.redb"]);
    assert!(std::fs::read(&path).unwrap() == rubbish);
    std::fs::write(&path, &good).unwrap();
    bed.start();
}

#[test]
fn block_damaged_in_a_pack_is_an_error_with_the_packs_name_and_its_neighbours_are_read() {
    let bed = Bed::made();
    let (doors, client) = with_share(&bed);
    let (bad, good) = (noise(1, 50_000), noise(2, 50_000));
    let mut mounted = bed.mounted(&doors);
    mounted.write("bad", &bad);
    mounted.write("good", &good);
    bed.flush(&client);
    bed.dfs(&["stop"]).works();
    std::fs::remove_dir_all(bed.data().join("journal")).unwrap();
    let (pack, at) = holding(&bed, &bed.path("cold"), &bad[20_000..20_064]);
    flip(&pack, at);
    let doors = bed.start();
    let mut mounted = bed.mounted(&doors);
    assert_eq!(mounted.read("bad"), Err(Status::Io));
    assert!(mounted.read("good").unwrap() == good);
    assert_eq!(mounted.read("bad"), Err(Status::Io), "asked again");
    let name = pack.file_name().unwrap().to_str().unwrap();
    let log = bed.log();
    assert!(
        log.lines().any(|line| line.contains("ERROR") && line.contains(name)),
        "no error names {name}:\n{log}"
    );
    flip(&pack, at);
    assert!(mounted.read("bad").unwrap() == bad, "the error must not outlive the damage");
}

#[test]
fn pack_that_is_gone_is_an_error_with_its_name() {
    let bed = Bed::made();
    let (doors, client) = with_share(&bed);
    let bytes = noise(3, 50_000);
    bed.mounted(&doors).write("file", &bytes);
    bed.flush(&client);
    bed.dfs(&["stop"]).works();
    std::fs::remove_dir_all(bed.data().join("journal")).unwrap();
    let (pack, _) = holding(&bed, &bed.path("cold"), &bytes[..64]);
    std::fs::rename(&pack, bed.path("hidden")).unwrap();
    let doors = bed.start();
    let mut mounted = bed.mounted(&doors);
    assert_eq!(mounted.read("file"), Err(Status::Io));
    assert!(bed.log().contains(pack.file_name().unwrap().to_str().unwrap()), "{}", bed.log());
    std::fs::rename(bed.path("hidden"), &pack).unwrap();
    assert!(mounted.read("file").unwrap() == bytes);
}
