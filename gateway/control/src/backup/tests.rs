//! Backups, tested.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::change::Change;
use crate::rows::{IdempotencyRow, SessionRow};
use crate::store::conformance::rows::{one_of_each, shown};
use crate::testing::{TestEntropy, embedded, record, session, user};
use dfs_api::AuditQuery;
use dfs_auth::password::DerivationCost;
use std::sync::Arc;

const PASSPHRASE: &str = "correct horse";
const CHEAP: DerivationCost = DerivationCost { memory_kib: 64, passes: 1, lanes: 1 };

fn everything() -> Snapshot {
    let mut snapshot = Snapshot::default();
    one_of_each().apply(&mut snapshot);
    snapshot
}

fn made(snapshot: &Snapshot) -> Vec<u8> {
    backup(snapshot, PASSPHRASE, "0.1.0", &TestEntropy).unwrap()
}

fn opened(file: &[u8]) -> Result<Snapshot, BackupError> {
    open_backup(file, PASSPHRASE, "0.1.0")
}

#[test]
fn every_table_is_in_a_backup_but_those_of_today() {
    let before = everything();
    let mut expected = before.clone();
    let gone = Change::default().remove::<SessionRow>("ann/s1").remove::<IdempotencyRow>("key");
    gone.apply(&mut expected);
    let after = opened(&made(&before)).unwrap();
    assert_eq!(shown(&after), shown(&expected));
    for (table, rows) in shown(&after) {
        let kept = !["sessions", "idempotency"].contains(&table.as_str());
        assert_eq!(rows.len(), usize::from(kept), "{table}");
    }
}

#[test]
fn backup_shows_nothing_of_what_is_in_it() {
    let file = made(&everything());
    for text in ["ann", "docs", "planted-secret-key", "bucket", "hash of", PASSPHRASE] {
        assert!(!file.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    let secret = opened(&file).unwrap().clear_rows("cold_stores").unwrap();
    assert_eq!(secret[0]["secret_key"], "planted-secret-key");
    assert_ne!(file, made(&everything()), "salt and nonce are drawn anew");
}

#[test]
fn wrong_passphrase_damage_and_foreign_files_are_told_apart() {
    let file = made(&everything());
    for wrong in ["correct horsf", "short", ""] {
        assert_eq!(open_backup(&file, wrong, "0.1.0").map(drop), Err(BackupError::WrongPassphrase));
    }
    for short in ["", "1234567"] {
        let refused = backup(&everything(), short, "0.1.0", &TestEntropy);
        assert_eq!(refused, Err(BackupError::Passphrase));
    }
    assert_eq!(opened(b"").map(drop), Err(BackupError::NotABackup));
    assert_eq!(opened(b"PK\x03\x04 something else").map(drop), Err(BackupError::NotABackup));
    let cheap = format::seal_at(b"{}", PASSPHRASE, "0.1.0", &TestEntropy, CHEAP).unwrap();
    for at in 0..cheap.len() {
        let mut damaged = cheap.clone();
        damaged[at] ^= 0x10;
        let told = format::open(&damaged, PASSPHRASE, "0.1.0");
        assert!(told.is_err(), "byte {at} was changed and nobody saw it");
        let cut = format::open(&cheap[..at], PASSPHRASE, "0.1.0");
        assert!(
            matches!(cut, Err(BackupError::Damaged(_) | BackupError::NotABackup)),
            "cut at {at}: {cut:?}"
        );
    }
    let longer = [cheap.as_slice(), b"x"].concat();
    assert!(matches!(format::open(&longer, PASSPHRASE, "0.1.0"), Err(BackupError::Damaged(_))));
}

#[test]
fn backup_of_a_newer_version_is_refused_with_both_versions() {
    let at = |version: &str| format::seal_at(b"{}", PASSPHRASE, version, &TestEntropy, CHEAP).unwrap();
    for (made_by, here, refused) in [
        ("0.1.0", "0.1.0", false),
        ("0.1.9", "0.2.0", false),
        ("0.2.0", "0.1.9", true),
        ("0.10.0", "0.9.0", true),
        ("1.0.0-rc1", "0.9.0 (abc)", true),
        ("development", "0.1.0", false),
    ] {
        let told = format::open(&at(made_by), PASSPHRASE, here);
        assert_eq!(told.is_err(), refused, "{made_by} under {here}");
        if let Err(error) = told {
            let text = error.to_string();
            assert!(text.contains(made_by) && text.contains(here), "{text}");
        }
    }
    let mut later = at("0.1.0");
    later[8] = 2;
    let told = format::open(&later, PASSPHRASE, "0.1.0").unwrap_err();
    assert_eq!(told, BackupError::Newer { made_by: "0.1.0".into(), format: 2, here: "0.1.0".into() });
}

#[test]
fn hostile_header_takes_no_memory() {
    let mut hostile = format::seal_at(b"{}", PASSPHRASE, "0.1.0", &TestEntropy, CHEAP).unwrap();
    hostile[17..21].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(format::open(&hostile, PASSPHRASE, "0.1.0"), Err(BackupError::Damaged(_))));
}

/// Gives 0, 1, 2, …
struct Counting;

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().zip(0..).for_each(|(byte, number)| *byte = number);
    }
}

/// The format as it was released: these bytes must open in every later version.
#[test]
fn file_of_format_1_has_these_bytes() {
    let file = format::seal_at(b"{\"tables\":{}}", PASSPHRASE, "0.1.0", &Counting, CHEAP).unwrap();
    let hex: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
    let header = concat!(
        "444653424b55500a",
        "0100",
        "0500",
        "302e312e30",
        "40000000",
        "01000000",
        "01000000",
        "000102030405060708090a0b0c0d0e0f",
        "000102030405060708090a0b",
    );
    assert!(hex.starts_with(header), "{hex}");
    assert_eq!(&hex[header.len()..], GOLDEN);
    assert_eq!(format::open(&file, PASSPHRASE, "0.1.0").unwrap(), b"{\"tables\":{}}");
}

/// Check, ciphertext and tag of [`file_of_format_1_has_these_bytes`].
const GOLDEN: &str = "4c652efdf7fe2cf9bab54b14d5f0ed9b502308b56f3b5610381326c77d2cef3b4104ee3cd9";

#[test]
fn contents_that_make_no_sense_are_damage() {
    let admin = serde_json::to_value(user("ann", Role::Admin)).unwrap();
    let sealed = |body: serde_json::Value| {
        format::seal_at(body.to_string().as_bytes(), PASSPHRASE, "0.1.0", &TestEntropy, CHEAP).unwrap()
    };
    opened(&sealed(serde_json::json!({ "tables": { "users": [admin] } }))).unwrap();
    for (body, word) in [
        (serde_json::json!([]), "no tables"),
        (serde_json::json!({ "tables": { "users": [admin], "spells": [{}] } }), "spells"),
        (serde_json::json!({ "tables": { "users": [admin, {}] } }), "missing field"),
        (serde_json::json!({ "tables": { "users": admin } }), "no rows"),
        (serde_json::json!({ "tables": { "users": [] } }), "no enabled administrator"),
    ] {
        match opened(&sealed(body)).map(drop) {
            Err(BackupError::Damaged(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("{word}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn restore_replaces_all_in_a_fresh_database_and_asks_for_force_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let database = embedded(folder.path()).await;
    database
        .commit(Change::default().put(&user("admin", Role::Admin)).put(&session("admin", "s")), None)
        .await
        .unwrap();
    let rows = opened(&made(&everything())).unwrap();
    let audit = || Some(record(9, "admin", "backup.restore", ""));
    let report = restore(&database, rows.clone(), false, audit()).await.unwrap();
    let expected = RestoreReport {
        users: 1,
        groups: 1,
        grants: 1,
        shares: 1,
        metadata_stores: 1,
        cold_stores: 1,
        netgroups: 1,
        identity_mappings: 1,
        adapters: 1,
        settings: 1,
        restart_needed: true,
    };
    assert_eq!(report, expected);
    assert_eq!(shown(&database.snapshot()), shown(&rows));

    database.commit(Change::default().put(&user("later", Role::Admin)), None).await.unwrap();
    let before = shown(&database.snapshot());
    let refused = restore(&database, rows.clone(), false, audit()).await.unwrap_err();
    assert_eq!((refused.status, refused.kind.as_str()), (409, "not-empty"));
    assert_eq!(shown(&database.snapshot()), before);
    restore(&database, rows.clone(), true, audit()).await.unwrap();
    drop(database);
    let database = embedded(folder.path()).await;
    assert_eq!(shown(&database.snapshot()), shown(&rows));
    assert_eq!(database.audit(&AuditQuery::default()).await.unwrap().len(), 2);
}

#[test]
fn database_is_fresh_with_one_user_and_nothing_else() {
    let mut snapshot = Snapshot::default();
    assert!(is_fresh(&snapshot));
    snapshot.put(Arc::new(user("ann", Role::Admin)));
    snapshot.put(Arc::new(session("ann", "s")));
    assert!(is_fresh(&snapshot));
    let mut two = snapshot.clone();
    two.put(Arc::new(user("bob", Role::User)));
    assert!(!is_fresh(&two));
    snapshot.put(Arc::new(dfs_api::Netgroup { name: "n".into(), members: Vec::new() }));
    assert!(!is_fresh(&snapshot));
}
