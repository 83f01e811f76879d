//! The gateway's sockets: all ports are taken before anything else is opened, so that a port in use is told at once and no
//! data is touched; NFS clients that come early are kept waiting by the kernel until the shares are open.

use crate::commands::Failure;
use crate::config::Config;
use crate::runtime::Runtime;
use dfs_control::ControlPlane;
use dfs_net::{Limits, Pool, Server};
use dfs_nfs::portmap::{PortmapService, PortmapTable};
use dfs_nfs::{NfsConfig, NfsService};
use metrics_exporter_prometheus::PrometheusHandle;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Sockets that nobody serves yet.
pub(crate) struct Listeners {
    nfs: TcpListener,
    control: TcpListener,
    metrics: Option<TcpListener>,
    portmap: Option<(TcpListener, UdpSocket)>,
}

/// Where the gateway can be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub nfs: SocketAddr,
    pub control: SocketAddr,
    pub metrics: Option<SocketAddr>,
}

fn port_failure(what: &str, key: &str, at: SocketAddr, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AddrInUse {
        return Failure::new(
            4,
            format!("{what}: {at} is in use by another program; stop it, or set another {key}"),
        );
    }
    Failure::new(4, format!("{what}: cannot listen on {at}: {error}; check {key}"))
}

impl Listeners {
    /// Takes the ports. *Errors:* exit code 4, naming the port and the setting.
    pub async fn bind(config: &Config) -> Result<Listeners, Failure> {
        let listen = |what: &'static str, key: &'static str, at: SocketAddr| {
            dfs_net::listen(at).map_err(|error| port_failure(what, key, at, &error))
        };
        let nfs = listen("NFS", "nfs.listen", config.nfs.listen)?;
        let control = listen("control plane", "control.listen", config.control.listen)?;
        let metrics = match config.metrics.enabled {
            true => Some(listen("metrics", "metrics.listen", config.metrics.listen)?),
            false => None,
        };
        let portmap = match config.portmap.enabled {
            true => {
                let at = config.portmap.listen;
                let stream = listen("portmap", "portmap.listen", at)?;
                let datagrams = UdpSocket::bind(at).await;
                Some((
                    stream,
                    datagrams.map_err(|error| port_failure("portmap", "portmap.listen", at, &error))?,
                ))
            }
            false => None,
        };
        Ok(Listeners { nfs, control, metrics, portmap })
    }

    /// Where they listen, with the ports that the kernel chose where the configuration says 0.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let metrics = self.metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok(Addresses { nfs: self.nfs.local_addr()?, control: self.control.local_addr()?, metrics })
    }

    /// Begins to serve. The tasks end when `stopping` says so (control plane) or are ended by the caller.
    pub async fn serve(
        self,
        gateway: &Arc<Runtime>,
        plane: Arc<ControlPlane>,
        prometheus: PrometheusHandle,
        stopping: &watch::Receiver<bool>,
    ) -> io::Result<Serving> {
        let limits = Limits {
            connections_max: gateway.config.nfs.max_connections,
            connection_requests_max: gateway.config.nfs.max_requests_per_connection,
            large_bytes_max: request_memory(gateway),
            ..Limits::default()
        };
        let service = NfsService::new(
            gateway.exports.clone(),
            gateway.identities.clone(),
            gateway.clock.clone(),
            NfsConfig::default(),
            None,
        );
        let nfs = Server::start(self.nfs, limits, Pool::new(&limits), service).await?;
        let mut until = stopping.clone();
        let stop = async move {
            let _ = until.wait_for(|stop| *stop).await;
        };
        let mut tasks = vec![tokio::spawn(async move {
            if let Err(error) = plane.serve(self.control, stop).await {
                tracing::error!(%error, "the control plane ended");
            }
        })];
        if let Some(listener) = self.metrics {
            tasks.push(tokio::spawn(crate::metrics::serve(listener, gateway.clone(), prometheus.clone())));
        }
        tasks.push(tokio::spawn(crate::metrics::gather(gateway.clone(), prometheus)));
        tasks.push(tokio::spawn(gateway.clone().keep_trying()));
        tasks.push(tokio::spawn(gateway.clone().keep_owning()));
        tasks.push(tokio::spawn(gateway.clone().keep_hosts()));
        if let Some((stream, datagrams)) = self.portmap {
            tasks.push(serve_portmap(stream, datagrams, nfs.local_addr().port()).await?);
        }
        Ok(Serving { nfs, tasks })
    }
}

/// What runs.
pub(crate) struct Serving {
    pub nfs: Server<NfsService>,
    pub tasks: Vec<JoinHandle<()>>,
}

fn request_memory(gateway: &Runtime) -> usize {
    let bytes = gateway.config.nfs.request_memory.map_or(gateway.split.requests, |size| size.0);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

async fn serve_portmap(
    stream: TcpListener,
    datagrams: UdpSocket,
    nfs_port: u16,
) -> io::Result<JoinHandle<()>> {
    let table = PortmapTable::with_nfs(nfs_port);
    let limits = Limits::default();
    let service = Arc::new(PortmapService(table.clone()));
    let server = Server::start(stream, limits, Pool::new(&limits), service).await?;
    Ok(tokio::spawn(async move {
        let _server = server;
        let Err(error) = dfs_nfs::portmap::serve_udp(datagrams, table).await;
        tracing::error!(%error, "portmap over UDP ended");
    }))
}
