//! The gateway's sockets: all ports are taken before anything else is opened, so that a port in use is told at once and no
//! data is touched; NFS clients that come early are kept waiting by the kernel until the shares are open.
//!
//! An NFS address that was set while the gateway ran, and cannot be had now, does not keep the gateway from starting: only
//! over REST can another one be set.

use crate::commands::Failure;
use crate::config::Config;
use crate::doors::{Door, local_socket};
use crate::ready::SOCKET_FILE;
use crate::runtime::{NfsPlan, Runtime};
use crate::tls::Certificate;
use dfs_control::ControlPlane;
use dfs_net::{Limits, Pool, Server};
use dfs_nfs::portmap::{PortmapService, PortmapTable};
use metrics_exporter_prometheus::PrometheusHandle;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Sockets that nobody serves yet.
pub(crate) struct Listeners {
    nfs: Option<TcpListener>,
    control: TcpListener,
    local: Option<UnixListener>,
    metrics: Option<TcpListener>,
    portmap: Option<(TcpListener, UdpSocket)>,
    pub certificates: Certificates,
}

/// The certificates of the HTTP listeners, where they have some.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    control: Option<Arc<Certificate>>,
    metrics: Option<Arc<Certificate>>,
}

impl Certificates {
    fn load(config: &Config) -> Result<Certificates, Failure> {
        let load = |key: &str, tls: &Option<crate::config::TlsConfig>| {
            let loaded = tls.as_ref().map(Certificate::load).transpose();
            loaded.map_err(|why| Failure::new(2, format!("{key}: {why}")))
        };
        Ok(Certificates {
            control: load("control.tls", &config.control.tls)?,
            metrics: load("metrics.tls", &config.metrics.tls)?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.control.iter().chain(&self.metrics)
    }

    /// Reads all files again: somebody said so.
    pub fn reload(&self) {
        self.all().for_each(|certificate| certificate.reload());
    }
}

/// Where the gateway can be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub nfs: Option<SocketAddr>,
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
    /// Takes the ports and reads the certificates. *Errors:* exit code 4, naming the port and the setting; 2 for a certificate
    /// that cannot be used.
    pub async fn bind(config: &Config, plan: &NfsPlan) -> Result<Listeners, Failure> {
        let certificates = Certificates::load(config)?;
        let listen = |what: &'static str, key: &'static str, at: SocketAddr| {
            dfs_net::listen(at).map_err(|error| port_failure(what, key, at, &error))
        };
        let nfs = match plan.enabled.then(|| listen("NFS", "nfs.listen", plan.listen)) {
            None => None,
            Some(Ok(listener)) => Some(listener),
            Some(Err(failure)) if plan.moved => {
                tracing::error!("{}; `dfsctl adapter update nfs --listen` sets another one", failure.message);
                None
            }
            Some(Err(failure)) => return Err(failure),
        };
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
        Ok(Listeners { nfs, control, local: None, metrics, portmap, certificates })
    }

    /// Opens the local socket; without it commands on this machine go by the network. The folder's lock is held.
    pub fn open_local(&mut self, data_dir: &std::path::Path) {
        match local_socket(data_dir, SOCKET_FILE) {
            Ok(socket) => self.local = Some(socket),
            Err(error) => tracing::warn!(%error, "no local socket in the data folder"),
        }
    }

    /// Where REST and metrics listen, with the ports that the kernel chose where the configuration says 0.
    pub fn addresses(&self) -> io::Result<(SocketAddr, Option<SocketAddr>)> {
        let metrics = self.metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok((self.control.local_addr()?, metrics))
    }

    /// Begins to serve. The tasks end when `stopping` says so (control plane) or are ended by the caller.
    pub async fn serve(
        self,
        gateway: &Arc<Runtime>,
        plane: Arc<ControlPlane>,
        plan: NfsPlan,
        prometheus: PrometheusHandle,
        stopping: &watch::Receiver<bool>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        gateway.nfs.begin(plan, self.nfs).await?;
        let stop = || {
            let mut until = stopping.clone();
            async move {
                let _ = until.wait_for(|stop| *stop).await;
            }
        };
        let door = Door::open(self.control, self.certificates.control.clone())?;
        let mut tasks = vec![tokio::spawn(told(plane.clone().serve(door, stop())))];
        if let Some(local) = self.local {
            tasks.push(tokio::spawn(told(plane.serve(local, stop()))));
        }
        if let Some(listener) = self.metrics {
            let door = Door::open(listener, self.certificates.metrics.clone())?;
            tasks.push(tokio::spawn(crate::metrics::serve(door, gateway.clone(), prometheus.clone())));
        }
        tasks.extend(self.certificates.all().map(|certificate| tokio::spawn(certificate.clone().keep())));
        tasks.push(tokio::spawn(crate::metrics::gather(gateway.clone(), prometheus)));
        tasks.push(tokio::spawn(gateway.clone().keep_trying()));
        tasks.push(tokio::spawn(gateway.clone().keep_owning()));
        tasks.push(tokio::spawn(gateway.clone().keep_hosts()));
        tasks.push(tokio::spawn(gateway.clone().keep_adapters()));
        if let Some((stream, datagrams)) = self.portmap {
            tasks.push(serve_portmap(stream, datagrams, gateway).await?);
        }
        Ok(tasks)
    }
}

async fn told(serving: impl Future<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "the control plane ended");
    }
}

async fn serve_portmap(
    stream: TcpListener,
    datagrams: UdpSocket,
    gateway: &Arc<Runtime>,
) -> io::Result<JoinHandle<()>> {
    let table = gateway.told.portmap.get_or_init(Arc::<PortmapTable>::default).clone();
    table.set_nfs(gateway.nfs.local_addr().map(|at| at.port()));
    let limits = Limits::default();
    let service = Arc::new(PortmapService(table.clone()));
    let server = Server::start(stream, limits, Pool::new(&limits), service).await?;
    Ok(tokio::spawn(async move {
        let _server = server;
        let Err(error) = dfs_nfs::portmap::serve_udp(datagrams, table).await;
        tracing::error!(%error, "portmap over UDP ended");
    }))
}
