//! `dfsctl audit …`.

use crate::completion;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::fresh::Fresh;
use crate::output::{text_or_dash, word};
use crate::session::Session;
use crate::time::{date_ms, moment, now_ms};
use clap::{Args, Subcommand};
use dfs_api::{AuditRecord, Client};
use serde_json::json;
use std::path::PathBuf;

/// The audit log: who did what, from where, and what it changed.
#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Lists records, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// All of them.
        #[arg(long, conflicts_with = "limit")]
        all: bool,
        /// Tell what was there before and afterwards, a line each.
        #[arg(long)]
        changes: bool,
    },
    /// Writes all records as JSON lines, for other programs to keep.
    Export {
        #[command(flatten)]
        filter: Filter,
        /// The file; standard output without one.
        #[arg(long = "file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
}

/// Which records.
#[derive(Args)]
pub(crate) struct Filter {
    /// Not earlier: a time before now such as 1h or 7d, or 2026-11-26, or 2026-11-26T09:30:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Earlier than that.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By this user.
    #[arg(long, add = completion::users())]
    user: Option<String>,
    /// This action, for instance share.create, or all of a family, for instance share.
    #[arg(long)]
    action: Option<String>,
    /// About this, for instance the name of a share.
    #[arg(long)]
    target: Option<String>,
}

impl Filter {
    /// The query, without a question mark.
    fn query(&self) -> Result<String, Failure> {
        let now = now_ms();
        let time = |flag: &str, text: &Option<String>| {
            text.as_deref().map(|text| moment(flag, text, now)).transpose()
        };
        let since = time("--since", &self.since)?.map(|at| at.to_string());
        let until = time("--until", &self.until)?.map(|at| at.to_string());
        let words = [
            ("since", since),
            ("until", until),
            ("user", self.user.clone()),
            ("action", self.action.clone()),
            ("target", self.target.clone()),
        ];
        let given = words.into_iter().filter_map(|(name, word)| Some((name, word?)));
        let pairs: Vec<String> =
            given.map(|(name, word)| format!("{name}={}", Client::segment(&word))).collect();
        Ok(pairs.join("&"))
    }
}

impl Audit {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            Audit::List { filter, limit, all, changes } => {
                let query = filter.query()?;
                let records = match all {
                    true => connection.list::<AuditRecord>(&format!("/audit?{query}")).await?,
                    false => {
                        connection.get::<Vec<AuditRecord>>(&format!("/audit?limit={limit}&{query}")).await?
                    }
                };
                session.output.show(&records, &HEADER, records.iter().map(row).collect())?;
                if changes && session.output.for_people() {
                    records.iter().try_for_each(|record| session.output.line(&changed(record)))?;
                }
                Ok(())
            }
            Audit::Export { filter, file, force } => {
                export(&connection, session, &filter.query()?, file, force).await
            }
        }
    }
}

async fn export(
    connection: &Connection,
    session: &Session,
    query: &str,
    file: Option<PathBuf>,
    force: bool,
) -> Result<(), Failure> {
    let path = format!("/audit?{query}");
    let form = "application/x-ndjson";
    let Some(file) = file else {
        let mut printed = Ok(());
        let take = |piece: &[u8]| {
            if printed.is_ok() {
                printed = session.output.bytes(piece);
            }
        };
        connection.client().get_pieces(&path, form, take).await?;
        return printed;
    };
    let mut fresh = Fresh::begin(&file, force)?;
    let (mut written, mut records) = (Ok(()), 0usize);
    let take = |piece: &[u8]| {
        if written.is_ok() {
            records += piece.iter().filter(|byte| **byte == b'\n').count();
            written = fresh.write(piece);
        }
    };
    connection.client().get_pieces(&path, form, take).await?;
    written.map_err(|error| Failure::io(file.display(), &error))?;
    fresh.finish()?;
    let done = json!({"file": file, "records": records});
    session.output.done(&done, &format!("{records} records are in {}", file.display()))
}

const HEADER: [&str; 7] = ["when", "user", "from", "action", "target", "result", "request"];

fn row(record: &AuditRecord) -> Vec<String> {
    let result = match &record.problem {
        Some(problem) => format!("{}: {problem}", word(&record.result)),
        None => word(&record.result),
    };
    vec![
        date_ms(record.at),
        text_or_dash(&record.user),
        record.address.clone(),
        record.action.clone(),
        text_or_dash(&record.target),
        result,
        record.request_id.clone(),
    ]
}

fn changed(record: &AuditRecord) -> String {
    let part = |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "-".to_owned(), word);
    let line = format!("{}: {} -> {}", record.request_id, part(&record.before), part(&record.after));
    crate::failure::one_line(&line)
}
