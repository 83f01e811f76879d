//! Databases that are refused, and why.

use super::*;
use crate::secrets::{SecretsError, SecretsKey};
use std::path::Path;
use std::process::Command;

async fn refused(bed: &ServerBed, options: PostgresOptions) -> DatabaseError {
    ControlDatabase::open_postgres(options, key(bed.folder.path())).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn newer_or_foreign_schema_is_refused_and_nothing_changes() {
    let bed = ServerBed::start();
    drop(bed.gateway().await);
    let sql = bed.sql().await;
    let before = bed.cluster.dump();
    sql.batch_execute("INSERT INTO migrations (version, name, checksum) VALUES (2, 'later', 'x')")
        .await
        .unwrap();
    assert_eq!(refused(&bed, bed.options()).await, DatabaseError::Newer { found: 2, known: 1 });
    sql.batch_execute("DELETE FROM migrations WHERE version = 2").await.unwrap();
    let after = bed.cluster.dump();
    let rows =
        |dump: &[u8]| String::from_utf8_lossy(dump).lines().filter(|line| !line.starts_with('\\')).count();
    assert_eq!(rows(&before), rows(&after));
    sql.batch_execute("UPDATE migrations SET checksum = 'x'").await.unwrap();
    let told = refused(&bed, bed.options()).await;
    assert!(matches!(&told, DatabaseError::Unusable(why) if why.contains("changed by hand")), "{told:?}");
}

#[tokio::test]
async fn gateway_with_another_key_is_refused_and_one_with_the_same_is_not() {
    let bed = ServerBed::start();
    bed.gateway().await.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    drop(bed.gateway().await);
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("secrets.key");
    let open = async || {
        let key = SecretsKey::open(&file, Arc::new(TestEntropy)).unwrap();
        ControlDatabase::open_postgres(bed.options(), key).await.map(drop)
    };
    assert_eq!(open().await, Err(DatabaseError::Secrets(SecretsError::Missing { file: file.clone() })));
    std::fs::write(&file, [9; 32]).unwrap();
    assert_eq!(open().await, Err(DatabaseError::Secrets(SecretsError::Wrong { file: file.clone() })));
    std::fs::copy(bed.folder.path().join("secrets.key"), &file).unwrap();
    assert_eq!(open().await, Ok(()));
}

#[tokio::test]
async fn gateways_that_start_together_on_an_empty_database_make_it_once() {
    let bed = ServerBed::start();
    let gateways = futures_util::future::join_all((0..4).map(|_| bed.gateway())).await;
    gateways[0].commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    for gateway in &gateways {
        gateway.watch().wait_for(|revision| *revision == 1).await.unwrap();
    }
}

#[tokio::test]
async fn server_that_would_lose_what_it_confirmed_is_refused() {
    for setting in ["fsync=off", "full_page_writes=off", "synchronous_commit=off"] {
        let bed = ServerBed::with(&[setting]);
        let told = refused(&bed, bed.options()).await;
        let name = setting.split('=').next().unwrap();
        assert!(matches!(&told, DatabaseError::Unusable(why) if why.contains(name)), "{setting}: {told:?}");
    }
}

#[tokio::test]
async fn options_that_show_a_secret_or_make_no_sense_are_refused() {
    let leaky = PostgresOptions { url: "host=localhost password=planted".into(), ..options(1) };
    let schema = PostgresOptions { schema: "x; DROP SCHEMA public".into(), ..options(1) };
    let url = PostgresOptions { url: "nonsense".into(), ..options(1) };
    let ca = PostgresTls::On { ca: Some("/nonexistent/ca.pem".into()) };
    let tls = PostgresOptions { tls: ca, ..options(1) };
    for (wrong, word) in
        [(leaky, "name a file"), (schema, "schema"), (url, "URL"), (tls, "/nonexistent/ca.pem")]
    {
        match Connector::new(&wrong).map(drop) {
            Err(DatabaseError::Unusable(why)) => {
                assert!(why.contains(word) && !why.contains("planted"), "{why}");
            }
            other => panic!("{word}: {other:?}"),
        }
    }
}

/// An authority (`ca.pem`) and a certificate of it for `localhost` (`cert.pem`, `key.pem`), in a folder.
fn certificates(folder: &Path) {
    let run = |text: &str| {
        let done = Command::new("openssl").args(text.split(' ')).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    run(&format!("req {key} -subj /CN=localhost -keyout key.pem -out request.pem"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    run(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
    );
}

#[tokio::test]
async fn tls_is_used_and_the_server_is_verified_by_certificate_and_name() {
    let (own, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(own.path());
    certificates(foreign.path());
    assert!(Command::new("chown").args(["-R", "postgres", "--"]).arg(own.path()).status().unwrap().success());
    let file = |name: &str| own.path().join(name).display().to_string();
    let settings =
        [format!("ssl_cert_file={}", file("cert.pem")), format!("ssl_key_file={}", file("key.pem"))];
    let bed = ServerBed::with(&["ssl=on", &settings[0], &settings[1]]);
    let with = |host: &str, ca: &Path| PostgresOptions {
        url: format!(
            "host={host} hostaddr=127.0.0.1 port={} user=postgres dbname=postgres",
            bed.cluster.port
        ),
        tls: PostgresTls::On { ca: Some(ca.join("ca.pem")) },
        ..bed.options()
    };
    let good = with("localhost", own.path());
    let gateway = ControlDatabase::open_postgres(good.clone(), key(bed.folder.path())).await.unwrap();
    gateway.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    let client = Connector::new(&good).unwrap().connect().await.unwrap();
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(client.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0));
    for (host, ca) in [("localhost", foreign.path()), ("other.example", own.path())] {
        match refused(&bed, with(host, ca)).await {
            DatabaseError::Unavailable(why) => {
                assert!(why.to_lowercase().contains("certificate"), "{host}: {why}");
            }
            other => panic!("{host}: {other:?}"),
        }
    }
}
