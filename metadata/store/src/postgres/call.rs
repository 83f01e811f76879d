//! One call of a statement through every trouble a database can be in.
//!
//! ```text
//!   ask ──▶ answered                                          done
//!    │  ──▶ conflict with another transaction                 again, soon
//!    │  ──▶ cannot be reached, restarting, full, no connection  wait and again; after `patience`: try later
//!    └──▶ connection lost after asking                        unknown: settle, then again until it is known
//! ```
//! *Settling:* the lost connection's server process is ended by its name and waited for; then its transaction has either
//! committed or never will, and the same call again finds out: name operations by their replay key, the others by what they
//! find. So a call that may have happened is never answered with "try later". *Cancel:* a dropped call has happened whole or
//! not at all.

use super::Inner;
use super::link::Link;
use super::sql::Query;
use super::values::Param;
use crate::{StoreError, StoreResult};
use deadpool::managed::{Object, PoolError, TimeoutType};
use dfs_model::FsError;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};

/// First and longest pause before a call is made again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A change that is not answered for so long is taken for lost, so that its connection is settled.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Makes things: a full database is told as no space.
    Grows,
    /// Changes things.
    Changes,
}

/// The answer of a call.
pub struct Answered {
    /// Its rows.
    pub rows: Vec<Row>,
    /// An earlier attempt may have done it already.
    pub again: bool,
}

/// What an error says about the call.
enum Trouble {
    /// Another transaction was in the way; nothing happened.
    Conflict,
    /// Not now; nothing happened.
    Later(String),
    /// The database has no space; nothing happened.
    Full(String),
    /// The connection ended: it may have happened.
    Lost(String),
    /// It will not work later either.
    Wrong(String),
}

impl Inner {
    /// Makes a call. *Errors:* [`StoreError::Unavailable`] after `patience` where it certainly did not happen;
    /// [`FsError::NoSpace`]; [`StoreError::Broken`].
    pub(super) async fn call(
        &self,
        query: Query,
        effect: Effect,
        params: &[Param<'_>],
    ) -> StoreResult<Answered> {
        let deadline = Instant::now() + self.config.patience;
        let mut lost: Vec<String> = Vec::new();
        let (mut again, mut pause) = (false, PAUSE_MIN);
        loop {
            let trouble = match self.attempt(query, effect, params, deadline, &mut lost).await {
                Ok(rows) => {
                    self.is_up();
                    return Ok(Answered { rows, again });
                }
                Err(trouble) => trouble,
            };
            again |= !lost.is_empty();
            let why = match trouble {
                Trouble::Conflict => {
                    self.metrics.conflicts.increment(1);
                    "conflicts with other transactions".to_owned()
                }
                Trouble::Full(why) if effect == Effect::Grows => {
                    tracing::warn!(why, "the metadata database has no space");
                    return Err(FsError::NoSpace.into());
                }
                Trouble::Wrong(why) => return Err(StoreError::Broken(why)),
                Trouble::Later(why) | Trouble::Lost(why) | Trouble::Full(why) => {
                    self.is_down(&why);
                    why
                }
            };
            if Instant::now() >= deadline && lost.is_empty() {
                return Err(StoreError::Unavailable(why));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(
        &self,
        query: Query,
        effect: Effect,
        params: &[Param<'_>],
        deadline: Instant,
        lost: &mut Vec<String>,
    ) -> Result<Vec<Row>, Trouble> {
        let link = self.link(deadline).await?;
        while let Some(name) = lost.last() {
            match timeout(SILENCE_MAX, link.query(Query::Settle, &[name])).await {
                Ok(Ok(rows)) if rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) => lost.pop(),
                Ok(Ok(_)) => return Err(Trouble::Later("a lost connection has not ended yet".into())),
                Ok(Err(error)) => return Err(later(discard(link, &error))),
                Err(_) => return Err(Trouble::Later("a lost connection could not be settled".into())),
            };
        }
        let asked = link.query(query, params);
        let answered = match effect {
            Effect::Reads => timeout_at(deadline, asked).await,
            Effect::Grows | Effect::Changes => timeout(SILENCE_MAX, asked).await,
        };
        let trouble = match answered {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => {
                let name = link.name.clone();
                (discard(link, &error), name)
            }
            Err(_) => {
                // Whatever it still says is not for the next caller to wait for.
                let taken = Object::take(link);
                (Trouble::Lost("it does not answer".into()), taken.name)
            }
        };
        match trouble {
            (Trouble::Lost(why), _) if effect == Effect::Reads => Err(Trouble::Later(why)),
            (Trouble::Lost(why), name) => {
                lost.push(name);
                Err(Trouble::Lost(why))
            }
            (other, _) => Err(other),
        }
    }

    async fn link(&self, deadline: Instant) -> Result<Object<super::link::Connector>, Trouble> {
        match timeout_at(deadline.max(Instant::now() + PAUSE_MAX), self.pool.get()).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(PoolError::Backend(error))) => Err(later(judge(&error))),
            Ok(Err(PoolError::Timeout(TimeoutType::Create))) => {
                Err(Trouble::Later("no connection could be made".into()))
            }
            Ok(Err(error)) => Err(Trouble::Later(error.to_string())),
            Err(_) => Err(Trouble::Later("all connections to it are in use".into())),
        }
    }

    /// Notes that the database answers; tells the log when it did not before.
    fn is_up(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            self.metrics.up.set(1.0);
            tracing::info!(database = %self.shown, "the metadata database answers again");
        }
    }

    fn is_down(&self, why: &str) {
        self.metrics.retries.increment(1);
        if !self.down.swap(true, Ordering::Relaxed) {
            self.metrics.up.set(0.0);
            tracing::error!(database = %self.shown, why, "the metadata database cannot be used; operations wait");
        }
    }
}

/// Judges an error and keeps a connection that ended, or that another cannot use, out of the pool.
fn discard(link: Object<super::link::Connector>, error: &Error) -> Trouble {
    let trouble = judge(error);
    if link.is_lost() || matches!(trouble, Trouble::Lost(_) | Trouble::Later(_)) {
        drop::<Link>(Object::take(link));
    }
    trouble
}

/// While connecting, nothing was asked yet, and an administrator may put right whatever is wrong.
fn later(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Lost(why) | Trouble::Full(why) | Trouble::Wrong(why) => Trouble::Later(why),
        other => other,
    }
}

fn judge(error: &Error) -> Trouble {
    let said = said(error);
    let Some(state) = error.code() else {
        let refused = error.is_closed()
            || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        return if refused { Trouble::Lost(said) } else { Trouble::Wrong(said) };
    };
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Trouble::Conflict,
        SqlState::DISK_FULL => Trouble::Full(said),
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::IDLE_SESSION_TIMEOUT => {
            Trouble::Lost(said)
        }
        SqlState::QUERY_CANCELED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::CANNOT_CONNECT_NOW => Trouble::Later(said),
        // class 53 insufficient resources, 57 operator intervention, 58 system error, 08 connection
        _ if ["53", "57", "58"].iter().any(|class| state.code().starts_with(class)) => Trouble::Later(said),
        _ if state.code().starts_with("08") => Trouble::Lost(said),
        _ => Trouble::Wrong(said),
    }
}

/// The server's words, or the error with its causes.
pub(super) fn said(error: &Error) -> String {
    if let Some(server) = error.as_db_error() {
        return format!("{} ({})", server.message(), server.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
