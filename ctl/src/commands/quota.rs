//! `dfsctl quota …`.

use crate::args::ShareArg;
use crate::connection::path;
use crate::failure::Failure;
use crate::session::Session;
use clap::{ArgGroup, Args, Subcommand};
use dfs_api::units::{parse_duration, parse_size, show_size};
use dfs_api::{Limits, QuotaLimits, QuotaStatus, QuotaSubject, SetQuota};
use std::str::FromStr;

/// Quotas of a share: bytes and inodes of the share, its users and its groups.
#[derive(Subcommand)]
pub(crate) enum Quota {
    /// Lists them, with what everybody holds.
    List(ShareArg),
    /// Sets one; it holds at once.
    Set(Box<Set>),
    /// Ends one.
    Remove {
        #[command(flatten)]
        share: ShareArg,
        /// `share`, `user:UID`, `group:GID`, `every-user` or `every-group`.
        subject: Subject,
    },
}

/// Whom a quota is for.
#[derive(Clone, Copy)]
pub(crate) struct Subject(QuotaSubject);

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Subject, String> {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("'{text}' is not a number"));
        match text.split_once(':') {
            None if text == "share" => Ok(Subject(QuotaSubject::Share)),
            None if text == "every-user" => Ok(Subject(QuotaSubject::EveryUser)),
            None if text == "every-group" => Ok(Subject(QuotaSubject::EveryGroup)),
            Some(("user", id)) => Ok(Subject(QuotaSubject::User(number(id)?))),
            Some(("group", id)) => Ok(Subject(QuotaSubject::Group(number(id)?))),
            _ => Err("write share, user:UID, group:GID, every-user or every-group".to_owned()),
        }
    }
}

/// A quota's limits; those that are left out are none.
#[derive(Args)]
#[command(group = ArgGroup::new("limit").required(true).multiple(true))]
pub(crate) struct Set {
    #[command(flatten)]
    share: ShareArg,
    /// `share`, `user:UID`, `group:GID`, `every-user` or `every-group`.
    subject: Subject,
    /// Bytes that may be exceeded for the time of grace, for instance 8GiB.
    #[arg(long, group = "limit")]
    bytes_soft: Option<String>,
    /// Bytes that may not be exceeded.
    #[arg(long, group = "limit")]
    bytes_hard: Option<String>,
    /// Files and directories that may be exceeded for the time of grace.
    #[arg(long, group = "limit")]
    inodes_soft: Option<u64>,
    /// Files and directories that may not be exceeded.
    #[arg(long, group = "limit")]
    inodes_hard: Option<u64>,
    /// How long a soft limit may be exceeded.
    #[arg(long, default_value = "7d")]
    grace: String,
}

impl Set {
    fn limits(&self) -> Result<QuotaLimits, Failure> {
        let bytes = |flag: &str, text: &Option<String>| match text {
            Some(text) => parse_size(text).map(Some).map_err(|why| Failure::usage(format!("{flag}: {why}"))),
            None => Ok(None),
        };
        let grace = parse_duration(&self.grace).map_err(|why| Failure::usage(format!("--grace: {why}")))?;
        let limits = QuotaLimits {
            bytes: Limits {
                soft: bytes("--bytes-soft", &self.bytes_soft)?,
                hard: bytes("--bytes-hard", &self.bytes_hard)?,
            },
            inodes: Limits { soft: self.inodes_soft, hard: self.inodes_hard },
            grace_seconds: u32::try_from(grace.as_secs())
                .map_err(|_| Failure::usage("--grace is too long"))?,
        };
        for (what, kind) in [("bytes", limits.bytes), ("inodes", limits.inodes)] {
            if let (Some(soft), Some(hard)) = (kind.soft, kind.hard)
                && soft > hard
            {
                let why = format!("--{what}-soft is above --{what}-hard: it would never be reached");
                return Err(Failure::usage(why));
            }
        }
        Ok(limits)
    }
}

impl Quota {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        let path = |share: &ShareArg| format!("{}/quotas", path(&["shares", &share.share]));
        match self {
            Quota::List(share) => {
                let quotas = connection.list::<QuotaStatus>(&path(&share)).await?;
                session.output.show(&quotas, &HEADER, quotas.iter().map(row).collect())
            }
            Quota::Set(set) => {
                let request = SetQuota { subject: set.subject.0, limits: Some(set.limits()?) };
                let quotas = connection.put::<_, Vec<QuotaStatus>>(&path(&set.share), &request).await?;
                let sentence = format!("quota of {} set", subject(set.subject.0));
                session.output.done_with(&quotas, &sentence, &HEADER, quotas.iter().map(row).collect())
            }
            Quota::Remove { share, subject: Subject(whom) } => {
                let request = SetQuota { subject: whom, limits: None };
                let quotas = connection.put::<_, Vec<QuotaStatus>>(&path(&share), &request).await?;
                let sentence = format!("quota of {} ended", subject(whom));
                session.output.done_with(&quotas, &sentence, &HEADER, quotas.iter().map(row).collect())
            }
        }
    }
}

const HEADER: [&str; 8] =
    ["subject", "bytes", "soft", "hard", "inodes", "inodes soft", "inodes hard", "grace"];

fn subject(subject: QuotaSubject) -> String {
    match subject {
        QuotaSubject::Share => "share".to_owned(),
        QuotaSubject::User(id) => format!("user:{id}"),
        QuotaSubject::Group(id) => format!("group:{id}"),
        QuotaSubject::EveryUser => "every-user".to_owned(),
        QuotaSubject::EveryGroup => "every-group".to_owned(),
    }
}

fn row(quota: &QuotaStatus) -> Vec<String> {
    let none = || "-".to_owned();
    let bytes = |pick: fn(Limits) -> Option<u64>| {
        quota.limits.and_then(|limits| pick(limits.bytes)).map_or_else(none, show_size)
    };
    let inodes = |pick: fn(Limits) -> Option<u64>| {
        quota.limits.and_then(|limits| pick(limits.inodes)).map_or_else(none, |count| count.to_string())
    };
    let soft = |limits: Limits| limits.soft;
    let hard = |limits: Limits| limits.hard;
    vec![
        subject(quota.subject),
        show_size(quota.used_bytes),
        bytes(soft),
        bytes(hard),
        quota.used_inodes.to_string(),
        inodes(soft),
        inodes(hard),
        quota.limits.map_or_else(none, |limits| grace(limits.grace_seconds)),
    ]
}

/// A time of grace in its largest whole unit.
fn grace(seconds: u32) -> String {
    match seconds {
        0 => "0 s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
