//! The audit log.

use super::Failed;
use crate::database::DatabaseError;
use crate::store::audit_limit;
use dfs_api::{AuditQuery, AuditRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Row};

const ADD: &str = "INSERT INTO audit \
    (at, user_name, role, address, request_id, action, target, result, problem, before, after) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11::text::json)";

const FIND: &str = "SELECT id, at, user_name, role, address, request_id, action, target, result, problem, \
    before::text, after::text FROM audit \
    WHERE ($1::bigint IS NULL OR id < $1) AND ($2::bigint IS NULL OR at >= $2) AND ($3::bigint IS NULL OR at < $3) \
    AND ($4::text IS NULL OR user_name = $4) AND ($5::text IS NULL OR target = $5) \
    AND ($6::text IS NULL OR action = $6 OR starts_with(action, $6 || '.')) ORDER BY id DESC LIMIT $7";

/// Texts of the log come from callers, and Postgres takes no NUL in them.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn word<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned))
}

fn from_word<T: DeserializeOwned>(word: &str) -> Result<T, Failed> {
    serde_json::from_value(Value::String(word.to_owned())).map_err(|error| damaged(&error))
}

fn damaged(error: &dyn std::fmt::Display) -> Failed {
    Failed::Told(DatabaseError::Broken(format!("the audit log: {error}")))
}

pub(super) async fn add(client: &mut Client, record: &AuditRecord) -> Result<(), Failed> {
    insert(&*client, record).await
}

/// Adds a record, in a transaction or by itself.
pub(super) async fn insert(client: &impl GenericClient, record: &AuditRecord) -> Result<(), Failed> {
    let texts = [&record.user, &record.address, &record.request_id, &record.action, &record.target];
    let [user, address, request_id, action, target] = texts.map(|text| clean(text));
    let problem = record.problem.as_deref().map(clean);
    let (role, result) = (record.role.as_ref().and_then(word), word(&record.result));
    let (before, after) =
        (record.before.as_ref().map(Value::to_string), record.after.as_ref().map(Value::to_string));
    let values: [&(dyn ToSql + Sync); 11] = [
        &record.at,
        &user,
        &role,
        &address,
        &request_id,
        &action,
        &target,
        &result,
        &problem,
        &before,
        &after,
    ];
    client.execute(ADD, &values).await?;
    Ok(())
}

pub(super) async fn find(client: &mut Client, query: &AuditQuery) -> Result<Vec<AuditRecord>, Failed> {
    let after = query.after.map(|id| i64::try_from(id).unwrap_or(i64::MAX));
    let limit = i64::try_from(audit_limit(query)).unwrap_or(i64::MAX);
    let texts = [&query.user, &query.target, &query.action];
    let [user, target, action] = texts.map(|text| text.as_deref().map(clean));
    let values: [&(dyn ToSql + Sync); 7] =
        [&after, &query.since, &query.until, &user, &target, &action, &limit];
    client.query(FIND, &values).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<AuditRecord, Failed> {
    let json = |nth: usize| -> Result<Option<Value>, Failed> {
        let text: Option<&str> = row.try_get(nth)?;
        text.map(|text| serde_json::from_str(text).map_err(|error| damaged(&error))).transpose()
    };
    let role: Option<&str> = row.try_get(3)?;
    Ok(AuditRecord {
        id: u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0),
        at: row.try_get(1)?,
        user: row.try_get(2)?,
        role: role.map(from_word).transpose()?,
        address: row.try_get(4)?,
        request_id: row.try_get(5)?,
        action: row.try_get(6)?,
        target: row.try_get(7)?,
        result: from_word(row.try_get(8)?)?,
        problem: row.try_get(9)?,
        before: json(10)?,
        after: json(11)?,
    })
}

pub(super) async fn trim(client: &mut Client, before: i64) -> Result<u64, Failed> {
    Ok(client.execute("DELETE FROM audit WHERE at < $1", &[&before]).await?)
}
