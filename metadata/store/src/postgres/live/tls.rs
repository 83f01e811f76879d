//! TLS: always verified, certificate and name.

use super::*;
use crate::StoreError;
use std::path::Path;
use std::process::Command;

/// An authority (`ca.pem`) and a certificate of it for `localhost` (`cert.pem`, `key.pem`), in a folder.
fn certificates(folder: &Path) {
    let run = |text: &str| {
        let done = Command::new("openssl").args(text.split(' ')).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    run(&format!(
        "req {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out request.pem"
    ));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    run(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
    );
}

#[test]
fn tls_is_used_and_the_server_is_verified_by_certificate_and_name() {
    block(async {
        let (own, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        certificates(own.path());
        certificates(foreign.path());
        let chowned = Command::new("chown").args(["-R", "postgres", "--"]).arg(own.path()).status().unwrap();
        assert!(chowned.success());
        let file = |name: &str| own.path().join(name).display().to_string();
        let options = [
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("cert.pem")),
            format!("ssl_key_file={}", file("key.pem")),
        ];
        let cluster = Cluster::start_with(&options.each_ref().map(String::as_str), None);
        let with = |host: &str, ca: &Path| PostgresConfig {
            url: format!(
                "host={host} hostaddr=127.0.0.1 port={} user=postgres dbname=postgres",
                cluster.port
            ),
            tls: PostgresTls::On { ca: Some(ca.join("ca.pem")) },
            ..config(cluster.port)
        };
        let store = open(with("localhost", own.path())).await;
        let (client, name) = store.inner.pool.manager().plain().await.unwrap();
        let encrypted = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = $1";
        assert!(client.query_one(encrypted, &[&name]).await.unwrap().get::<_, bool>(0));
        Bed::new(store.clone(), 1).await.file(dfs_model::InodeId::ROOT, "a").await;

        for (host, ca) in [("localhost", foreign.path()), ("other.example", own.path())] {
            match PostgresStore::open(with(host, ca)).await.map(drop) {
                Err(StoreError::Unavailable(why)) => {
                    assert!(why.to_lowercase().contains("certificate"), "{host}: {why}")
                }
                other => panic!("{host}: {other:?}"),
            }
        }
        let missing = PostgresConfig {
            tls: PostgresTls::On { ca: Some("/nonexistent/ca.pem".into()) },
            ..config(cluster.port)
        };
        assert!(
            matches!(PostgresStore::open(missing).await.map(drop), Err(StoreError::Unusable(why)) if why.contains("/nonexistent/ca.pem"))
        );
    });
}

#[test]
fn a_password_in_the_url_is_refused_before_it_can_be_shown() {
    block(async {
        let mut leaky = config(1);
        leaky.url += " password=secret";
        let refused = PostgresStore::open(leaky).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("name a file") && !refused.contains("secret"), "{refused}");
    });
}
