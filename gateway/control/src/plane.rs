//! The control plane as one value: database, backend, tokens, limits; and its HTTP server.

use crate::around::idempotency::{KEPT_SECONDS, Turns};
use crate::around::pace::Pace;
use crate::around::{Peer, Peers};
use crate::backend::Backend;
use crate::brake::{LoginBrake, WrongTries};
use crate::database::ControlDatabase;
use crate::guard::Refusal;
use crate::jobs::Jobs;
use crate::live::{Key, Live, PlaneLimits};
use crate::mirror::Snapshot;
use crate::routes::docs::Documents;
use crate::rows::{SettingRow, UserRow};
use crate::tokens::{Claims, TokenKeys};
use crate::{routes, sessions};
use axum::serve::Listener;
use dfs_api::Problem;
use dfs_auth::password::{PasswordError, PasswordHash};
use dfs_model::{Clock, Entropy, Monotonic};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

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
    pub limits: PlaneLimits,
}

/// The control plane.
pub struct ControlPlane {
    pub(crate) database: Arc<ControlDatabase>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) tokens: TokenKeys,
    pub(crate) brake: LoginBrake,
    pub(crate) pace: Pace,
    /// How often refusals of one address go into the audit log.
    pub(crate) refusals: Pace,
    pub(crate) requests: tokio::sync::Semaphore,
    pub(crate) live: Live,
    pub(crate) jobs: Jobs,
    pub(crate) turns: Turns,
    pub(crate) changing: Changing,
    pub(crate) documents: Documents,
    hashing: tokio::sync::Semaphore,
    /// Those who wait for their turn to hash, and those who hash.
    hash_queue: tokio::sync::Semaphore,
    /// The rows that the gateway's identities were made from.
    told: Mutex<Option<Arc<Snapshot>>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Verified in place of a user's that does not exist, so that both take equally long.
    pub(crate) nobody: PasswordHash,
    pub(crate) started: Monotonic,
    pub(crate) version: &'static str,
}

/// Changes of the running gateway, one at a time of each kind: a cold store that is slow to prove holds up nobody's share.
/// Where two are needed they are taken in the order in which they stand here.
#[derive(Default)]
pub(crate) struct Changing {
    pub stores: tokio::sync::Mutex<()>,
    pub netgroups: tokio::sync::Mutex<()>,
    pub shares: tokio::sync::Mutex<()>,
    pub adapters: tokio::sync::Mutex<()>,
    pub settings: tokio::sync::Mutex<()>,
}

/// Passwords hashed at the same time: each takes tens of MiB and a core.
const HASHING_MAX: usize = 2;
/// Logins that wait for that; more are told to come again.
const HASH_QUEUE_MAX: usize = 64;
/// How often ended minutes of wrong logins, and limits that were set elsewhere, are looked for.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often what is of no more use is cleared away.
const CLEAR_EVERY: Duration = Duration::from_secs(600);
/// Refusals of one address in the audit log: a second, and at once in such seconds.
const REFUSALS: (u64, u32) = (2, 60);

impl ControlPlane {
    /// Makes a control plane, and tells the gateway whom it knows. *Errors:* the password hasher's, at start only.
    pub fn new(options: PlaneOptions) -> Result<Arc<ControlPlane>, PasswordError> {
        let unguessable = format!("{:032x}", options.entropy.random_u128());
        let (limits, clock) = (options.limits, options.clock);
        let plane = ControlPlane {
            nobody: PasswordHash::new(&unguessable, options.entropy.as_ref())?,
            database: options.database,
            backend: options.backend,
            tokens: TokenKeys::new(&options.token_key, clock.clone(), options.entropy.clone()),
            brake: LoginBrake::new(clock.clone()),
            pace: Pace::new(u64::from(limits.requests_per_second), 2, clock.clone()),
            refusals: Pace::new(REFUSALS.0, REFUSALS.1, clock.clone()),
            requests: tokio::sync::Semaphore::new(limits.max_requests.max(1)),
            live: Live::new(limits),
            jobs: Jobs::default(),
            turns: Turns::default(),
            changing: Changing::default(),
            documents: Documents::new(&routes::table::table(), options.version),
            hashing: tokio::sync::Semaphore::new(HASHING_MAX),
            hash_queue: tokio::sync::Semaphore::new(HASHING_MAX + HASH_QUEUE_MAX),
            told: Mutex::new(None),
            started: clock.monotonic(),
            clock,
            entropy: options.entropy,
            version: options.version,
        };
        plane.brake.set(limits.login_tries_per_minute);
        plane.tell_identities();
        Ok(Arc::new(plane))
    }

    pub(crate) fn user(&self, name: &str) -> Option<UserRow> {
        self.database.get::<UserRow>(name)
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        let now = self.clock.wall();
        now.secs.saturating_mul(1000).saturating_add(i64::from(now.nanos / 1_000_000))
    }

    /// Goes on with the keys of a token key file that was rotated: tokens of the key before stay good.
    pub fn reload_token_key(&self, file: &[u8]) {
        self.tokens.reload(file);
    }

    /// Who calls with this access token, if it is good now.
    pub(crate) fn authenticate(&self, token: &str) -> Option<Claims> {
        sessions::authenticate(&self.tokens, &self.database.snapshot(), token)
    }

    /// Tells the gateway whom it knows, unless nothing that it looks at changed since it was told. It acts with the next request
    /// of every client. Called after every change of people here; a server whose database others change too calls it when they
    /// did.
    pub fn tell_identities(&self) {
        let mut told = self.told.lock();
        let snapshot = self.database.snapshot();
        if told.as_ref().is_none_or(|before| !crate::same_people(before, &snapshot)) {
            self.backend.set_identities(Arc::new(crate::identities(&snapshot)));
        }
        *told = Some(snapshot);
    }

    /// Works on a password off the async threads, few at a time. *Errors:* 503 when too many wait for that.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || Problem::new(503, "busy", "too many logins are looked at; try again").again_after(1);
        let _waiting = self.hash_queue.try_acquire().map_err(|_| busy())?;
        let _turn = self.hashing.acquire().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Problem::internal(error.to_string()).into())
    }

    /// Tells of logins that went wrong: the log, and the audit log.
    pub(crate) async fn tell_wrong_tries(&self, told: WrongTries) {
        let address = told.address.map_or_else(|| "local".to_owned(), |address| address.to_string());
        tracing::warn!(%address, tries = told.count, name = %told.name.escape_debug(), "wrong logins");
        routes::auth::record_wrong(self, told).await;
    }

    /// Puts the settings that were set into force, and gives the others the configuration file's value: once the gateway runs,
    /// and when another gateway changed one. One that is not taken is told and left out.
    pub async fn apply_settings(&self) {
        let _changing = self.changing.settings.lock().await;
        let all = routes::settings::all(self).await;
        for key in all.values().filter(|setting| setting.live).map(|setting| setting.key.as_str()) {
            let row = self.database.get::<SettingRow>(key);
            let value = row.as_ref().map(|row| &row.value);
            if let Err(problem) = routes::settings::put_into_force(self, key, value).await {
                tracing::error!(key, %problem, "a setting is not taken; the configuration file's holds");
            }
        }
    }

    /// Serves until `stop` resolves, then lets requests under way end. Several listeners may be served at once.
    ///
    /// *Errors:* the listener's.
    pub async fn serve<L>(
        self: Arc<Self>,
        listener: L,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()>
    where
        L: Listener,
        L::Addr: Into<Peer>,
    {
        let app = routes::router(self).into_make_service_with_connect_info::<Peer>();
        axum::serve(Peers(listener), app).with_graceful_shutdown(stop).await
    }

    /// Tells of wrong logins when their minute is over and clears away what is of no more use, until its task is ended.
    pub async fn keep(self: Arc<Self>) {
        let mut cleared = self.clock.monotonic();
        let mut settings = self.database.list::<SettingRow>();
        self.clear().await;
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            self.follow_limits(&mut settings);
            for told in self.brake.over() {
                self.tell_wrong_tries(told).await;
            }
            if self.clock.monotonic().since(cleared) >= CLEAR_EVERY {
                cleared = self.clock.monotonic();
                self.clear().await;
            }
        }
    }

    /// Goes by limits that another gateway on the same database set.
    fn follow_limits(&self, known: &mut Vec<SettingRow>) {
        let now = self.database.list::<SettingRow>();
        if now == *known {
            return;
        }
        for key in Key::ALL {
            let set = now.iter().find(|row| row.key == key.name());
            let value = set.map_or(Ok(key.of(&self.live.limits)), |row| key.parse(&row.value));
            if let Ok(value) = value {
                self.live.apply(key, value, &self.pace, &self.brake);
            }
        }
        *known = now;
    }

    async fn clear(&self) {
        let now = self.clock.wall().secs;
        let change = sessions::clear(&self.database.snapshot(), now, now - KEPT_SECONDS);
        if !change.is_empty()
            && let Err(error) = self.database.commit(change, None).await
        {
            tracing::warn!(%error, "ended sessions could not be cleared away; they are void all the same");
        }
        let days = i64::from(self.live.audit_keep_days());
        match self.database.trim_audit(self.now_ms() - days * 86_400_000).await {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, days, "old records left the audit log"),
            Err(error) => tracing::warn!(%error, "old records of the audit log could not be removed"),
        }
    }
}
