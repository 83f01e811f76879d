//! The control plane's rows for commands: of the gateway that runs on the folder, or, when none runs, in its database.

use super::{Failure, local};
use crate::config::{Config, ControlDatabaseConfig};
use crate::ready::running_pid;
use crate::runtime::Folder;
use crate::serve::{CONTROL_FILE, TOKEN_KEY_FILE, postgres_options, secrets_key};
use crate::system::{OsEntropy, SystemClock};
use dfs_api::{AuditRecord, AuditResult, Client, ClientError, ClientOptions, Role};
use dfs_control::{ControlDatabase, DatabaseError, LOCAL_USER, local_token};
use dfs_model::Clock;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the rows are reached.
pub(super) enum Reach {
    /// Through the gateway that runs.
    Running(Client),
    /// In the database; the folder is locked against a start meanwhile.
    Stopped(ControlDatabase, Folder),
}

/// Opens whichever there is. `damaged_aside`: an embedded database that cannot be used is put aside and a new one made.
pub(super) async fn reach(config: &Config, data_dir: &Path, damaged_aside: bool) -> Result<Reach, Failure> {
    if running_pid(data_dir).is_some() {
        return Ok(Reach::Running(running(config, data_dir)?));
    }
    let folder = Folder::lock(data_dir)?;
    let database = match &config.control.database {
        Some(database) => postgres(database, data_dir).await?,
        None => embedded(data_dir, damaged_aside).await?,
    };
    Ok(Reach::Stopped(database, folder))
}

/// A client of the gateway that runs, with a token that is good for a minute.
fn running(config: &Config, data_dir: &Path) -> Result<Client, Failure> {
    let at = local::serving(data_dir)?;
    let path = data_dir.join(TOKEN_KEY_FILE);
    let key = std::fs::read(&path).map_err(|error| super::cannot("read", &path, &error))?;
    let token = local_token(&key, Arc::new(SystemClock), Arc::new(OsEntropy));
    let token = token.map_err(|why| Failure::new(1, format!("cannot make a token: {why}")))?;
    let options = ClientOptions { token: Some(token), ..ClientOptions::default() };
    local::client(config, data_dir, &at, None, options)
}

/// The database in the folder. *Errors:* exit code 5 when there is none, and as [`failure`] says.
pub(super) async fn embedded(data_dir: &Path, damaged_aside: bool) -> Result<ControlDatabase, Failure> {
    let path = data_dir.join(CONTROL_FILE);
    if !path.exists() && !damaged_aside {
        let text = format!(
            "{} does not exist: `dfs init` makes one, `dfs restore controlplane --force` too",
            path.display()
        );
        return Err(Failure::new(5, text));
    }
    let opened = ControlDatabase::open_embedded(&path, secrets_key(data_dir)?).await;
    match opened {
        Err(error) if damaged_aside && is_beyond_use(&error) => {
            let aside = put_aside(&path)?;
            eprintln!("dfs: {error}; it was put aside as {}", aside.display());
            ControlDatabase::open_embedded(&path, secrets_key(data_dir)?).await.map_err(failure)
        }
        opened => opened.map_err(failure),
    }
}

/// Whether only another file helps.
fn is_beyond_use(error: &DatabaseError) -> bool {
    matches!(
        error,
        DatabaseError::Newer { .. }
            | DatabaseError::Broken(_)
            | DatabaseError::Row { .. }
            | DatabaseError::Secrets(_)
    ) && !failure(error.clone()).is_full_disk()
}

fn put_aside(path: &Path) -> Result<PathBuf, Failure> {
    let aside = stamped(path, "unusable");
    std::fs::rename(path, &aside).map_err(|error| super::cannot("put aside", path, &error))?;
    Ok(aside)
}

/// A name beside a path that tells what it is and when it was made.
pub(super) fn stamped(path: &Path, what: &str) -> PathBuf {
    let now = crate::logs::time::show(SystemClock.wall());
    let digits: String = now.chars().take(19).filter(char::is_ascii_digit).collect();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{what}-{digits}"));
    PathBuf::from(name)
}

/// The shared database. *Errors:* exit code 2 for what the configuration names and cannot be read, and as [`failure`] says.
pub(super) async fn postgres(
    config: &ControlDatabaseConfig,
    data_dir: &Path,
) -> Result<ControlDatabase, Failure> {
    let options = postgres_options(config)?;
    ControlDatabase::open_postgres(options, secrets_key(data_dir)?).await.map_err(failure)
}

/// A failure of the database with its exit code.
pub(super) fn failure(error: DatabaseError) -> Failure {
    let code = match &error {
        DatabaseError::Newer { .. } | DatabaseError::Broken(_) | DatabaseError::Row { .. } => 6,
        DatabaseError::Secrets(_) | DatabaseError::Full(_) => 5,
        DatabaseError::Unusable(_) => 2,
        DatabaseError::Unavailable(_) | DatabaseError::Unsure(_) | DatabaseError::Conflict => 1,
    };
    Failure::new(code, error.to_string())
}

/// A refusal of the gateway with its exit code.
pub(super) fn refusal(error: ClientError) -> Failure {
    let code = match error.problem().map(|problem| problem.status) {
        Some(507) => 5,
        _ => 1,
    };
    Failure::new(code, error.to_string())
}

/// The record of what a command did to the database of a gateway that does not run.
pub(super) fn record(action: &str, after: serde_json::Value) -> AuditRecord {
    let now = SystemClock.wall();
    AuditRecord {
        id: 0,
        at: now.secs.saturating_mul(1000).saturating_add(i64::from(now.nanos / 1_000_000)),
        user: LOCAL_USER.to_owned(),
        role: Some(Role::Admin),
        address: "local".to_owned(),
        request_id: format!("dfs-{}", std::process::id()),
        action: action.to_owned(),
        target: "controlplane".to_owned(),
        result: AuditResult::Done,
        problem: None,
        before: None,
        after: Some(after),
    }
}
