//! Settings against the machine: folders exist and can be written, addresses are free, files can be read.
//!
//! Looks only: a port is taken and given back at once, nothing is made or changed.

use super::{Config, Loaded, Source, TlsConfig};
use crate::ready::Ready;
use rustix::fs::{Access, access};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Something about a setting that does not fit the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The setting.
    pub key: String,
    /// What to change.
    pub message: String,
    /// Whether a start would be refused.
    pub fatal: bool,
    /// Where the setting comes from, in words.
    pub source: String,
}

/// What does not fit. `ours`: the gateway that serves from the data folder, whose ports are rightly taken.
pub(crate) fn check_machine(loaded: &Loaded, ours: Option<&Ready>) -> Vec<Finding> {
    let config = &loaded.config;
    let mut found = Findings { loaded, all: Vec::new() };
    check_data_dir(config, &mut found);
    for (key, path) in [("warm.dir", &config.warm.dir), ("logging.file", &config.logging.file)] {
        if let Some(path) = path {
            check_place(key, path, &mut found);
        }
    }
    check_ports(config, ours, &mut found);
    for (section, tls) in [("control.tls", &config.control.tls), ("metrics.tls", &config.metrics.tls)] {
        if let Some(tls) = tls {
            check_tls(section, tls, &mut found);
        }
    }
    if let Some(database) = &config.control.database {
        check_database(
            "control.database",
            database.password_file.as_deref(),
            database.ca.as_deref(),
            &mut found,
        );
    }
    if let Some(database) = &config.metadata.postgres {
        check_database(
            "metadata.postgres",
            database.password_file.as_deref(),
            database.ca.as_deref(),
            &mut found,
        );
    }
    for (section, listen, insecure, tls) in [
        ("control", config.control.listen, config.control.insecure_listen, config.control.tls.is_some()),
        ("metrics", config.metrics.listen, config.metrics.insecure_listen, config.metrics.tls.is_some()),
    ] {
        if insecure && !tls && !listen.ip().is_loopback() {
            let text = format!("{listen} is served without TLS: whoever is on the way reads what is sent");
            found.warn(&format!("{section}.insecure_listen"), text);
        }
    }
    found.all
}

struct Findings<'a> {
    loaded: &'a Loaded,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, key: &str, message: String, fatal: bool) {
        // What nobody wrote down has no place to point to.
        let source = match self.loaded.source(key) {
            Source::Default => String::new(),
            source => source.to_string(),
        };
        self.all.push(Finding { key: key.to_owned(), message, fatal, source });
    }

    fn refuse(&mut self, key: &str, message: String) {
        self.add(key, message, true);
    }

    fn warn(&mut self, key: &str, message: String) {
        self.add(key, message, false);
    }
}

fn check_data_dir(config: &Config, found: &mut Findings<'_>) {
    let Some(path) = &config.data_dir else {
        return found.refuse("data_dir", "is missing: name the folder of the local state".to_owned());
    };
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) => found.refuse("data_dir", format!("{shown}: {error}; `dfs init` makes it")),
        Ok(meta) if !meta.is_dir() => found.refuse("data_dir", format!("{shown} is not a folder")),
        Ok(_) if !may_write(path) => {
            found.refuse("data_dir", format!("{shown} cannot be written by this user"));
        }
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            let mode = meta.permissions().mode() & 0o7777;
            found.warn("data_dir", format!("{shown} has mode {mode:04o}: others may look in; chmod 0700"));
        }
        Ok(_) => {}
    }
}

fn may_write(path: &Path) -> bool {
    access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// A file or folder that need not be there yet, in a folder that must.
fn check_place(key: &str, path: &Path, found: &mut Findings<'_>) {
    let shown = path.display();
    if path.exists() {
        if access(path, Access::WRITE_OK).is_err() {
            found.refuse(key, format!("{shown} cannot be written by this user"));
        }
        return;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        found.refuse(key, format!("the folder {} does not exist", parent.display()));
    } else if !may_write(parent) {
        found.refuse(key, format!("the folder {} cannot be written by this user", parent.display()));
    }
}

fn check_ports(config: &Config, ours: Option<&Ready>, found: &mut Findings<'_>) {
    let mut wanted = vec![("nfs.listen", config.nfs.listen), ("control.listen", config.control.listen)];
    if config.metrics.enabled {
        wanted.push(("metrics.listen", config.metrics.listen));
    }
    if config.portmap.enabled {
        wanted.push(("portmap.listen", config.portmap.listen));
    }
    for (at, (key, address)) in wanted.iter().enumerate() {
        let same = |other: &&(&str, SocketAddr)| other.1 == *address && address.port() != 0;
        if let Some((other, _)) = wanted[..at].iter().find(same) {
            found.refuse(key, format!("{address} is also {other}: each needs a port of its own"));
        } else if let Some(why) = port_problem(*address, ours) {
            found.refuse(key, why);
        }
    }
}

/// Why an address cannot be listened on. The running gateway's own ports can.
pub(crate) fn port_problem(address: SocketAddr, ours: Option<&Ready>) -> Option<String> {
    let error = TcpListener::bind(address).err()?;
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return Some(format!("cannot listen on {address}: {error}"));
    }
    let own =
        ours.is_some_and(|ready| [ready.nfs, Some(ready.control), ready.metrics].contains(&Some(address)));
    (!own).then(|| format!("{address} is in use by another program; stop it, or set another address"))
}

fn check_database(section: &str, password_file: Option<&Path>, ca: Option<&Path>, found: &mut Findings<'_>) {
    if let Some(path) = password_file {
        let key = format!("{section}.password_file");
        match std::fs::read_to_string(path) {
            Err(error) => found.refuse(&key, format!("{}: {error}", path.display())),
            Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
                found.refuse(&key, format!("{} is empty", path.display()));
            }
            Ok(_) => warn_open(&key, path, found),
        }
    }
    if let Some(path) = ca
        && let Err(why) = certificates(path)
    {
        found.refuse(&format!("{section}.ca"), why);
    }
}

/// Warns of a secret that others on the machine may read.
fn warn_open(key: &str, path: &Path, found: &mut Findings<'_>) {
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o7777);
    if mode & 0o004 != 0 {
        found.warn(key, format!("{} has mode {mode:04o}: everybody may read it; chmod 0600", path.display()));
    }
}

/// The certificates of a PEM file. *Errors:* a sentence.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{shown}: {}", pem_error(&error)))?;
    if found.is_empty() {
        return Err(format!("{shown} holds no certificate in PEM form"));
    }
    Ok(found)
}

fn pem_error(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        error => format!("not in PEM form: {error}"),
    }
}

fn check_tls(section: &str, tls: &TlsConfig, found: &mut Findings<'_>) {
    let chain = certificates(&tls.cert);
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|error| format!("{}: {}", tls.key.display(), pem_error(&error)));
    if let Some(path) = &tls.client_ca
        && let Err(why) = certificates(path)
    {
        found.refuse(&format!("{section}.client_ca"), why);
    }
    match (chain, key) {
        (Ok(chain), Ok(key)) => {
            warn_open(&format!("{section}.key"), &tls.key, found);
            let built = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
            if let Err(error) = built {
                found.refuse(
                    &format!("{section}.key"),
                    format!("does not go with {}: {error}", tls.cert.display()),
                );
            }
        }
        (chain, key) => {
            for (name, why) in [("cert", chain.err()), ("key", key.err())] {
                if let Some(why) = why {
                    found.refuse(&format!("{section}.{name}"), why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check_text;

    fn found(text: &str) -> Vec<(String, bool)> {
        let (loaded, _) = check_text(Path::new("f"), text, &[], &[]).unwrap();
        check_machine(&loaded, None).into_iter().map(|one| (one.key, one.fatal)).collect()
    }

    const PORTS: &str =
        "nfs: {listen: 127.0.0.1:0}\ncontrol: {listen: 127.0.0.1:0}\nmetrics: {listen: 127.0.0.1:0}\n";

    #[test]
    fn folder_that_fits_has_no_finding_and_each_misfit_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let base = format!("data_dir: {:?}\n{PORTS}", folder.path());
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(found(&base), []);
        let missing = folder.path().join("no/where");
        assert_eq!(found(&format!("{base}warm: {{dir: {missing:?}}}\n")), [("warm.dir".to_owned(), true)]);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found(&base), [("data_dir".to_owned(), false)]);
        assert_eq!(found(PORTS), [("data_dir".to_owned(), true)]);
    }

    #[test]
    fn port_that_is_taken_or_wanted_twice_is_found() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        assert!(port_problem(at, None).unwrap().contains("in use"));
        let ours = Ready { pid: 1, nfs: Some(at), control: at, metrics: None, shares_failed: 0 };
        assert_eq!(port_problem(at, Some(&ours)), None);
        let free = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let text = format!(
            "nfs: {{listen: '{free}'}}\ncontrol: {{listen: '{free}'}}\nmetrics: {{enabled: false}}\n"
        );
        assert!(found(&text).contains(&("control.listen".to_owned(), true)));
    }

    #[test]
    fn key_of_another_certificate_is_found() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let made = |name: &str| {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let (cert, key) =
                (folder.path().join(format!("{name}.crt")), folder.path().join(format!("{name}.key")));
            std::fs::write(&cert, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            (cert, key)
        };
        let ((cert, key), (_, other)) = (made("a"), made("b"));
        let with = |cert: &Path, key: &Path| {
            let tls = format!("{{listen: 127.0.0.1:0, tls: {{cert: {cert:?}, key: {key:?}}}}}");
            found(&format!(
                "data_dir: {:?}\nnfs: {{listen: 127.0.0.1:0}}\nmetrics: {{enabled: false}}\ncontrol: {tls}\n",
                folder.path()
            ))
        };
        assert_eq!(with(&cert, &key), []);
        assert_eq!(with(&cert, &other), [("control.tls.key".to_owned(), true)]);
        assert_eq!(with(&cert, &cert), [("control.tls.key".to_owned(), true)]);
        assert_eq!(with(&folder.path().join("none"), &key), [("control.tls.cert".to_owned(), true)]);
    }
}
