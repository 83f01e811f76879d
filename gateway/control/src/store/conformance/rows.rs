//! Rows: kept, sealed, replaced.

use super::Bed;
use crate::change::Change;
use crate::mirror::{Snapshot, TABLES};
use crate::rows::{AdapterRow, IdempotencyRow, IdmapRow, SettingRow, UserRow};
use crate::testing::{grant, group, session, user};
use dfs_api::{
    AdapterKind, ColdBackend, ColdStoreConfig, GrantKind, MetadataKind, MetadataStoreConfig, Netgroup,
    PermissionLevel, Role, S3Config, ShareConfig,
};

pub fn cold(name: &str, secret: &str) -> ColdStoreConfig {
    let s3 = S3Config {
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        endpoint: None,
        region: None,
        path_style: None,
        access_key: Some("access".to_owned()),
        secret_key: Some(secret.to_owned()),
    };
    ColdStoreConfig { name: name.to_owned(), backend: ColdBackend::S3(s3) }
}

/// One row of each kind.
pub fn one_of_each() -> Change {
    let settings = SettingRow { key: "logging.level".to_owned(), value: serde_json::json!("debug") };
    let adapter = AdapterRow {
        gateway: "alpha".to_owned(),
        kind: AdapterKind::Nfs,
        enabled: true,
        removed: false,
        listen: None,
        settings: None,
    };
    let answer = IdempotencyRow {
        id: "key".to_owned(),
        body_hash: "hash".to_owned(),
        status: 201,
        body: "{\"text\": \"a \\u0000 and ü\"}".to_owned(),
        at: 7,
    };
    Change::default()
        .put(&user("ann", Role::Admin))
        .put(&group("staff", Some(100)))
        .put(&grant("docs", GrantKind::Group, "staff", PermissionLevel::Read))
        .put(&IdmapRow { principal: "uid:7".to_owned(), user: "ann".to_owned() })
        .put(&Netgroup { name: "lab".to_owned(), members: vec!["192.0.2.0/24".to_owned()] })
        .put(&MetadataStoreConfig { name: "meta".to_owned(), kind: MetadataKind::Embedded })
        .put(&cold("bucket", "planted-secret-key"))
        .put(&ShareConfig::named("docs", "meta", "bucket"))
        .put(&adapter)
        .put(&settings)
        .put(&session("ann", "s1"))
        .put(&answer)
}

/// All rows in the clear.
pub fn shown(snapshot: &Snapshot) -> Vec<(String, Vec<serde_json::Value>)> {
    let rows = |table: &str| snapshot.clear_rows(table).unwrap();
    TABLES.iter().map(|(table, _)| ((*table).to_owned(), rows(table))).collect()
}

pub async fn every_kind_of_row_is_the_same_after_reopening(bed: &dyn Bed) {
    let database = bed.open().await;
    database.commit(one_of_each(), None).await.unwrap();
    let before = shown(&database.snapshot());
    for (table, rows) in &before {
        assert_eq!(rows.len(), 1, "no row of '{table}' was made");
    }
    let revision = database.revision();
    drop(database);
    let database = bed.open().await;
    assert_eq!(shown(&database.snapshot()), before);
    assert_eq!(database.revision(), revision);
    let gone = Change::default().remove::<UserRow>("ann").remove::<UserRow>("nobody");
    database.commit(gone, None).await.unwrap();
    assert_eq!(database.get::<UserRow>("ann"), None);
    drop(database);
    let database = bed.open().await;
    assert_eq!((database.list::<UserRow>(), database.revision()), (Vec::new(), revision + 1));
    assert_eq!(database.list::<ShareConfig>().len(), 1);
}

pub async fn secret_is_sealed_where_it_is_stored(bed: &dyn Bed) {
    let database = bed.open().await;
    database.commit(one_of_each(), None).await.unwrap();
    drop(database);
    let stored = bed.stored().await;
    let has = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("hash of ann"), "what is stored was not looked at");
    assert!(!has("planted-secret-key") && !has("nt of ann"));
    let database = bed.open().await;
    assert_eq!(database.get::<ColdStoreConfig>("bucket"), Some(cold("bucket", "planted-secret-key")));
    assert_eq!(database.get::<UserRow>("ann").unwrap().nt_hash.as_deref(), Some("nt of ann"));
}

pub async fn replaced_rows_are_all_that_there_is(bed: &dyn Bed) {
    let database = bed.open().await;
    database.commit(one_of_each(), None).await.unwrap();
    let mut rows = Snapshot::default();
    rows.put(std::sync::Arc::new(user("bob", Role::Admin)));
    rows.put(std::sync::Arc::new(cold("other", "another-planted-key")));
    let expected = shown(&rows);
    assert!(!database.replace(rows.clone(), |_| false, None).await.unwrap());
    assert_ne!(shown(&database.snapshot()), expected);
    assert!(database.replace(rows, |there| there.count::<UserRow>() == 1, None).await.unwrap());
    assert_eq!(shown(&database.snapshot()), expected);
    drop(database);
    let database = bed.open().await;
    assert_eq!(shown(&database.snapshot()), expected);
}
