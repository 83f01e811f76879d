//! `dfsctl netgroup …`.

use crate::cli::{Failure, Session};
use crate::credentials;
use clap::Subcommand;
use dfs_api::{AddMembers, Client, Netgroup, NetgroupStatus};

/// Machines under one name; a share's client list names them as `@NAME`.
#[derive(Subcommand)]
pub(crate) enum NetgroupCommand {
    /// Makes one.
    Create {
        name: String,
        /// Address, network (CIDR) or host name; may be repeated.
        #[arg(long = "member")]
        members: Vec<String>,
    },
    /// Lists them.
    List,
    /// Shows one.
    Show { name: String },
    /// Adds members; they may use the group's shares at once.
    AddMember {
        name: String,
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Removes a member; it loses what it had through the group at once.
    RemoveMember { name: String, member: String },
    /// Deletes one that no share names.
    Delete { name: String },
}

impl NetgroupCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = credentials::client(session).await?;
        let path = |name: &str| format!("/netgroups/{}", Client::segment(name));
        match self {
            NetgroupCommand::Create { name, members } => {
                let made: NetgroupStatus =
                    client.post("/netgroups", &Netgroup { name: name.clone(), members }).await?;
                done(session, &made, &format!("netgroup '{name}' made; shares name it as @{name}"))
            }
            NetgroupCommand::List => {
                let groups: Vec<NetgroupStatus> = client.get("/netgroups").await?;
                let rows = groups.iter().map(row).collect();
                session.output.show(&groups, &HEADER, rows)
            }
            NetgroupCommand::Show { name } => {
                let group: NetgroupStatus = client.get(&path(&name)).await?;
                session.output.show(&group, &HEADER, vec![row(&group)])
            }
            NetgroupCommand::AddMember { name, members } => {
                let path = format!("{}/members", path(&name));
                let group: NetgroupStatus = client.post(&path, &AddMembers { members }).await?;
                done(session, &group, &format!("netgroup '{name}' changed"))
            }
            NetgroupCommand::RemoveMember { name, member } => {
                let member = format!("{}/members/{}", path(&name), Client::segment(&member));
                client.delete(&member).await?;
                let group: NetgroupStatus = client.get(&path(&name)).await?;
                done(session, &group, &format!("netgroup '{name}' changed"))
            }
            NetgroupCommand::Delete { name } => {
                client.delete(&path(&name)).await?;
                session.output.done(&name, &format!("netgroup '{name}' deleted"))
            }
        }
    }
}

const HEADER: [&str; 3] = ["name", "members", "shares"];

fn row(group: &NetgroupStatus) -> Vec<String> {
    vec![group.group.name.clone(), group.group.members.join(", "), group.shares.join(", ")]
}

fn done(session: &Session, group: &NetgroupStatus, sentence: &str) -> Result<(), Failure> {
    session.output.done_with(group, sentence, &HEADER, vec![row(group)])
}
