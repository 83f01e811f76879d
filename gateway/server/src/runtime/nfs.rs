//! The NFS adapter: a listener that is started, stopped and moved while the gateway runs, and settings that change under it.
//!
//! ```text
//!             start                      stop, remove: drained, then cut at the deadline
//!  Stopped ──────────▶ Serving ◀───┐ ────────────────────────────────────────────────────▶ Stopped
//!     ▲                   │  └─ move: the new port is open before the old one closes
//!     │ given up          ▼
//!     └───────────── Failed (the port cannot be had: tried again now and then)
//! ```
//! The service (replay cache, mounts) and the pool of permits outlive the listeners, so a client that comes back over a new
//! port finds its replies. Requests that were begun run to their end whatever becomes of their connection.
//!
//! A change that cuts clients is made by force only; without it the answer names them. Changes come one at a time. What is
//! decided here is kept by the control plane as this gateway's own: an address means something on one machine only.

use super::Runtime;
use crate::config::Config;
use dfs_api::{Adapter, AdapterKind, ChangeAdapter, NfsSettings, Operation, Problem};
use dfs_control::rows::AdapterRow;
use dfs_net::{Limits, Peer, Pool, Server};
use dfs_nfs::NfsService;
use dfs_vfs::OperationSet;
use parking_lot::RwLock;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long requests under way may take when a listener is stopped or moved by command: less than a REST request may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How often a port that could not be had is asked for again, and old mounts are taken off the list.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The longest idle time that means anything; a connection without one is never closed for it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// Most connections, which is more than a machine has descriptors for.
const CONNECTIONS_MOST: u32 = 1_000_000;
/// Least and most bytes of memory for requests: two of the largest, and what the pool can count.
const REQUEST_BYTES: std::ops::RangeInclusive<u64> = 4 << 20..=4 << 30;
/// Idle times: shorter ones would end connections between two calls of a slow client.
const IDLE_SECONDS: std::ops::RangeInclusive<u64> = 10..=366 * 24 * 60 * 60;

/// What the adapter is doing.
enum Phase {
    Stopped,
    Serving(Server<NfsService>),
    Failed(String),
}

struct State {
    /// Whether there is an adapter at all.
    present: bool,
    enabled: bool,
    /// Where it shall listen.
    listen: SocketAddr,
    settings: NfsSettings,
    phase: Phase,
}

/// The adapter.
pub(crate) struct NfsAdapter {
    pub service: Arc<NfsService>,
    pool: Arc<Pool>,
    state: RwLock<State>,
    /// Changes, one at a time.
    changing: tokio::sync::Mutex<()>,
}

/// What the adapter is to be, before anything is opened.
#[derive(Clone, Debug)]
pub(crate) struct NfsPlan {
    present: bool,
    pub enabled: bool,
    pub listen: SocketAddr,
    /// Whether the address is another than the configuration file's: it can be changed while the gateway runs only.
    pub moved: bool,
    settings: Option<NfsSettings>,
}

impl NfsPlan {
    /// What the control database has of it, else what the configuration file says.
    pub fn of(config: &Config, row: Option<AdapterRow>) -> NfsPlan {
        let from_file =
            NfsPlan { present: true, enabled: true, listen: config.nfs.listen, moved: false, settings: None };
        let Some(row) = row else { return from_file };
        if row.removed {
            return NfsPlan { present: false, enabled: false, ..from_file };
        }
        let kept = row.listen.and_then(|text| {
            let parsed = text.parse().ok();
            if parsed.is_none() {
                tracing::error!(listen = text, "the NFS adapter's address is not understood");
            }
            parsed
        });
        let listen = kept.unwrap_or(from_file.listen);
        let moved = listen != from_file.listen;
        NfsPlan { enabled: row.enabled, listen, moved, settings: row.settings, ..from_file }
    }
}

/// Settings that the configuration file gives.
fn configured(config: &Config, request_memory: u64) -> NfsSettings {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    NfsSettings {
        max_connections: count(config.nfs.max_connections),
        max_requests_per_connection: count(config.nfs.max_requests_per_connection),
        request_memory_bytes: request_memory,
        require_privileged_port: config.nfs.require_privileged_port,
        blocked_operations: Vec::new(),
        idle_timeout_seconds: config.nfs.idle_timeout.0.as_secs(),
    }
}

fn limits(settings: &NfsSettings) -> Limits {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let idle_max = match settings.idle_timeout_seconds {
        0 => NEVER,
        seconds => Duration::from_secs(seconds),
    };
    Limits {
        connections_max: count(settings.max_connections),
        connection_requests_max: count(settings.max_requests_per_connection),
        large_bytes_max: usize::try_from(settings.request_memory_bytes).unwrap_or(usize::MAX),
        idle_max,
        ..Limits::default()
    }
}

fn blocked(operations: &[Operation]) -> OperationSet {
    operations.iter().map(|word| super::rules::operation(*word)).collect()
}

/// Why a port cannot be had, in words that name it and what to change.
fn port_problem(at: SocketAddr, error: &std::io::Error) -> Problem {
    let why = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("NFS: {at} is in use by another program; stop it, or choose another port")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("NFS: {at} is no address of this machine; use one that it has, or 0.0.0.0 for all")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("NFS: {at} may not be used by this user: ports below 1024 need CAP_NET_BIND_SERVICE")
        }
        _ => format!("NFS: cannot listen on {at}: {error}"),
    };
    Problem { field: Some("listen".to_owned()), ..Problem::new(422, "unusable", why) }
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    let parsed = text.parse::<SocketAddr>();
    parsed.map_err(|_| {
        Problem::field("listen", format!("'{text}' is no address and port, for instance 0.0.0.0:12049"))
    })
}

fn not_there() -> Problem {
    Problem::not_found("adapter", AdapterKind::Nfs.name())
}

impl NfsAdapter {
    /// An adapter as the configuration file says. It does not listen yet.
    pub fn new(config: &Config, request_memory: u64, service: Arc<NfsService>) -> NfsAdapter {
        let settings = configured(config, request_memory);
        let state = State {
            present: true,
            enabled: true,
            listen: config.nfs.listen,
            phase: Phase::Stopped,
            settings: settings.clone(),
        };
        NfsAdapter {
            service,
            pool: Pool::new(&limits(&settings)),
            state: RwLock::new(state),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// Begins to serve as planned, on the port that was taken for it; without one, the port could not be had. *Errors:* the
    /// socket's.
    pub async fn begin(&self, plan: NfsPlan, taken: Option<TcpListener>) -> std::io::Result<()> {
        let _changing = self.changing.lock().await;
        let wanted = plan.present && plan.enabled;
        {
            let mut state = self.state.write();
            (state.present, state.enabled, state.listen) = (plan.present, plan.enabled, plan.listen);
            if let Some(settings) = plan.settings {
                state.settings = settings;
            }
            if wanted && taken.is_none() {
                state.phase = Phase::Failed(format!("NFS: cannot listen on {}", plan.listen));
            }
        }
        self.apply_settings();
        if let Some(listener) = taken {
            let server = self.start(listener).await?;
            self.state.write().phase = Phase::Serving(server);
        }
        Ok(())
    }

    /// Where it listens, with the port that the kernel chose where none was asked for; nothing when it does not.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.state.read().phase {
            Phase::Serving(server) => Some(server.local_addr()),
            Phase::Stopped | Phase::Failed(_) => None,
        }
    }

    async fn start(&self, listener: TcpListener) -> std::io::Result<Server<NfsService>> {
        let limits = limits(&self.state.read().settings);
        Server::start(listener, limits, self.pool.clone(), self.service.clone()).await
    }

    /// Ends serving at the gateway's stop. Answers how many requests still run.
    pub async fn stop(&self, within: Duration) -> usize {
        let _changing = self.changing.lock().await;
        let phase = std::mem::replace(&mut self.state.write().phase, Phase::Stopped);
        match phase {
            Phase::Serving(server) => server.drain(within).await.requests_running,
            Phase::Stopped | Phase::Failed(_) => 0,
        }
    }

    /// The connections open now.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        match &self.state.read().phase {
            Phase::Serving(server) => server.peers(),
            Phase::Stopped | Phase::Failed(_) => Vec::new(),
        }
    }

    /// Whether it is to serve and does not, and why.
    pub fn trouble(&self) -> Option<String> {
        match &self.state.read().phase {
            Phase::Failed(why) => Some(why.clone()),
            Phase::Serving(_) | Phase::Stopped => None,
        }
    }

    /// Whether only clients with a port below 1024 are served.
    pub fn needs_privileged_port(&self) -> bool {
        self.state.read().settings.require_privileged_port
    }

    /// How it is; nothing where there is none.
    pub fn show(&self) -> Option<Adapter> {
        let state = self.state.read();
        let (words, connections) = match &state.phase {
            Phase::Serving(server) => ("serving".to_owned(), server.connections()),
            Phase::Stopped => ("stopped".to_owned(), 0),
            Phase::Failed(why) => (format!("failed: {why}"), 0),
        };
        state.present.then(|| Adapter {
            kind: AdapterKind::Nfs,
            enabled: state.enabled,
            listen: state.listen.to_string(),
            state: words,
            connections: connections as u64,
            settings: state.settings.clone(),
        })
    }

    /// Adds the adapter that was removed. *Errors:* 409 where it is there, 422 where the port cannot be had; then there is none.
    pub async fn add(&self, listen: Option<&str>, enabled: bool, default: SocketAddr) -> Result<(), Problem> {
        let _changing = self.changing.lock().await;
        if self.state.read().present {
            let why = "the NFS adapter exists already: change it (`dfsctl adapter update nfs`)";
            return Err(Problem::conflict(why));
        }
        let listen = listen.map_or(Ok(default), address)?;
        let phase = if enabled { self.open(listen).await? } else { Phase::Stopped };
        let mut state = self.state.write();
        (state.present, state.enabled, state.listen, state.phase) = (true, enabled, listen, phase);
        Ok(())
    }

    async fn open(&self, listen: SocketAddr) -> Result<Phase, Problem> {
        let listener = dfs_net::listen(listen).map_err(|error| port_problem(listen, &error))?;
        let server = self.start(listener).await.map_err(|error| port_problem(listen, &error))?;
        Ok(Phase::Serving(server))
    }

    /// Starts, stops or moves it. `cut` names the clients that it would cut. *Errors:* theirs unless forced; 422 where the new
    /// port cannot be had: the old one is served on.
    pub async fn change(
        &self,
        change: &ChangeAdapter,
        force: bool,
        cut: impl Fn() -> Vec<String>,
    ) -> Result<(), Problem> {
        let _changing = self.changing.lock().await;
        let (before, serves) = {
            let state = self.state.read();
            if !state.present {
                return Err(not_there());
            }
            ((state.enabled, state.listen), matches!(state.phase, Phase::Serving(_)))
        };
        let enabled = change.enabled.unwrap_or(before.0);
        let listen = change.listen.as_deref().map_or(Ok(before.1), address)?;
        let stays = serves && enabled && listen == before.1;
        if stays {
            return Ok(());
        }
        if serves && !force {
            refuse_cut("stopping or moving the NFS adapter", cut())?;
        }
        match (serves, enabled) {
            (_, false) => self.close(DRAIN_WITHIN).await,
            (false, true) => {
                let phase = self.open(listen).await?;
                self.state.write().phase = phase;
            }
            (true, true) => self.relocate(before.1, listen).await?,
        }
        let mut state = self.state.write();
        (state.enabled, state.listen) = (enabled, listen);
        Ok(())
    }

    /// Moves to another address: the new port is open before the old one closes, unless both mean one port of this machine;
    /// then the old one closes first, and is opened again if the new one cannot be had.
    async fn relocate(&self, from: SocketAddr, to: SocketAddr) -> Result<(), Problem> {
        if from.port() != to.port() || to.port() == 0 {
            let phase = self.open(to).await?;
            let old = std::mem::replace(&mut self.state.write().phase, phase);
            drain(old, DRAIN_WITHIN).await;
            return Ok(());
        }
        self.close(DRAIN_WITHIN).await;
        let (phase, refused) = match self.open(to).await {
            Ok(phase) => (phase, Ok(())),
            Err(problem) => match self.open(from).await {
                Ok(phase) => (phase, Err(problem)),
                Err(lost) => (Phase::Failed(lost.detail), Err(problem)),
            },
        };
        self.state.write().phase = phase;
        refused
    }

    async fn close(&self, within: Duration) {
        let old = std::mem::replace(&mut self.state.write().phase, Phase::Stopped);
        drain(old, within).await;
    }

    /// Stops it and forgets it; its settings too. *Errors:* as [`NfsAdapter::change`].
    pub async fn remove(
        &self,
        force: bool,
        defaults: NfsSettings,
        listen: SocketAddr,
        cut: impl Fn() -> Vec<String>,
    ) -> Result<(), Problem> {
        {
            let _changing = self.changing.lock().await;
            if !self.state.read().present {
                return Err(not_there());
            }
            if !force {
                refuse_cut("removing the NFS adapter", cut())?;
            }
            self.close(DRAIN_WITHIN).await;
            let mut state = self.state.write();
            (state.present, state.enabled, state.settings, state.listen) = (false, false, defaults, listen);
        }
        self.apply_settings();
        Ok(())
    }

    /// Tests settings. *Errors:* 400 with the field that is wrong; the clients that they would cut, unless forced.
    pub fn check(&self, settings: &NfsSettings, force: bool) -> Result<(), Problem> {
        if !self.state.read().present {
            return Err(not_there());
        }
        within("max_connections", settings.max_connections, 1..=CONNECTIONS_MOST)?;
        let most = u32::try_from(Limits::CONNECTION_REQUESTS_MOST).unwrap_or(u32::MAX);
        within("max_requests_per_connection", settings.max_requests_per_connection, 1..=most)?;
        within("request_memory_bytes", settings.request_memory_bytes, REQUEST_BYTES)?;
        if settings.idle_timeout_seconds != 0 {
            within("idle_timeout_seconds", settings.idle_timeout_seconds, IDLE_SECONDS)?;
        }
        if settings.require_privileged_port && !self.needs_privileged_port() && !force {
            let unprivileged = self.peers().into_iter().filter(|peer| peer.address.port() >= 1024);
            let cut: Vec<_> = unprivileged.map(|peer| self.name_of(&peer)).collect();
            refuse_cut("require_privileged_port", cut)?;
        }
        Ok(())
    }

    /// Puts settings into force that were tested. The caller exports the shares again.
    pub async fn set(&self, settings: &NfsSettings) {
        let _changing = self.changing.lock().await;
        self.state.write().settings = settings.clone();
        self.apply_settings();
    }

    fn apply_settings(&self) {
        let state = self.state.read();
        self.service.block(blocked(&state.settings.blocked_operations));
        let limits = limits(&state.settings);
        self.pool.resize_large(limits.large_bytes_max);
        if let Phase::Serving(server) = &state.phase {
            server.set_limits(limits);
        }
    }

    /// A connection in words: its address and what it uses.
    pub fn name_of(&self, peer: &Peer) -> String {
        let used = self.service.used(peer).shares;
        match used.is_empty() {
            true => peer.address.to_string(),
            false => format!("{} (share {})", peer.address, used.join(", ")),
        }
    }

    /// Tries a port again that could not be had.
    async fn try_again(&self) -> bool {
        let _changing = self.changing.lock().await;
        let listen = {
            let state = self.state.read();
            match &state.phase {
                Phase::Failed(_) if state.present && state.enabled => state.listen,
                _ => return false,
            }
        };
        match self.open(listen).await {
            Ok(phase) => {
                self.state.write().phase = phase;
                tracing::info!(%listen, "the NFS adapter serves now");
                true
            }
            Err(problem) => {
                self.state.write().phase = Phase::Failed(problem.detail);
                false
            }
        }
    }
}

async fn drain(phase: Phase, within: Duration) {
    if let Phase::Serving(server) = phase {
        server.drain(within).await;
    }
}

/// Refuses a change that would cut these clients.
pub(super) fn refuse_cut(what: &str, clients: Vec<String>) -> Result<(), Problem> {
    if clients.is_empty() {
        return Ok(());
    }
    Err(Problem::would_cut(what, clients))
}

fn within<T: PartialOrd + std::fmt::Display>(
    field: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), Problem> {
    match range.contains(&value) {
        true => Ok(()),
        false => {
            Err(Problem::field(field, format!("{value} is not from {} to {}", range.start(), range.end())))
        }
    }
}

impl Runtime {
    /// The settings of the adapter that hold where nobody said anything.
    pub(super) fn default_nfs_settings(&self) -> NfsSettings {
        configured(&self.config, request_memory(&self.config, self.split.requests))
    }

    /// Looks after the adapter until its task is ended: a port that could not be had, mounts that are long gone.
    pub async fn keep_adapters(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.nfs.try_again().await {
                self.announce();
            }
            let connected: HashSet<_> = self.nfs.peers().iter().map(|peer| peer.address.ip()).collect();
            self.nfs.service.prune_mounts(&connected);
        }
    }
}

/// Bytes of memory for requests: the configured ones, or the machine's share.
pub(super) fn request_memory(config: &Config, share: u64) -> u64 {
    let bytes = config.nfs.request_memory.map_or(share, |size| size.0);
    bytes.clamp(*REQUEST_BYTES.start(), *REQUEST_BYTES.end())
}
