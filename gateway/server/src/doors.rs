//! Sockets of HTTP: bounded in connections as a whole and by address, with or without TLS, and the local one in the data
//! folder.
//!
//! A connection takes a place before its handshake and gives it back when it ends, so that a hostile client can fill its own
//! places only, and all of them together not more than the gateway has descriptors for. One more than fits is closed at once.

use crate::tls::Certificate;
use axum::serve::Listener;
use dfs_net::Quiet;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

/// Connections of one listener, those whose handshake is under way included.
const CONNECTIONS_MAX: usize = 1024;
/// Connections from one address.
const OF_ADDRESS_MAX: usize = 128;
/// Connections that are ready and not yet taken.
const READY_MAX: usize = 16;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest path of a socket that the kernel takes as it is (`sun_path`, with its end).
const SOCKET_PATH_MAX: usize = 107;

#[derive(Default)]
struct Places {
    taken: Mutex<HashMap<IpAddr, usize>>,
    quiet: Quiet,
}

/// A connection's place.
struct Place(Arc<Places>, IpAddr);

impl Places {
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock();
        let of_address = taken.get(&address).copied().unwrap_or(0);
        if of_address >= OF_ADDRESS_MAX || taken.values().sum::<usize>() >= CONNECTIONS_MAX {
            if let Some(left_out) = self.quiet.allow() {
                tracing::warn!(client = %address, left_out, "too many HTTP connections, closed");
            }
            return None;
        }
        taken.insert(address, of_address + 1);
        Some(Place(self.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock();
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

enum Carrier {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection.
pub(crate) struct Connection {
    carrier: Carrier,
    _place: Place,
}

/// A listener for HTTP.
pub(crate) struct Door {
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
    address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

impl Door {
    /// Serves a socket, with TLS where there is a certificate. *Errors:* the socket's.
    pub fn open(listener: TcpListener, certificate: Option<Arc<Certificate>>) -> io::Result<Door> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(READY_MAX);
        let accepting = tokio::spawn(accept(listener, certificate, sender));
        Ok(Door { ready, address, accepting })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    ready: mpsc::Sender<(Connection, SocketAddr)>,
) {
    let places = Arc::new(Places::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(left_out) = places.quiet.allow() {
                    tracing::warn!(%error, left_out, "accept failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take(address.ip().to_canonical()) else { continue };
        // Small answers are not to wait for one another.
        let _ = stream.set_nodelay(true);
        let Some(certificate) = certificate.clone() else {
            let connection = Connection { carrier: Carrier::Plain(stream), _place: place };
            if ready.send((connection, address)).await.is_err() {
                return;
            }
            continue;
        };
        let ready = ready.clone();
        tokio::spawn(async move {
            if let Some(stream) = certificate.accept(stream).await {
                let connection = Connection { carrier: Carrier::Tls(Box::new(stream)), _place: place };
                // Refused only when the listener has ended.
                let _ = ready.send((connection, address)).await;
            }
        });
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Carrier::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The socket in the data folder, for programs of the gateway's own user: mode 0600 from its first moment on. One that a
/// gateway left behind is replaced; the folder's lock says that it is nobody's. *Errors:* the system's.
pub(crate) fn local_socket(data_dir: &Path, name: &str) -> io::Result<UnixListener> {
    let path = data_dir.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made under a name of its own in the folder (mode 0700), so that nobody meets it before it has its mode.
    let new = data_dir.join(format!("{name}.new"));
    let _ = std::fs::remove_file(&new);
    let folder = std::fs::File::open(data_dir)?;
    let short = format!("/proc/self/fd/{}/{name}.new", folder.as_raw_fd());
    let listener = match new.as_os_str().len() <= SOCKET_PATH_MAX {
        true => UnixListener::bind(&new)?,
        false => UnixListener::bind(short)?,
    };
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, &path)?;
    Ok(listener)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn local_socket_is_the_owners_alone_and_replaces_one_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a-folder-with-a-long-name".repeat(5));
        std::fs::create_dir(&deep).unwrap();
        for data_dir in [folder.path(), deep.as_path()] {
            for _ in 0..2 {
                let listener = local_socket(data_dir, "control.sock").unwrap();
                let mode = std::fs::metadata(data_dir.join("control.sock")).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                drop(listener);
            }
        }
    }

    #[tokio::test]
    async fn address_takes_its_own_places_only_and_gives_them_back() {
        let places = Arc::new(Places::default());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut held: Vec<_> = (0..OF_ADDRESS_MAX).map(|_| places.take(one).unwrap()).collect();
        assert!(places.take(one).is_none());
        assert!(places.take(other).is_some());
        held.pop();
        assert!(places.take(one).is_some());
        drop(held);
        assert!(places.taken.lock().is_empty());
    }
}
