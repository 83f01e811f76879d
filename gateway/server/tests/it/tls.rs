//! TLS of REST and metrics: served, demanded of clients, read again when the files change; and the local socket beside it.

use crate::bed::{Bed, PASSWORD};
use dfs_api::{Client, ClientOptions};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Made = CertifiedKey<KeyPair>;

fn made() -> Made {
    generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

impl Bed {
    /// Puts a certificate and its key where the configuration says.
    fn put(&self, made: &Made) {
        std::fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(self.path("cert.pem"), made.cert.pem()).unwrap();
    }

    fn tls(&self, more: &str) -> String {
        let at = |name: &str| self.path(name).display().to_string();
        format!("tls: {{cert: {:?}, key: {:?}{more}}}", at("cert.pem"), at("key.pem"))
    }
}

/// Asks over TLS, trusting one certificate; answers the first line and the certificate that was shown. *Errors:* in words.
async fn ask(
    at: SocketAddr,
    path: &str,
    trusted: &Made,
    own: Option<&Made>,
) -> Result<(String, Vec<u8>), String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes()).unwrap();
            let chain = vec![CertificateDer::from(own.cert.der().to_vec())];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("localhost").unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let mut stream = connected.map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    stream.read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
    let shown =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().map(|cert| cert.to_vec()));
    let first = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Ok((first, shown.unwrap_or_default()))
}

/// Waits until asking answers as wanted.
#[track_caller]
fn until(bed: &Bed, wanted: impl AsyncFn() -> bool) {
    let waited = async {
        while !wanted().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    bed.block(async { tokio::time::timeout(Duration::from_secs(20), waited).await }).expect("within 20 s");
}

const OK: &str = "HTTP/1.1 200 OK";
const HEALTH: &str = "/api/v1/health";

#[test]
fn rest_and_metrics_speak_tls_and_the_commands_of_the_machine_need_no_certificate() {
    let bed = Bed::made();
    let cert = made();
    bed.put(&cert);
    let tls = bed.tls("");
    let control = format!("control: {{listen: 0.0.0.0:0, {tls}}}");
    bed.configure(&format!("{control}\nmetrics: {{listen: 127.0.0.1:0, {tls}}}\njournal: {{size: 64MiB}}"));
    let doors = bed.start();
    let rest = SocketAddr::from(([127, 0, 0, 1], doors.control.port()));
    assert_eq!(bed.block(ask(rest, HEALTH, &cert, None)).unwrap().0, OK);
    assert_eq!(bed.block(ask(doors.metrics, "/metrics", &cert, None)).unwrap().0, OK);
    let plain = bed.block(Client::new(&format!("http://{rest}"), None).health());
    assert!(plain.is_err(), "{plain:?}");
    bed.block(ask(rest, HEALTH, &made(), None)).unwrap_err();
    let options = ClientOptions { ca: Some(cert.cert.pem().into_bytes()), ..ClientOptions::default() };
    let client = Client::with(&format!("https://localhost:{}", rest.port()), options).unwrap();
    assert!(!bed.block(client.login("admin", PASSWORD)).unwrap().access_token.is_empty());
    let said = bed.dfs(&["status"]).works().out;
    assert!(said.contains("https://"), "{said}");
    let socket = bed.data().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    bed.dfs(&["stop"]).works();
    assert!(!socket.exists());
}

#[test]
fn client_without_a_certificate_of_the_right_signer_is_refused_where_one_is_demanded() {
    let bed = Bed::made();
    let (cert, ours, stranger) = (made(), made(), made());
    bed.put(&cert);
    std::fs::write(bed.path("clients.pem"), ours.cert.pem()).unwrap();
    let tls = bed.tls(&format!(", client_ca: {:?}", bed.path("clients.pem").display().to_string()));
    bed.configure(&format!("control: {{listen: 127.0.0.1:0, {tls}}}\njournal: {{size: 64MiB}}"));
    let doors = bed.start();
    assert_eq!(bed.block(ask(doors.control, HEALTH, &cert, Some(&ours))).unwrap().0, OK);
    bed.block(ask(doors.control, HEALTH, &cert, None)).unwrap_err();
    bed.block(ask(doors.control, HEALTH, &cert, Some(&stranger))).unwrap_err();
    bed.dfs(&["status"]).works();
}

#[test]
fn certificate_is_read_again_when_its_files_change_and_at_a_signal_and_a_broken_one_changes_nothing() {
    let bed = Bed::made();
    let (first, second, third) = (made(), made(), made());
    bed.put(&first);
    bed.configure(&format!("control: {{listen: 127.0.0.1:0, {}}}\njournal: {{size: 64MiB}}", bed.tls("")));
    let doors = bed.start();
    let shows = async |cert: &Made| match ask(doors.control, HEALTH, cert, None).await {
        Ok((_, shown)) => shown == cert.cert.der().to_vec(),
        Err(_) => false,
    };
    assert!(bed.block(shows(&first)));
    bed.put(&second);
    until(&bed, async || shows(&second).await);
    std::fs::write(bed.path("cert.pem"), "no certificate").unwrap();
    let hangup = || kill_process(Pid::from_raw(doors.pid).unwrap(), Signal::HUP).unwrap();
    hangup();
    until(&bed, async || bed.log().contains("the old one stays in force"));
    assert!(bed.block(shows(&second)));
    bed.put(&third);
    hangup();
    until(&bed, async || shows(&third).await);
}

#[test]
fn certificate_that_cannot_be_used_stops_the_start_with_its_name() {
    let bed = Bed::made();
    bed.configure(&format!("control: {{listen: 127.0.0.1:0, {}}}\njournal: {{size: 64MiB}}", bed.tls("")));
    bed.dfs(&["start"]).refuses(2, &["control.tls", "cert.pem"]);
    bed.put(&made());
    std::fs::write(bed.path("key.pem"), made().signing_key.serialize_pem()).unwrap();
    bed.dfs(&["start"]).refuses(2, &["control.tls", "key.pem"]);
}
