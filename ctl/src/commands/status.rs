//! `dfsctl status`: how the gateway is; needs no login.

use crate::failure::Failure;
use crate::session::Session;
use crate::time::show_seconds;
use dfs_api::{ClientError, Health};
use serde_json::Value;

/// Shows how the gateway is.
pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let json: Value = session.anonymous()?.get("/health").await?;
    let health: Health =
        serde_json::from_value(json.clone()).map_err(|error| ClientError::BadAnswer(error.to_string()))?;
    // Two units tell enough: seconds of a gateway that has been running for days do not.
    let whole = match health.uptime_seconds {
        seconds @ 0..600 => seconds,
        seconds @ 600..36_000 => seconds / 60 * 60,
        seconds @ 36_000..864_000 => seconds / 3600 * 3600,
        seconds => seconds / 86_400 * 86_400,
    };
    let row = vec![
        health.status.clone(),
        health.version.clone(),
        show_seconds(whole),
        health.shares.to_string(),
        health.shares_failed.to_string(),
    ];
    session.output.show(&json, &["status", "version", "uptime", "shares", "failed"], vec![row])
}
