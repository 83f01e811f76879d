//! Loading and committing rows.

use super::{Commit, Failed, Loaded, audit};
use crate::database::DatabaseError;
use crate::mirror::{TABLES, table_named};
use crate::rows::RawRow;
use std::collections::BTreeMap;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Commits whose ids and removals are remembered: a gateway that lags behind further reads everything.
const REMEMBERED: i64 = 10_000;

fn broken(text: impl Into<String>) -> Failed {
    Failed::Told(DatabaseError::Broken(text.into()))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) async fn revision(client: &mut Client) -> Result<u64, Failed> {
    let row = client.query_one("SELECT revision FROM state", &[]).await?;
    Ok(unsigned(row.try_get(0)?))
}

/// Everything, or what is newer than a revision, as of one moment.
pub(super) async fn load(client: &mut Client, since: Option<u64>) -> Result<Loaded, Failed> {
    let moment = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let moment = moment.start().await?;
    let state = moment.query_one("SELECT revision, forgotten, mark FROM state", &[]).await?;
    let (revision, forgotten): (i64, i64) = (state.try_get(0)?, state.try_get(1)?);
    // A database that was put back from an older copy has less than was seen: then everything is read.
    let since = since.map(signed).filter(|since| (forgotten..=revision).contains(since));
    let mut loaded = Loaded {
        revision: unsigned(revision),
        everything: since.is_none(),
        mark: state.try_get(2)?,
        ..Loaded::default()
    };
    let parts = TABLES.iter().map(|(table, _)| {
        format!("SELECT '{table}' AS kind, key, \"row\"::text FROM {table} WHERE revision > $1")
    });
    let removed = "SELECT kind, key, NULL FROM removals WHERE revision > $1".to_owned();
    let parts: Vec<String> = parts.chain(since.is_some().then_some(removed)).collect();
    let rows = moment.query(&parts.join(" UNION ALL "), &[&since.unwrap_or(-1)]).await?;
    for row in rows {
        let (kind, key): (&str, String) = (row.try_get(0)?, row.try_get(1)?);
        // A kind of a newer gateway is none of ours; its tables come with a migration, which refuses this program's start.
        let Some(table) = table_named(kind) else { continue };
        loaded.rows.push(RawRow { table, key, value: row.try_get(2)? });
    }
    moment.commit().await?;
    Ok(loaded)
}

/// Commits under an id that tells whether it happened already.
pub(super) async fn commit(client: &mut Client, commit: &Commit<'_>, id: &str) -> Result<u64, Failed> {
    let txn = client.transaction().await?;
    let state = txn.query_one("SELECT revision FROM state FOR UPDATE", &[]).await?;
    let found: i64 = state.try_get(0)?;
    if let Some(row) = txn.query_opt("SELECT revision FROM commits WHERE id = $1", &[&id]).await? {
        return Ok(unsigned(row.try_get(0)?));
    }
    if unsigned(found) != commit.on {
        return Err(Failed::Told(DatabaseError::Conflict));
    }
    let revision = found + 1;
    if commit.everything {
        for (table, _) in TABLES {
            txn.execute(&format!("DELETE FROM {table}"), &[]).await?;
        }
        txn.execute("DELETE FROM removals", &[]).await?;
    }
    write(&txn, commit, revision).await?;
    if let Some(record) = commit.audit {
        audit::insert(&txn, record).await?;
    }
    let forgotten = if commit.everything { revision } else { revision - REMEMBERED };
    txn.execute(
        "UPDATE state SET revision = $1, forgotten = greatest(forgotten, $2), mark = $3",
        &[&revision, &forgotten, &commit.mark],
    )
    .await?;
    txn.execute("INSERT INTO commits (revision, id) VALUES ($1, $2)", &[&revision, &id]).await?;
    let old = revision - REMEMBERED;
    txn.execute("DELETE FROM commits WHERE revision <= $1", &[&old]).await?;
    txn.execute("DELETE FROM removals WHERE revision <= $1", &[&old]).await?;
    txn.commit().await?;
    Ok(unsigned(revision))
}

async fn write(txn: &Transaction<'_>, commit: &Commit<'_>, revision: i64) -> Result<(), Failed> {
    let mut puts: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    let mut removals: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in commit.rows {
        let table =
            table_named(row.table).ok_or_else(|| broken(format!("there is no table '{}'", row.table)))?;
        match &row.value {
            Some(value) => {
                let (keys, values) = puts.entry(table).or_default();
                keys.push(&row.key);
                values.push(value);
            }
            None => removals.entry(table).or_default().push(&row.key),
        }
    }
    for (table, (keys, values)) in &puts {
        let put = format!(
            "INSERT INTO {table} (key, \"row\", revision) SELECT t.key, t.value::json, $3 \
            FROM unnest($1::text[], $2::text[]) AS t (key, value) \
            ON CONFLICT (key) DO UPDATE SET \"row\" = excluded.\"row\", revision = excluded.revision"
        );
        txn.execute(&put, &[keys, values, &revision]).await?;
        let back = "DELETE FROM removals WHERE kind = $1 AND key = ANY($2)";
        txn.execute(back, &[table, keys]).await?;
    }
    for (table, keys) in &removals {
        txn.execute(&format!("DELETE FROM {table} WHERE key = ANY($1)"), &[keys]).await?;
        let note = "INSERT INTO removals (kind, key, revision) SELECT $1, t.key, $3 FROM unnest($2::text[]) AS t (key) \
            ON CONFLICT (kind, key) DO UPDATE SET revision = excluded.revision";
        txn.execute(note, &[table, keys, &revision]).await?;
    }
    Ok(())
}
