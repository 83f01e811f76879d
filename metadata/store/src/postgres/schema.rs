//! The schema: made, upgraded, or refused.
//!
//! Each migration is one file, applied in one transaction and noted with its checksum. A database whose newest migration this
//! program does not know is refused, and so is one whose migrations are not those of this program: nothing is changed then.
//! Gateways that start together take turns under an advisory lock. *A crash* leaves whole migrations.

use super::call::said;
use super::link::Connector;
use crate::{StoreError, StoreResult};
use tokio_postgres::{Client, Error};
use xxhash_rust::xxh3::xxh3_64;

/// Name and text of each migration, oldest first. A released one never changes; a change is a new one.
const MIGRATIONS: &[(&str, &str)] = &[
    ("tables", include_str!("sql/01_tables.sql")),
    ("rules", include_str!("sql/02_rules.sql")),
    ("names", include_str!("sql/03_names.sql")),
    ("data", include_str!("sql/04_data.sql")),
    ("shares", include_str!("sql/05_shares.sql")),
    ("owners", include_str!("sql/06_owners.sql")),
    ("clones", include_str!("sql/07_clones.sql")),
    ("snapshots", include_str!("sql/08_snapshots.sql")),
];

/// Version of the newest schema that this program knows.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// Oldest server that has all that is used (`pg_terminate_backend` that waits).
const SERVER_MIN: i32 = 140_000;

/// Brings the schema up to date. *Errors:* [`StoreError::Unusable`] in an operator's words, with nothing changed;
/// [`StoreError::Unavailable`] where the database cannot be reached.
pub async fn migrate(connector: &Connector, schema: &str) -> StoreResult<()> {
    let unavailable = |error: Error| StoreError::Unavailable(said(&error));
    let (mut client, _) = connector.plain().await.map_err(unavailable)?;
    check_server(&client).await?;
    let broken = |error: Error| match error.is_closed() {
        true => StoreError::Unavailable(said(&error)),
        false => {
            StoreError::Unusable(format!("the schema '{schema}' of the metadata database: {}", said(&error)))
        }
    };
    let lock = xxh3_64(schema.as_bytes()) as i64;
    client.query("SELECT pg_advisory_lock($1)", &[&lock]).await.map_err(broken)?;
    let start = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE IF NOT EXISTS {schema}.migrations (\
        version integer PRIMARY KEY, name text NOT NULL, checksum bigint NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
    );
    let there =
        client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&format!("{schema}.migrations")]).await;
    if !there.and_then(|row| row.try_get::<_, bool>(0)).map_err(broken)? {
        client.batch_execute(&start).await.map_err(broken)?;
    }
    let done = applied(&client, schema).await.map_err(broken)?;
    check(&done, schema)?;
    for (version, (name, text)) in (1i32..).zip(MIGRATIONS).skip(done.len()) {
        let sum = xxh3_64(text.as_bytes()) as i64;
        let step = client.transaction().await.map_err(broken)?;
        step.batch_execute(text).await.map_err(broken)?;
        let note = "INSERT INTO migrations (version, name, checksum) VALUES ($1, $2, $3)";
        step.execute(note, &[&version, name, &sum]).await.map_err(broken)?;
        step.commit().await.map_err(broken)?;
        tracing::info!(schema, version, name, "the metadata database was upgraded");
    }
    client.query("SELECT pg_advisory_unlock($1)", &[&lock]).await.map_err(broken)?;
    Ok(())
}

async fn applied(client: &Client, schema: &str) -> Result<Vec<(i32, String, i64)>, Error> {
    let rows = client
        .query(&format!("SELECT version, name, checksum FROM {schema}.migrations ORDER BY version"), &[])
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

fn check(done: &[(i32, String, i64)], schema: &str) -> StoreResult<()> {
    for (nth, (version, name, sum)) in done.iter().enumerate() {
        let Some((known, text)) = MIGRATIONS.get(nth) else {
            return Err(StoreError::Unusable(format!(
                "the schema '{schema}' of the metadata database has version {version} ('{name}'), newer than version {} that \
                this program knows: upgrade the gateway",
                MIGRATIONS.len()
            )));
        };
        if *known != name || xxh3_64(text.as_bytes()) as i64 != *sum {
            return Err(StoreError::Unusable(format!(
                "version {version} ('{name}') of the schema '{schema}' of the metadata database is not the one of this program: \
                it was made by another program or changed by hand; restore it, or use another schema"
            )));
        }
    }
    Ok(())
}

/// Refuses a server that is too old or that would lose what it has confirmed.
async fn check_server(client: &Client) -> StoreResult<()> {
    let broken = |error: Error| StoreError::Unavailable(said(&error));
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::integer, current_setting('fsync'), \
            current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('server_encoding')",
            &[],
        )
        .await
        .map_err(broken)?;
    let version: i32 = row.try_get(0).map_err(broken)?;
    let setting = |nth: usize| row.try_get::<_, &str>(nth).map_err(broken);
    let refused = |text: String| Err(StoreError::Unusable(format!("the metadata database {text}")));
    if version < SERVER_MIN {
        return refused(format!("is PostgreSQL {}: version 14 or newer is needed", version / 10_000));
    }
    for (nth, name) in [(1, "fsync"), (2, "full_page_writes")] {
        if setting(nth)? == "off" {
            return refused(format!(
                "runs with {name} = off: a power cut would lose names that were confirmed; turn it on"
            ));
        }
    }
    if matches!(setting(3)?, "off" | "local") {
        let why = "runs with synchronous_commit off or local for this user: it would confirm names before they are safe; set it to on";
        return refused(why.to_owned());
    }
    match setting(4)? {
        "UTF8" => Ok(()),
        other => refused(format!("has the encoding {other}: create it with UTF8")),
    }
}
