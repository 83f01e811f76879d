//! `dfsctl share permission …`.

use super::of;
use crate::args::ShareArg;
use crate::completion;
use crate::connection::{Connection, path};
use crate::failure::Failure;
use crate::output::word;
use crate::session::Session;
use clap::{Args, Subcommand, ValueEnum};
use dfs_api::{EffectivePermission, PermissionGrant, PermissionLevel, SetPermission, ShareStatus};
use serde_json::Value;

/// What somebody may do in a share.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LevelArg {
    /// Nothing.
    None,
    /// Look.
    Read,
    /// Look and change.
    ReadWrite,
    /// Everything, as the superuser does.
    Admin,
}

impl From<LevelArg> for PermissionLevel {
    fn from(level: LevelArg) -> PermissionLevel {
        match level {
            LevelArg::None => PermissionLevel::None,
            LevelArg::Read => PermissionLevel::Read,
            LevelArg::ReadWrite => PermissionLevel::ReadWrite,
            LevelArg::Admin => PermissionLevel::Admin,
        }
    }
}

/// Who holds a permission.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Holder {
    /// A user; what he is given comes before what his groups are.
    #[arg(long, add = completion::users())]
    user: Option<String>,
    /// A group; of several groups of a user the strongest counts.
    #[arg(long, add = completion::groups())]
    group: Option<String>,
}

impl Holder {
    fn path(&self, share: &str) -> String {
        let (kind, name) = match (&self.user, &self.group) {
            (Some(user), _) => ("users", user.as_str()),
            (None, group) => ("groups", group.as_deref().unwrap_or_default()),
        };
        format!("{}/permissions{}", of(share), path(&[kind, name]))
    }

    fn said(&self) -> String {
        match (&self.user, &self.group) {
            (Some(user), _) => format!("user '{user}'"),
            (None, group) => format!("group '{}'", group.as_deref().unwrap_or_default()),
        }
    }
}

/// Permissions in a share: a user's own, else the strongest of his groups, else the share's default.
#[derive(Subcommand)]
pub(crate) enum Permission {
    /// Lists them.
    List(ShareArg),
    /// Gives one, or replaces it; it acts within a second.
    Grant {
        #[command(flatten)]
        share: ShareArg,
        #[command(flatten)]
        holder: Holder,
        /// What he may do.
        #[arg(long, value_enum)]
        level: LevelArg,
    },
    /// Takes one away; it acts within a second.
    Revoke {
        #[command(flatten)]
        share: ShareArg,
        #[command(flatten)]
        holder: Holder,
    },
    /// Tells what a user may do when everything is looked at, and why.
    #[command(visible_alias = "effective")]
    Show {
        #[command(flatten)]
        share: ShareArg,
        /// Name of the user.
        #[arg(add = completion::users())]
        user: String,
    },
}

impl Permission {
    pub async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        match self {
            Permission::List(ShareArg { share }) => list(connection, session, &share).await,
            Permission::Grant { share: ShareArg { share }, holder, level } => {
                let level = PermissionLevel::from(level);
                let path = holder.path(&share);
                let given = connection.put::<_, Value>(&path, &SetPermission { level }).await?;
                let sentence = format!("{} has '{level}' in share '{share}'", holder.said());
                session.output.done(&given, &sentence)
            }
            Permission::Revoke { share: ShareArg { share }, holder } => {
                connection.delete(&holder.path(&share)).await?;
                let sentence = format!("{} has no permission of his own in share '{share}'", holder.said());
                session.output.done(&share, &sentence)
            }
            Permission::Show { share: ShareArg { share }, user } => {
                let path = format!("{}/permissions{}", of(&share), path(&["effective", &user]));
                let found = connection.get::<EffectivePermission>(&path).await?;
                let row = vec![user, share, word(&found.level), found.because.clone()];
                session.output.show(&found, &["user", "share", "level", "because"], vec![row])
            }
        }
    }
}

async fn list(connection: &Connection, session: &Session, share: &str) -> Result<(), Failure> {
    let path = format!("{}/permissions", of(share));
    let grants = connection.list::<PermissionGrant>(&path).await?;
    let row = |grant: &PermissionGrant| vec![word(&grant.kind), grant.name.clone(), word(&grant.level)];
    let mut rows: Vec<Vec<String>> = grants.iter().map(row).collect();
    if session.output.for_people() {
        let status = connection.get::<ShareStatus>(&of(share)).await?;
        let others = word(&status.config.default_permission);
        rows.push(vec!["others".to_owned(), "-".to_owned(), others]);
    }
    session.output.show(&grants, &["kind", "name", "level"], rows)
}
