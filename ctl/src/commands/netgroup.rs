//! `dfsctl netgroup …`.

use crate::args::NewNetgroup;
use crate::ask::Sure;
use crate::completion;
use crate::connection::{Answer, path};
use crate::failure::Failure;
use crate::output::text_or_dash;
use crate::session::Session;
use clap::{Args, Subcommand};
use dfs_api::{AddMembers, Netgroup, NetgroupStatus};

/// Machines under one name; a share's client list names them as `@NAME`.
#[derive(Subcommand)]
pub(crate) enum NetgroupCommand {
    /// Makes one.
    Create {
        #[command(flatten)]
        name: NewNetgroup,
        /// Address, network (CIDR) or host name; may be repeated.
        #[arg(long = "member")]
        members: Vec<String>,
    },
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "get")]
    Show(Name),
    /// Adds members; they may use the group's shares at once.
    AddMember {
        #[command(flatten)]
        name: Name,
        /// Addresses, networks (CIDR) or host names.
        #[arg(value_name = "MEMBER", required = true)]
        members: Vec<String>,
    },
    /// Removes members; they lose what they had through the group at once.
    RemoveMember {
        #[command(flatten)]
        name: Name,
        /// Addresses, networks (CIDR) or host names, as `show` tells them.
        #[arg(value_name = "MEMBER", required = true)]
        members: Vec<String>,
    },
    /// Deletes one that no share names.
    #[command(visible_alias = "remove")]
    Delete {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A netgroup.
#[derive(Args)]
pub(crate) struct Name {
    /// Name of the netgroup.
    #[arg(value_name = "NETGROUP", add = completion::netgroups())]
    name: String,
}

impl Name {
    fn path(&self) -> String {
        path(&["netgroups", &self.name])
    }
}

impl NetgroupCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            NetgroupCommand::Create { name, members } => {
                let request = Netgroup { name: name.take(), members };
                let made = connection.post::<_, NetgroupStatus>("/netgroups", &request).await?;
                let name = &made.group.name;
                done(session, &made, &format!("netgroup '{name}' made; shares name it as @{name}"))
            }
            NetgroupCommand::List => {
                let groups = connection.list::<NetgroupStatus>("/netgroups").await?;
                session.output.show(&groups, &HEADER, groups.iter().map(row).collect())
            }
            NetgroupCommand::Show(name) => {
                let group = connection.get::<NetgroupStatus>(&name.path()).await?;
                session.output.show(&group, &HEADER, vec![row(&group)])
            }
            NetgroupCommand::AddMember { name, members } => {
                let to = format!("{}/members", name.path());
                let group = connection.post::<_, NetgroupStatus>(&to, &AddMembers { members }).await?;
                done(session, &group, &format!("netgroup '{}' changed", name.name))
            }
            NetgroupCommand::RemoveMember { name, members } => {
                for member in &members {
                    connection.delete(&format!("{}{}", name.path(), path(&["members", member]))).await?;
                }
                let group = connection.get::<NetgroupStatus>(&name.path()).await?;
                done(session, &group, &format!("netgroup '{}' changed", name.name))
            }
            NetgroupCommand::Delete { name: Name { name }, sure } => {
                sure.confirm(&format!("deletes netgroup '{name}'"))?;
                connection.delete(&path(&["netgroups", &name])).await?;
                session.output.done(&name, &format!("netgroup '{name}' deleted"))
            }
        }
    }
}

const HEADER: [&str; 3] = ["name", "members", "shares"];

fn row(group: &NetgroupStatus) -> Vec<String> {
    let (members, shares) = (group.group.members.join(", "), group.shares.join(", "));
    vec![group.group.name.clone(), text_or_dash(&members), text_or_dash(&shares)]
}

fn done(session: &Session, group: &Answer<NetgroupStatus>, sentence: &str) -> Result<(), Failure> {
    session.output.done_with(group, sentence, &HEADER, vec![row(group)])
}
