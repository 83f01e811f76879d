//! The schema: made, upgraded, or refused.
//!
//! Each migration is one file, applied in one transaction and noted with its checksum. A database whose newest migration this
//! program does not know is refused, and so is one whose migrations are not those of this program: nothing is changed then.
//! Gateways that start together take turns under an advisory lock. *A crash* leaves whole migrations.

use super::link::{Connector, said};
use crate::database::DatabaseError;
use crate::tokens::sha256;
use tokio_postgres::{Client, Error};

/// Name and text of each migration, oldest first. A released one never changes; a change is a new one.
const MIGRATIONS: &[(&str, &str)] = &[("control", include_str!("sql/01_control.sql"))];

/// Version of the newest schema that this program knows.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Oldest server that is tested.
const SERVER_MIN: i32 = 140_000;

/// Brings the schema up to date.
///
/// *Errors:* [`DatabaseError::Unusable`] and [`DatabaseError::Newer`], with nothing changed; [`DatabaseError::Unavailable`]
/// where the database cannot be reached.
pub(super) async fn migrate(connector: &Connector, schema: &str) -> Result<(), DatabaseError> {
    let unavailable =
        |error: Error| DatabaseError::Unavailable(format!("{}: {}", connector.shown(), said(&error)));
    let mut client = connector.connect().await.map_err(unavailable)?;
    check_server(&client).await?;
    let broken = |error: Error| match error.is_closed() {
        true => DatabaseError::Unavailable(said(&error)),
        false => DatabaseError::Unusable(format!("the schema '{schema}': {}", said(&error))),
    };
    let lock = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
    client.query(lock, &[&schema]).await.map_err(broken)?;
    let there =
        client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&format!("{schema}.migrations")]).await;
    if !there.and_then(|row| row.try_get::<_, bool>(0)).map_err(broken)? {
        let start = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE IF NOT EXISTS {schema}.migrations (\
            version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
        );
        client.batch_execute(&start).await.map_err(broken)?;
    }
    let applied = format!("SELECT version, name, checksum FROM {schema}.migrations ORDER BY version");
    let rows = client.query(&applied, &[]).await.map_err(broken)?;
    let done = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    let done = done.collect::<Result<Vec<(i32, String, String)>, Error>>().map_err(broken)?;
    check(&done, schema)?;
    for (version, (name, text)) in (1i32..).zip(MIGRATIONS).skip(done.len()) {
        let step = client.transaction().await.map_err(broken)?;
        step.batch_execute(text).await.map_err(broken)?;
        let note = "INSERT INTO migrations (version, name, checksum) VALUES ($1, $2, $3)";
        step.execute(note, &[&version, name, &sha256(text)]).await.map_err(broken)?;
        step.commit().await.map_err(broken)?;
        tracing::info!(schema, version, name, "the control database was upgraded");
    }
    let unlock = "SELECT pg_advisory_unlock(hashtextextended($1, 0))";
    client.query(unlock, &[&schema]).await.map_err(broken)?;
    Ok(())
}

fn check(done: &[(i32, String, String)], schema: &str) -> Result<(), DatabaseError> {
    if let Some((version, ..)) = done.get(MIGRATIONS.len()..).and_then(<[_]>::last) {
        let found = u64::try_from(*version).unwrap_or(u64::MAX);
        return Err(DatabaseError::Newer { found, known: MIGRATIONS.len() as u64 });
    }
    for ((version, name, sum), (known, text)) in done.iter().zip(MIGRATIONS) {
        if known != name || sha256(text) != *sum {
            return Err(DatabaseError::Unusable(format!(
                "version {version} ('{name}') of the schema '{schema}' is not the one of this program: it was made by another \
                program or changed by hand; restore it, or use another schema"
            )));
        }
    }
    Ok(())
}

/// Refuses a server that is too old or that would lose what it has confirmed.
async fn check_server(client: &Client) -> Result<(), DatabaseError> {
    let broken = |error: Error| DatabaseError::Unavailable(said(&error));
    let settings = "SELECT current_setting('server_version_num')::integer, current_setting('fsync'), \
        current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('server_encoding')";
    let row = client.query_one(settings, &[]).await.map_err(broken)?;
    let version: i32 = row.try_get(0).map_err(broken)?;
    let setting = |nth: usize| row.try_get::<_, &str>(nth).map_err(broken);
    let refused = |text: String| Err(DatabaseError::Unusable(format!("its server {text}")));
    if version < SERVER_MIN {
        return refused(format!("is PostgreSQL {}: version 14 or newer is needed", version / 10_000));
    }
    for (nth, name) in [(1, "fsync"), (2, "full_page_writes")] {
        if setting(nth)? == "off" {
            return refused(format!(
                "runs with {name} = off: a power cut would lose what was confirmed; turn it on"
            ));
        }
    }
    if matches!(setting(3)?, "off" | "local") {
        return refused(
            "runs with synchronous_commit off or local for this user: it would confirm changes before they are safe; set it to on"
                .to_owned(),
        );
    }
    match setting(4)? {
        "UTF8" => Ok(()),
        other => refused(format!("has the encoding {other}: create the database with UTF8")),
    }
}
