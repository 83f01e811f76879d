//! A look at a database that changes nothing: whether it can be used, and what it promises.

use super::PostgresOptions;
use super::link::{Connector, said};
use super::schema;
use crate::database::DatabaseError;
use tokio_postgres::Error;

/// Version of the newest schema of the control plane that this program knows.
pub const CONTROL_SCHEMA_VERSION: usize = schema::VERSION;

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresLook {
    /// Where it is, without secrets.
    pub place: String,
    /// Version of the server, as `server_version_num` has it: 160004 is 16.4.
    pub server: i32,
    /// Version of the tables in the schema; none where there are none yet.
    pub schema: Option<i32>,
    /// When a commit is answered: `on`, `off`, `local` …
    pub synchronous_commit: String,
    /// Whether the server syncs at all.
    pub fsync: String,
    /// Its clock, in seconds since 1970.
    pub time: f64,
}

/// Connects, authenticates and looks.
///
/// *Errors:* [`DatabaseError::Unusable`] for options that cannot be used, [`DatabaseError::Unavailable`] with the server's own
/// words for everything else.
pub async fn look_at_postgres(options: &PostgresOptions) -> Result<PostgresLook, DatabaseError> {
    let connector = Connector::new(options)?;
    let failed =
        |error: Error| DatabaseError::Unavailable(format!("{}: {}", connector.shown(), said(&error)));
    let client = connector.connect().await.map_err(failed)?;
    let asked = "SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'), \
                 current_setting('fsync'), extract(epoch FROM clock_timestamp())::float8, to_regclass($1) IS NOT NULL";
    let table = format!("{}.migrations", options.schema);
    let row = client.query_one(asked, &[&table]).await.map_err(failed)?;
    let there: bool = row.try_get(4).map_err(failed)?;
    let schema = match there {
        true => {
            let newest = format!("SELECT max(version) FROM {table}");
            client.query_one(&newest, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)?
        }
        false => None,
    };
    Ok(PostgresLook {
        place: connector.shown(),
        server: row.try_get(0).map_err(failed)?,
        synchronous_commit: row.try_get(1).map_err(failed)?,
        fsync: row.try_get(2).map_err(failed)?,
        time: row.try_get(3).map_err(failed)?,
        schema,
    })
}
