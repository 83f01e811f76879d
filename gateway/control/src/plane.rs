//! The control plane as one value: database, backend, tokens; and its HTTP server.

use crate::backend::Backend;
use crate::brake::LoginBrake;
use crate::database::ControlDatabase;
use crate::jobs::Jobs;
use crate::rows::UserRow;
use crate::sessions;
use crate::tokens::{Claims, TokenKeys};
use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use dfs_auth::password::{PasswordError, PasswordHash};
use dfs_model::{Clock, Entropy, Monotonic};
use std::net::SocketAddr;
use std::sync::Arc;

/// Where a connection comes from; a program on this machine counts as its loopback.
#[derive(Clone, Copy, Debug)]
pub struct From(SocketAddr);

impl std::convert::From<SocketAddr> for From {
    fn from(at: SocketAddr) -> From {
        From(at)
    }
}

impl std::convert::From<tokio::net::unix::SocketAddr> for From {
    fn from(_: tokio::net::unix::SocketAddr) -> From {
        From(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// A listener whose connections come from where [`From`] says.
struct Entrance<L>(L);

impl<L> axum::serve::Listener for Entrance<L>
where
    L: axum::serve::Listener,
    L::Addr: Into<From>,
{
    type Io = L::Io;
    type Addr = From;

    async fn accept(&mut self) -> (L::Io, From) {
        let (io, at) = self.0.accept().await;
        (io, at.into())
    }

    fn local_addr(&self) -> std::io::Result<From> {
        self.0.local_addr().map(Into::into)
    }
}

impl<L> Connected<IncomingStream<'_, Entrance<L>>> for From
where
    L: axum::serve::Listener,
    L::Addr: Into<From>,
{
    fn connect_info(stream: IncomingStream<'_, Entrance<L>>) -> From {
        *stream.remote_addr()
    }
}

/// What a control plane is made of.
#[allow(missing_docs)]
pub struct PlaneOptions {
    pub database: Arc<ControlDatabase>,
    pub backend: Arc<dyn Backend>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// The token key file: one key of 32 random bytes, or the newest and the one before.
    pub token_key: Vec<u8>,
    pub version: &'static str,
}

/// The control plane.
pub struct ControlPlane {
    pub(crate) database: Arc<ControlDatabase>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) tokens: TokenKeys,
    pub(crate) brake: LoginBrake,
    pub(crate) jobs: Jobs,
    pub(crate) hashing: tokio::sync::Semaphore,
    /// Changes of the configuration, one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Verified in place of a user's that does not exist, so that both take equally long.
    pub(crate) nobody: PasswordHash,
    pub(crate) started: Monotonic,
    pub(crate) version: &'static str,
}

/// Passwords hashed at the same time: each takes tens of MiB and a core.
const HASHING_MAX: usize = 2;

impl ControlPlane {
    /// Makes a control plane. *Errors:* the password hasher's, at start only.
    pub fn new(options: PlaneOptions) -> Result<Arc<ControlPlane>, PasswordError> {
        let unguessable = format!("{:032x}", options.entropy.random_u128());
        Ok(Arc::new(ControlPlane {
            nobody: PasswordHash::new(&unguessable, options.entropy.as_ref())?,
            database: options.database,
            backend: options.backend,
            tokens: TokenKeys::new(&options.token_key, options.clock.clone(), options.entropy.clone()),
            brake: LoginBrake::new(options.clock.clone()),
            jobs: Jobs::default(),
            hashing: tokio::sync::Semaphore::new(HASHING_MAX),
            changing: tokio::sync::Mutex::new(()),
            started: options.clock.monotonic(),
            clock: options.clock,
            entropy: options.entropy,
            version: options.version,
        }))
    }

    pub(crate) fn user(&self, name: &str) -> Option<UserRow> {
        self.database.get::<UserRow>(name)
    }

    /// Goes on with the keys of a token key file that was rotated: tokens of the key before stay good.
    pub fn reload_token_key(&self, file: &[u8]) {
        self.tokens.reload(file);
    }

    /// Who calls with this access token, if it is good now.
    pub(crate) fn authenticate(&self, token: &str) -> Option<Claims> {
        sessions::authenticate(&self.tokens, &self.database.snapshot(), token)
    }

    /// Serves until `stop` resolves, then lets requests under way end.
    ///
    /// *Errors:* the listener's.
    pub async fn serve<L>(
        self: Arc<Self>,
        listener: L,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()>
    where
        L: axum::serve::Listener,
        L::Addr: Into<From>,
    {
        let named = |mut request: axum::extract::Request| async {
            if let Some(ConnectInfo(From(at))) = request.extensions().get::<ConnectInfo<From>>().copied() {
                request.extensions_mut().insert(ConnectInfo(at));
            }
            request
        };
        let app = crate::routes::router(self).layer(axum::middleware::map_request(named));
        let app = app.into_make_service_with_connect_info::<From>();
        axum::serve(Entrance(listener), app).with_graceful_shutdown(stop).await
    }
}
