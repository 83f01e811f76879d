//! `dfs start --foreground`: opens everything, listens, waits for a signal, ends in the reverse order.

use crate::commands::{Failure, VERSION, cannot};
use crate::config::{Config, ControlDatabaseConfig, TlsMode};
use crate::listeners::Listeners;
use crate::ready;
use crate::runtime::{Folder, NfsPlan, OpenFailure, Runtime, gateway_id};
use crate::system::OsEntropy;
use dfs_api::AdapterKind;
use dfs_control::rows::{AdapterRow, UserRow};
use dfs_control::{
    ControlDatabase, ControlPlane, DatabaseError, PlaneLimits, PlaneOptions, PostgresOptions, PostgresTls,
    SecretsKey,
};
use dfs_log::RealDisk;
use dfs_model::Entropy;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Key of the access tokens.
pub(crate) const TOKEN_KEY_FILE: &str = "token.key";
/// The key of the secrets at rest within the data folder.
pub(crate) const SECRETS_KEY_FILE: &str = "secrets.key";
/// Bytes of that key.
pub(crate) const TOKEN_KEY_BYTES: usize = 32;
/// The control plane's database.
pub(crate) const CONTROL_FILE: &str = "control.redb";
/// How long threads that block may go on at the end: in order, none does; a start that was cut short may be reading.
const THREADS_WITHIN: Duration = Duration::from_secs(2);
/// How long requests under way may take to end at a stop, by default.
pub(crate) const SHUTDOWN_WITHIN: Duration = Duration::from_secs(30);

impl From<OpenFailure> for Failure {
    fn from(failure: OpenFailure) -> Self {
        Failure::new(failure.code, failure.message)
    }
}

/// Runs on a locked folder until a signal. *Errors:* a sentence and an exit code; what was opened is closed again.
pub(crate) fn run(
    config: Config,
    data_dir: &Path,
    folder: &Folder,
    pid_file: Option<&Path>,
) -> Result<(), Failure> {
    crate::limits::refuse_huge_pages();
    crate::limits::raise_open_files();
    ready::announce_start(data_dir)?;
    if let Some(path) = pid_file {
        std::fs::write(path, std::process::id().to_string())
            .map_err(|error| cannot("write", path, &error))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(1, format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(serve(config, data_dir, folder));
    runtime.shutdown_timeout(THREADS_WITHIN);
    ready::withdraw(data_dir);
    if let Some(path) = pid_file {
        // The lock, not this file, says whether the gateway runs.
        let _ = std::fs::remove_file(path);
    }
    if let Err(failure) = &done {
        tracing::error!(code = failure.code, "{}", failure.message);
    }
    done
}

async fn serve(config: Config, data_dir: &Path, folder: &Folder) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    tokio::spawn(crate::logging::reopen_on_hangup());
    let prometheus = start_metrics()?;
    let key = token_key(data_dir)?;
    let database = Arc::new(control_database(&config, data_dir).await?);
    let name = own_name(&config, data_dir)?;
    let adapter = database.get::<AdapterRow>(&AdapterRow::key_of(&name, AdapterKind::Nfs));
    let plan = NfsPlan::of(&config, adapter);
    let mut listeners = Listeners::bind(&config, &plan).await?;
    let doors = listeners.addresses().map_err(|error| Failure::new(1, error.to_string()))?;
    let within = config.shutdown_timeout.map_or(SHUTDOWN_WITHIN, |limit| limit.0);
    // In a task: a recovery that reads a long journal holds its thread, and must not hold up a signal.
    let mut opening = tokio::spawn(open_all(folder.disk(), config, data_dir.to_owned(), database.clone()));
    let gateway = tokio::select! {
        opened = &mut opening => {
            opened.map_err(|error| Failure::new(1, format!("the start failed: {error}")))??
        }
        () = signals.wait() => {
            opening.abort();
            tracing::info!("stopped before every share was open; what was read is read again at the next start");
            return Ok(());
        }
    };
    let _ = gateway.told.name.set(name);
    let plane = control_plane(&gateway, database.clone(), key)?;
    plane.apply_settings().await;
    let keeping = tokio::spawn(plane.clone().keep());
    let (stop, stopping) = watch::channel(false);
    listeners.open_local(data_dir);
    let certificates = listeners.certificates.clone();
    let serving = listeners.serve(&gateway, plane.clone(), plan, prometheus, &stopping).await;
    let mut tasks = serving.map_err(|error| Failure::new(1, format!("cannot serve: {error}")))?;
    tasks.push(keeping);
    tasks.push(tokio::spawn(gateway.clone().follow(database, plane)));
    tasks.push(tokio::spawn(async move {
        while hangup().await {
            certificates.reload();
        }
    }));
    *gateway.told.doors.lock() = Some(doors);
    gateway.announce();
    let nfs = gateway.nfs.local_addr();
    tracing::info!(version = VERSION, ?nfs, control = %doors.0, "the gateway serves");
    signals.wait().await;
    tracing::info!(seconds = within.as_secs(), "stopping: no new connections, requests under way end");
    let running = gateway.nfs.stop(within).await;
    if running > 0 {
        tracing::warn!(requests = running, "requests still run at the stop's deadline");
    }
    stop.send_replace(true);
    gateway.shutdown(within).await;
    for task in tasks {
        task.abort();
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits for a SIGHUP. `false`: none will come.
async fn hangup() -> bool {
    match signal(SignalKind::hangup()) {
        Ok(mut signal) => signal.recv().await.is_some(),
        Err(_) => false,
    }
}

/// What this gateway's own rows are kept under; nothing where the control database is its own.
fn own_name(config: &Config, data_dir: &Path) -> Result<String, Failure> {
    if config.control.database.is_none() {
        return Ok(String::new());
    }
    gateway_id(data_dir, OsEntropy.random_u128())
        .map_err(|error| cannot("read the name in", data_dir, &error))
}

fn start_metrics() -> Result<PrometheusHandle, Failure> {
    let recorder = PrometheusBuilder::new().install_recorder();
    recorder.map_err(|error| Failure::new(1, format!("metrics: {error}")))
}

fn broken(error: DatabaseError) -> Failure {
    let code = match &error {
        DatabaseError::Unusable(_) => 2,
        DatabaseError::Unavailable(_) | DatabaseError::Full(_) | DatabaseError::Secrets(_) => 5,
        _ => 6,
    };
    Failure::new(code, error.to_string())
}

/// Opens the data folder with everything that the control plane knows. *Cancel:* as a crash: safe.
async fn open_all(
    disk: Arc<RealDisk>,
    config: Config,
    data_dir: PathBuf,
    database: Arc<ControlDatabase>,
) -> Result<Arc<Runtime>, Failure> {
    let gateway = Runtime::open(disk, config, &data_dir).await?;
    if let Err(failure) = open_configured(&gateway, &database).await {
        gateway.shutdown(SHUTDOWN_WITHIN).await;
        return Err(failure);
    }
    Ok(gateway)
}

/// Opens stores and shares that the control plane knows. A metadata store that cannot be opened, and a full disk, refuse the
/// start; a cold store or a share that cannot is told of, and the others serve.
async fn open_configured(gateway: &Arc<Runtime>, database: &ControlDatabase) -> Result<(), Failure> {
    for config in database.list::<dfs_api::MetadataStoreConfig>() {
        if gateway.is_elsewhere(&config) {
            tracing::info!(store = %config.name, "the metadata store is in the data folder of another gateway");
            continue;
        }
        let store = gateway.open_metadata(&config).await?;
        gateway.state.write().metadata.insert(config.name.clone(), store);
    }
    for config in database.list::<dfs_api::ColdStoreConfig>() {
        if let Err(failure) = gateway.open_cold_or_keep(&config).await {
            tracing::error!(cold = %config.name, "the cold store is not there: {}", failure.message);
        }
    }
    gateway.identities.set(Arc::new(dfs_control::identities(&database.snapshot())));
    gateway.take_netgroups(&database.list::<dfs_api::Netgroup>()).await;
    for config in database.list::<dfs_api::ShareConfig>() {
        if !config.enabled {
            let id = gateway.known_id(&config).await;
            gateway.keep_disabled(&config, id, None);
            continue;
        }
        if let Err(failure) = gateway.open_or_keep(&config).await {
            // Told where it is kept; only a full disk concerns the whole folder.
            let failure = Failure::from(failure);
            if failure.is_full_disk() {
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// A shared database that knows nobody takes what the folder's own one holds: there `dfs init` made the administrator.
/// *Errors:* exit code 5 when nobody is known there either.
async fn take_first_rows(shared: &ControlDatabase, data_dir: &Path) -> Result<(), Failure> {
    if shared.snapshot().count::<UserRow>() > 0 {
        return Ok(());
    }
    let path = data_dir.join(CONTROL_FILE);
    let nobody = || {
        let advice = "run `dfs init` for an administrator, or `dfs restore controlplane`";
        Failure::new(5, format!("the control database is empty, and so is {}: {advice}", path.display()))
    };
    if !path.exists() {
        return Err(nobody());
    }
    let own = ControlDatabase::open_embedded(&path, secrets_key(data_dir)?).await.map_err(broken)?;
    let rows = own.snapshot();
    if rows.count::<UserRow>() == 0 {
        return Err(nobody());
    }
    match dfs_control::backup::restore(shared, rows.as_ref().clone(), false, None).await {
        Ok(report) => {
            tracing::info!(
                users = report.users,
                shares = report.shares,
                "the control database was empty: it took what the data folder holds"
            );
            Ok(())
        }
        // Another gateway that started at the same time was quicker.
        Err(problem) if problem.status == 409 => Ok(()),
        Err(problem) => Err(Failure::new(6, problem.detail)),
    }
}

/// The control plane's database. *Errors:* exit code 5 when it is missing (an empty one in its place would serve nothing and
/// know nobody) or cannot be reached; 2 when it is configured wrongly; 6 when it is damaged or newer.
async fn control_database(config: &Config, data_dir: &Path) -> Result<ControlDatabase, Failure> {
    if let Some(shared) = &config.control.database {
        let database = ControlDatabase::open_postgres(postgres_options(shared)?, secrets_key(data_dir)?);
        let database = database.await.map_err(broken)?;
        take_first_rows(&database, data_dir).await?;
        return Ok(database);
    }
    let path = data_dir.join(CONTROL_FILE);
    if !path.exists() {
        let message = format!(
            "{} does not exist: put it back from a copy of the data folder, or run `dfs init` for a new one without shares",
            path.display()
        );
        return Err(Failure::new(5, message));
    }
    ControlDatabase::open_embedded(&path, secrets_key(data_dir)?).await.map_err(broken)
}

/// How to reach a control database that gateways share. *Errors:* exit code 2: the password's file cannot be read.
pub(crate) fn postgres_options(config: &ControlDatabaseConfig) -> Result<PostgresOptions, Failure> {
    let mut options = PostgresOptions::new(config.url.clone(), Arc::new(OsEntropy));
    if let Some(path) = &config.password_file {
        let read = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(2, format!("control.database.password_file {}: {error}", path.display()))
        })?;
        options.password = Some(read.trim_end_matches(['\r', '\n']).to_owned());
    }
    options.tls = match config.tls {
        TlsMode::Off => PostgresTls::Off,
        TlsMode::On => PostgresTls::On { ca: config.ca.clone() },
    };
    if let Some(schema) = &config.schema {
        options.schema.clone_from(schema);
    }
    options.connections = config.connections.unwrap_or(options.connections).max(1);
    Ok(options)
}

/// The key of the secrets at rest; one for a folder of an older version is written with the first change.
pub(crate) fn secrets_key(data_dir: &Path) -> Result<SecretsKey, Failure> {
    let key = SecretsKey::open(&data_dir.join(SECRETS_KEY_FILE), Arc::new(OsEntropy));
    key.map_err(|error| Failure::new(5, error.to_string()))
}

/// The key of the access tokens. *Errors:* exit code 5: a key that is missing or cut short would sign tokens that others
/// could make.
fn token_key(data_dir: &Path) -> Result<Vec<u8>, Failure> {
    let path = data_dir.join(TOKEN_KEY_FILE);
    let key = std::fs::read(&path).map_err(|error| {
        Failure::new(5, format!("cannot read {}: {error}; `dfs init` makes it", path.display()))
    })?;
    if key.len() < TOKEN_KEY_BYTES {
        let message = format!(
            "{} has {} bytes instead of {TOKEN_KEY_BYTES}: remove it and run `dfs init --force`",
            path.display(),
            key.len()
        );
        return Err(Failure::new(5, message));
    }
    Ok(key)
}

fn control_plane(
    gateway: &Arc<Runtime>,
    database: Arc<ControlDatabase>,
    token_key: Vec<u8>,
) -> Result<Arc<ControlPlane>, Failure> {
    let config = &gateway.config;
    let options = PlaneOptions {
        database,
        backend: gateway.clone(),
        clock: gateway.clock.clone(),
        entropy: gateway.entropy.clone(),
        token_key,
        version: VERSION,
        limits: PlaneLimits {
            requests_per_second: config.control.requests_per_second,
            max_requests: config.control.max_requests,
            login_tries_per_minute: config.control.login_tries_per_minute,
            session_hours: config.control.session_hours,
            audit_keep_days: config.audit.keep_days,
        },
    };
    ControlPlane::new(options).map_err(|error| Failure::new(1, error.to_string()))
}

/// The signals that end the gateway, caught from the first moment on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> Result<Signals, Failure> {
        let failed = |error: std::io::Error| Failure::new(1, format!("cannot wait for signals: {error}"));
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Signals { terminate, interrupt })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
