//! The embedded store: the suite, and what only a file has: formats, keys, a disk that fails.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::change::Change;
use crate::database::ControlDatabase;
use crate::rows::{GroupRow, UserRow};
use crate::secrets::{SecretsError, SecretsKey};
use crate::store::conformance::rows::cold;
use crate::store::conformance::{Bed, suite};
use crate::testing::{TestEntropy, embedded, group, key, user};
use dfs_api::{ColdStoreConfig, Role, ShareConfig};
use redb::StorageBackend;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

struct FileBed(tempfile::TempDir);

impl Bed for FileBed {
    fn open(&self) -> Pin<Box<dyn Future<Output = ControlDatabase> + Send + '_>> {
        Box::pin(embedded(self.0.path()))
    }

    fn stored(&self) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + '_>> {
        Box::pin(async { std::fs::read(self.0.path().join("control.redb")).unwrap() })
    }
}

suite!(FileBed(tempfile::tempdir().unwrap()));

const USERS: TableDefinition<&str, &[u8]> = TableDefinition::new("users");
const COLD: TableDefinition<&str, &[u8]> = TableDefinition::new("cold_stores");
const SHARES: TableDefinition<&str, &[u8]> = TableDefinition::new("shares");

/// Works on the file by hand.
fn by_hand(folder: &Path, work: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(folder.join("control.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    work(&txn);
    txn.commit().unwrap();
}

/// A file as the program before this one made it.
fn format_1(folder: &Path) {
    by_hand(folder, |txn| {
        txn.open_table(META).unwrap().insert("format", 1).unwrap();
        let admin = br#"{"name":"admin","password_hash":"$argon2id$x","role":"admin","must_change_password":false,"token_version":3}"#;
        txn.open_table(USERS).unwrap().insert("admin", admin.as_slice()).unwrap();
        let store = br#"{"name":"s3","kind":"s3","bucket":"b","prefix":"","access_key":"a","secret_key":"planted-secret"}"#;
        txn.open_table(COLD).unwrap().insert("s3", store.as_slice()).unwrap();
        let share = br#"{"name":"docs","metadata":"meta","cold":"s3"}"#;
        txn.open_table(SHARES).unwrap().insert("docs", share.as_slice()).unwrap();
    });
}

fn stored_format(folder: &Path) -> Option<u64> {
    let database = Database::create(folder.join("control.redb")).unwrap();
    format_of(&database.begin_read().unwrap()).unwrap()
}

fn secret_of(store: &ColdStoreConfig) -> Option<&str> {
    match &store.backend {
        dfs_api::ColdBackend::S3(s3) => s3.secret_key.as_deref(),
        _ => None,
    }
}

#[tokio::test]
async fn file_of_format_1_is_read_as_it_is_and_upgraded_by_the_first_commit() {
    let folder = tempfile::tempdir().unwrap();
    format_1(folder.path());
    let check = |database: &ControlDatabase| {
        let admin = database.get::<UserRow>("admin").unwrap();
        assert_eq!((admin.role, admin.token_version, admin.enabled), (Role::Admin, 3, true));
        let store = database.get::<ColdStoreConfig>("s3").unwrap();
        assert_eq!(secret_of(&store), Some("planted-secret"));
        assert_eq!(database.get::<ShareConfig>("docs"), Some(ShareConfig::named("docs", "meta", "s3")));
    };
    let file = || std::fs::read(folder.path().join("control.redb")).unwrap();
    let has = |text: &str| file().windows(text.len()).any(|window| window == text.as_bytes());
    let database = embedded(folder.path()).await;
    check(&database);
    assert!(database.audit(&AuditQuery::default()).await.unwrap().is_empty());
    drop(database);
    assert_eq!(stored_format(folder.path()), Some(1), "opening must not write");
    assert!(!folder.path().join("secrets.key").exists());
    assert!(has("planted-secret"));

    let database = embedded(folder.path()).await;
    database.commit(Change::default().put(&group("staff", None)), None).await.unwrap();
    check(&database);
    database.commit(Change::default().put(&group("more", None)), None).await.unwrap();
    drop(database);
    assert_eq!(stored_format(folder.path()), Some(2));
    assert!(!has("planted-secret"), "the secret still stands in the file");
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("control.redb"), mode("secrets.key")), (0o600, 0o600));
    let database = embedded(folder.path()).await;
    check(&database);
    assert_eq!(database.list::<GroupRow>().len(), 2);
}

#[tokio::test]
async fn newer_format_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    drop(embedded(folder.path()).await);
    by_hand(folder.path(), |txn| {
        txn.open_table(META).unwrap().insert("format", 77).unwrap();
    });
    let path = folder.path().join("control.redb");
    let refused = ControlDatabase::open_embedded(&path, key(folder.path())).await.map(drop).unwrap_err();
    assert_eq!(refused, DatabaseError::Newer { found: 77, known: 2 });
    assert!(refused.to_string().contains("format 77"), "{refused}");
    assert_eq!(stored_format(folder.path()), Some(77));
}

#[tokio::test]
async fn missing_or_wrong_key_is_told_with_its_file_and_a_fresh_database_takes_any() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key_file) = (folder.path().join("control.redb"), folder.path().join("secrets.key"));
    drop(embedded(folder.path()).await);
    let database = embedded(folder.path()).await;
    assert!(!key_file.exists(), "nothing was sealed yet");
    database.commit(Change::default().put(&cold("s3", "secret")), None).await.unwrap();
    drop(database);
    let right = std::fs::read(&key_file).unwrap();
    assert_eq!(right.len(), 32);

    let open = async || ControlDatabase::open_embedded(&path, key(folder.path())).await.map(drop);
    std::fs::remove_file(&key_file).unwrap();
    let missing = open().await.unwrap_err();
    assert_eq!(missing, DatabaseError::Secrets(SecretsError::Missing { file: key_file.clone() }));
    assert!(!key_file.exists(), "a new key in the place of a lost one would hide the loss");
    std::fs::write(&key_file, [7; 32]).unwrap();
    let wrong = open().await.unwrap_err();
    assert_eq!(wrong, DatabaseError::Secrets(SecretsError::Wrong { file: key_file.clone() }));
    assert!(wrong.to_string().contains("secrets.key"), "{wrong}");
    std::fs::write(&key_file, [7; 31]).unwrap();
    let short = SecretsKey::open(&key_file, Arc::new(TestEntropy)).unwrap_err();
    assert_eq!(short, SecretsError::Damaged { file: key_file.clone(), found: 31 });
    std::fs::write(&key_file, right).unwrap();
    open().await.unwrap();
}

#[tokio::test]
async fn sealed_secret_that_was_copied_to_another_row_or_stands_in_the_clear_is_refused() {
    for (case, expected) in
        [("copied", "does not open"), ("clear", "secret_key is not sealed"), ("row", "the row 'a'")]
    {
        let folder = tempfile::tempdir().unwrap();
        let database = embedded(folder.path()).await;
        let both = Change::default().put(&cold("a", "secret of a")).put(&cold("b", "secret of b"));
        database.commit(both, None).await.unwrap();
        drop(database);
        by_hand(folder.path(), |txn| {
            let mut table = txn.open_table(COLD).unwrap();
            let a = String::from_utf8(table.remove("a").unwrap().unwrap().value().to_vec()).unwrap();
            let mut row: serde_json::Value = serde_json::from_str(&a).unwrap();
            match case {
                "copied" => row["name"] = serde_json::json!("b"),
                "clear" => {
                    row["name"] = serde_json::json!("b");
                    row["secret_key"] = serde_json::json!("planted");
                }
                _ => row["secret_key"] = serde_json::Value::Null,
            }
            table.insert("b", row.to_string().as_bytes()).unwrap();
        });
        let path = folder.path().join("control.redb");
        match ControlDatabase::open_embedded(&path, key(folder.path())).await.map(drop) {
            Err(DatabaseError::Row { table: "cold_stores", key, reason }) => {
                assert!(key == "b" && reason.contains(expected), "{case}: {key}: {reason}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
}

/// A disk that is filled by hand.
#[derive(Debug, Default)]
struct Disk {
    full: AtomicBool,
    /// Whether giving the reserve up makes room.
    reserve_helps: AtomicBool,
}

impl Disk {
    fn fill(&self, full: bool, reserve_helps: bool) {
        self.full.store(full, Ordering::Relaxed);
        self.reserve_helps.store(reserve_helps, Ordering::Relaxed);
    }
}

/// A file whose writes fail while its disk is full.
#[derive(Debug)]
struct Filling {
    file: redb::backends::FileBackend,
    disk: Arc<Disk>,
    spare: PathBuf,
}

impl Filling {
    fn room(&self) -> io::Result<()> {
        let given_up = self.disk.reserve_helps.load(Ordering::Relaxed) && !self.spare.exists();
        match self.disk.full.load(Ordering::Relaxed) && !given_up {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Filling {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A database on a disk that is filled by hand.
async fn filling(folder: &Path) -> (ControlDatabase, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let opener = {
        let disk = disk.clone();
        Box::new(move |path: &Path| {
            let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
            let file = redb::backends::FileBackend::new(file)?;
            let spare = path.with_extension("spare");
            redb::Builder::new().create_with_backend(Filling { file, disk: disk.clone(), spare })
        })
    };
    let store = EmbeddedStore::open_by(&folder.join("control.redb"), opener).unwrap();
    (ControlDatabase::over(Box::new(store), key(folder)).await.unwrap(), disk)
}

#[tokio::test]
async fn full_disk_refuses_changes_keeps_reads_and_heals_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (database, disk) = filling(folder.path()).await;
    database.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    disk.fill(true, false);
    for _ in 0..3 {
        let refused = database.commit(Change::default().put(&user("bob", Role::User)), None).await;
        assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
        assert!(database.get::<UserRow>("ann").is_some() && database.get::<UserRow>("bob").is_none());
    }
    disk.fill(false, false);
    database.commit(Change::default().put(&user("bob", Role::User)), None).await.unwrap();
    let revision = database.revision();
    drop(database);
    let database = embedded(folder.path()).await;
    assert_eq!((database.list::<UserRow>().len(), database.revision()), (2, revision));
}

#[tokio::test]
async fn reserve_lets_an_administrator_work_on_a_full_disk_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (database, disk) = filling(folder.path()).await;
    let spare = folder.path().join("control.spare");
    let reserve = || spare.metadata().map(|found| (found.len(), found.permissions().mode() & 0o777)).ok();
    assert_eq!(reserve(), Some((1 << 20, 0o600)));
    for nth in 0..10 {
        database.commit(Change::default().put(&user(&format!("u{nth}"), Role::Admin)), None).await.unwrap();
    }
    disk.fill(true, true);
    let refused = database.commit(Change::default().put(&user("late", Role::User)), None).await;
    assert!(
        matches!(refused, Err(DatabaseError::Full(_))),
        "what is new takes nothing of the reserve: {refused:?}"
    );
    assert_eq!(reserve(), Some((1 << 20, 0o600)));
    database.commit(Change::default().remove::<UserRow>("u0"), None).await.unwrap();
    let changed = UserRow { enabled: false, ..user("u1", Role::Admin) };
    database.commit(Change::default().put(&changed), None).await.unwrap();
    assert_eq!(reserve(), None);
    disk.fill(false, false);
    database.trim_audit(0).await.unwrap();
    assert_eq!(reserve(), Some((1 << 20, 0o600)));
    drop(database);
    assert_eq!(embedded(folder.path()).await.list::<UserRow>().len(), 9);
}

#[tokio::test]
async fn upgrade_on_a_full_disk_leaves_format_1_and_happens_later() {
    let folder = tempfile::tempdir().unwrap();
    format_1(folder.path());
    let (database, disk) = filling(folder.path()).await;
    disk.fill(true, false);
    let refused = database.commit(Change::default().put(&group("staff", None)), None).await;
    assert!(matches!(refused, Err(DatabaseError::Full(_))), "{refused:?}");
    assert!(database.get::<UserRow>("admin").is_some());
    disk.fill(false, false);
    database.commit(Change::default().put(&group("staff", None)), None).await.unwrap();
    drop(database);
    assert_eq!(stored_format(folder.path()), Some(2));
    assert_eq!(embedded(folder.path()).await.list::<UserRow>().len(), 1);
}
