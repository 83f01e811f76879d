//! Talking to the gateway that serves from this machine's data folder: over the socket in the folder, which only its owner can
//! open, else over the address of its REST.

use super::Failure;
use crate::config::Config;
use crate::ready::{Ready, SOCKET_FILE, ready, running_pid};
use dfs_api::{Client, ClientError, ClientOptions};
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer about how the gateway is.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The gateway that serves. *Errors:* exit code 3: none runs, or it is starting or stopping.
pub(super) fn serving(data_dir: &Path) -> Result<Ready, Failure> {
    let shown = data_dir.display();
    let Some(pid) = running_pid(data_dir) else {
        return Err(Failure::new(3, format!("no gateway runs on {shown}")));
    };
    ready(data_dir).ok_or_else(|| {
        Failure::new(
            3,
            format!("the gateway (pid {pid}) is starting or stopping on {shown}; look at `dfs logs`"),
        )
    })
}

/// A client of it. `port`: another one of this machine, instead of what the gateway says.
pub(super) fn client(
    config: &Config,
    data_dir: &Path,
    at: &Ready,
    port: Option<u16>,
    options: ClientOptions,
) -> Result<Client, Failure> {
    let failed = |error: ClientError| Failure::new(1, error.to_string());
    let socket = data_dir.join(SOCKET_FILE);
    if port.is_none() && socket.exists() {
        let options = ClientOptions { unix_socket: Some(socket), ..options };
        return Client::with("http://localhost", options).map_err(failed);
    }
    let mut address = at.control;
    if let Some(port) = port {
        address.set_port(port);
    }
    if address.ip().is_unspecified() {
        let here: std::net::IpAddr = match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(here);
    }
    match &config.control.tls {
        None => Client::with(&format!("http://{address}"), options).map_err(failed),
        Some(tls) => {
            let ca = std::fs::read(&tls.cert).map_err(|error| {
                Failure::new(2, format!("control.tls.cert {}: {error}", tls.cert.display()))
            })?;
            let options = ClientOptions { ca: Some(ca), ..options };
            Client::with(&format!("https://{address}"), options).map_err(failed)
        }
    }
}

/// Runs to the end of a call.
pub(super) fn block<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(1, format!("cannot start: {error}")))?.block_on(call)
}
