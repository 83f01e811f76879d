//! TLS of the gateway's HTTP listeners: certificates that are read again when they change, and handshakes that cannot be
//! used against it.
//!
//! The files are looked at every few seconds and at SIGHUP. New ones that cannot be used (half written, the key of another
//! certificate) are told of once, and the old ones stay in force; connections that are open keep what they began with.

use crate::config::TlsConfig;
use dfs_net::Quiet;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A peer that has not ended its handshake by then is closed.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// What tells that a file is another one: time of change, length, inode.
type Mark = Option<(i64, i64, u64, u64)>;

/// A listener's certificate, as it is now.
pub(crate) struct Certificate {
    files: TlsConfig,
    current: Mutex<Arc<rustls::ServerConfig>>,
    /// The files that `current` was made of, or that were told to be of no use.
    seen: Mutex<[Mark; 3]>,
    quiet: Quiet,
}

impl Certificate {
    /// Reads the files. *Errors:* a sentence that names the file.
    pub fn load(files: &TlsConfig) -> Result<Arc<Certificate>, String> {
        let seen = Mutex::new(marks(files));
        let current = Mutex::new(Arc::new(read(files)?));
        Ok(Arc::new(Certificate { files: files.clone(), current, seen, quiet: Quiet::default() }))
    }

    /// Reads the files again where they have changed.
    pub fn look(&self) {
        let now = marks(&self.files);
        if std::mem::replace(&mut *self.seen.lock(), now) != now {
            self.reload();
        }
    }

    /// Reads the files again.
    pub fn reload(&self) {
        let cert = self.files.cert.display();
        match read(&self.files) {
            Ok(config) => {
                *self.current.lock() = Arc::new(config);
                tracing::info!(%cert, "the certificate was read again");
            }
            Err(why) => {
                tracing::error!(%cert, why, "the new certificate cannot be used; the old one stays in force")
            }
        }
    }

    /// Looks at the files now and then until its task is ended.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = self.clone();
            // Files may be on a disk that hangs.
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                return;
            }
        }
    }

    /// Does the handshake with a peer. `None`: it failed, or took too long.
    pub async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let config = self.current.lock().clone();
        let peer = stream.peer_addr().ok();
        let done = tokio::time::timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(config).accept(stream)).await;
        let why = match done {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        if let Some(left_out) = self.quiet.allow() {
            tracing::info!(?peer, why, left_out, "no TLS connection");
        }
        None
    }
}

fn marks(files: &TlsConfig) -> [Mark; 3] {
    use std::os::unix::fs::MetadataExt;
    let mark = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
    };
    [mark(&files.cert), mark(&files.key), files.client_ca.as_deref().and_then(mark)]
}

fn chain(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    if found.is_empty() { Err(wrong(&"there is no certificate in it")) } else { Ok(found) }
}

fn read(files: &TlsConfig) -> Result<rustls::ServerConfig, String> {
    let certs = chain(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{}: {error}", files.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for cert in chain(path)? {
                roots.add(cert).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder
                .with_client_cert_verifier(verifier.map_err(|error| format!("{}: {error}", path.display()))?)
        }
    };
    let mut config = builder
        .with_single_cert(certs, key)
        .map_err(|error| format!("{} and {}: {error}", files.cert.display(), files.key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap()
    }

    fn write(files: &TlsConfig, made: &rcgen::CertifiedKey<rcgen::KeyPair>) {
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn config(certificate: &Certificate) -> Arc<rustls::ServerConfig> {
        certificate.current.lock().clone()
    }

    #[test]
    fn certificate_that_changes_is_taken_and_a_broken_one_leaves_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = TlsConfig { cert: at("cert.pem"), key: at("key.pem"), client_ca: None };
        assert!(Certificate::load(&files).err().unwrap().contains("cert.pem"));
        write(&files, &made("one"));
        let certificate = Certificate::load(&files).unwrap();
        let first = config(&certificate);
        certificate.look();
        assert!(Arc::ptr_eq(&first, &config(&certificate)), "nothing has changed");
        std::fs::write(&files.cert, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
        certificate.look();
        assert!(Arc::ptr_eq(&first, &config(&certificate)));
        std::fs::write(&files.cert, made("two").cert.pem()).unwrap();
        certificate.look();
        assert!(Arc::ptr_eq(&first, &config(&certificate)), "the key of another certificate");
        write(&files, &made("three"));
        certificate.look();
        assert!(!Arc::ptr_eq(&first, &config(&certificate)));
        std::fs::remove_file(&files.key).unwrap();
        certificate.look();
        let why = Certificate::load(&files).err().unwrap();
        assert!(why.contains("key.pem"), "{why}");
    }
}
