//! `dfsctl idmap …`.

use crate::ask::Sure;
use crate::completion;
use crate::connection::path;
use crate::failure::Failure;
use crate::session::Session;
use clap::{Args, Subcommand};
use dfs_api::IdentityMapping;

/// Identity mappings: for which user a principal of a protocol acts.
#[derive(Subcommand)]
pub(crate) enum IdmapCommand {
    /// Lists them.
    List,
    /// Adds one; it acts within a second.
    Add(Add),
    /// Removes one; it acts within a second.
    #[command(visible_alias = "delete")]
    Remove {
        #[command(flatten)]
        principal: Principal,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A principal that is mapped.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Principal {
    /// The principal.
    #[arg(value_name = "PRINCIPAL", add = completion::principals())]
    principal: Option<String>,
    /// The same as PRINCIPAL.
    #[arg(long = "principal", id = "principal_flag", value_name = "PRINCIPAL", hide_short_help = true, add = completion::principals())]
    flag: Option<String>,
}

/// A new mapping.
#[derive(Args)]
pub(crate) struct Add {
    /// `uid:1234`, a user id that clients send, or `name@REALM`, a Kerberos principal.
    #[arg(required_unless_present = "principal_flag")]
    principal: Option<String>,
    /// The user that it acts for.
    #[arg(required_unless_present = "user_flag", add = completion::users())]
    user: Option<String>,
    /// The same as PRINCIPAL.
    #[arg(
        long = "principal",
        id = "principal_flag",
        value_name = "PRINCIPAL",
        requires = "user_flag",
        conflicts_with = "principal"
    )]
    principal_flag: Option<String>,
    /// The same as USER.
    #[arg(long = "user", visible_alias = "username", id = "user_flag", value_name = "USER", conflicts_with = "user", add = completion::users())]
    user_flag: Option<String>,
}

impl IdmapCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            IdmapCommand::List => {
                let all = connection.list::<IdentityMapping>("/identity-mappings").await?;
                let row = |one: &IdentityMapping| vec![one.principal.clone(), one.user.clone()];
                session.output.show(&all, &["principal", "user"], all.iter().map(row).collect())
            }
            IdmapCommand::Add(add) => {
                let request = IdentityMapping {
                    principal: add.principal.or(add.principal_flag).unwrap_or_default(),
                    user: add.user.or(add.user_flag).unwrap_or_default(),
                };
                let made = connection.post::<_, IdentityMapping>("/identity-mappings", &request).await?;
                session.output.done(&made, &format!("'{}' acts for user '{}'", made.principal, made.user))
            }
            IdmapCommand::Remove { principal, sure } => {
                let principal = principal.principal.or(principal.flag).unwrap_or_default();
                sure.confirm(&format!("ends the mapping of '{principal}'"))?;
                connection.delete(&path(&["identity-mappings", &principal])).await?;
                session.output.done(&principal, &format!("'{principal}' acts for nobody"))
            }
        }
    }
}
