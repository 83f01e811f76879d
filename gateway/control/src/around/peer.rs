//! Where a request comes from.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client on the network, this machine's loopback included.
    Network(SocketAddr),
    /// A program on this machine that may open the gateway's socket in the data folder.
    Local,
}

impl Peer {
    /// Its address; none for the local socket.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Peer::Network(at) => Some(at.ip().to_canonical()),
            Peer::Local => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip() {
            Some(ip) => write!(f, "{ip}"),
            None => f.write_str("local"),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(at: SocketAddr) -> Peer {
        Peer::Network(at)
    }
}

impl From<tokio::net::unix::SocketAddr> for Peer {
    fn from(_: tokio::net::unix::SocketAddr) -> Peer {
        Peer::Local
    }
}

/// A listener whose addresses are peers.
pub(crate) struct Peers<L>(pub L);

impl<L> Listener for Peers<L>
where
    L: Listener,
    L::Addr: Into<Peer>,
{
    type Io = L::Io;
    type Addr = Peer;

    async fn accept(&mut self) -> (L::Io, Peer) {
        let (io, address) = self.0.accept().await;
        (io, address.into())
    }

    fn local_addr(&self) -> std::io::Result<Peer> {
        self.0.local_addr().map(Into::into)
    }
}

impl<L> Connected<IncomingStream<'_, Peers<L>>> for Peer
where
    L: Listener,
    L::Addr: Into<Peer>,
{
    fn connect_info(stream: IncomingStream<'_, Peers<L>>) -> Peer {
        *stream.remote_addr()
    }
}
