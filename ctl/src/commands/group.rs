//! `dfsctl group …`.

use crate::args::{GroupArg, MemberArgs, NewGroup};
use crate::ask::Sure;
use crate::completion;
use crate::connection::{Connection, path};
use crate::edit;
use crate::failure::Failure;
use crate::output::{or_dash, text_or_dash};
use crate::session::Session;
use clap::{Args, Subcommand};
use dfs_api::{AddMember, ChangeGroup, CreateGroup, Group};

/// Groups of users: they hold permissions, and their ids count for their members.
#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// Makes one.
    Create(Create),
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "show")]
    Get(GroupArg),
    /// Changes one; without an option, in your editor.
    #[command(visible_aliases = ["update", "set"])]
    Edit(Change),
    /// Deletes one, with its permissions; its members stay.
    #[command(visible_alias = "remove")]
    Delete {
        /// Name of the group.
        #[arg(value_name = "GROUP", add = completion::groups())]
        name: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Puts users into one; it acts at once.
    AddUser(MemberArgs),
    /// Takes users out of one; it acts at once.
    RemoveUser(MemberArgs),
}

/// A new group.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    name: NewGroup,
    /// Group id that its members' requests act with.
    #[arg(long)]
    gid: Option<u32>,
    /// For people.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Users that belong to it; may be repeated, or separated by commas.
    #[arg(long = "member", value_delimiter = ',', value_name = "USER", add = completion::users())]
    members: Vec<String>,
}

/// What is changed about a group; what is left out stays.
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    group: GroupArg,
    /// Group id that its members' requests act with.
    #[arg(long, conflicts_with = "no_gid")]
    gid: Option<u32>,
    /// It has no group id any more.
    #[arg(long)]
    no_gid: bool,
    /// For people.
    #[arg(long)]
    description: Option<String>,
}

impl GroupCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            GroupCommand::Create(create) => {
                let request = CreateGroup {
                    name: create.name.take(),
                    gid: create.gid,
                    description: create.description,
                    members: create.members,
                };
                let group = connection.post::<_, Group>("/groups", &request).await?;
                let sentence = format!("group '{}' made", group.name);
                session.output.done_with(&group, &sentence, &HEADER, vec![row(&group)])
            }
            GroupCommand::List => {
                let groups = connection.list::<Group>("/groups").await?;
                session.output.show(&groups, &HEADER, groups.iter().map(row).collect())
            }
            GroupCommand::Get(group) => {
                let group = connection.get::<Group>(&path(&["groups", &group.name])).await?;
                session.output.show(&group, &HEADER, vec![row(&group)])
            }
            GroupCommand::Edit(change) => change.run(&connection, session).await,
            GroupCommand::Delete { name, sure } => {
                sure.confirm(&format!("deletes group '{name}' with all permissions"))?;
                connection.delete(&path(&["groups", &name])).await?;
                session.output.done(&name, &format!("group '{name}' deleted; its members stay"))
            }
            GroupCommand::AddUser(members) => {
                for user in &members.users {
                    let request = AddMember { user: user.clone() };
                    let to = path(&["groups", &members.group, "members"]);
                    connection.post::<_, serde_json::Value>(&to, &request).await?;
                }
                shown(&connection, session, &members.group).await
            }
            GroupCommand::RemoveUser(members) => {
                for user in &members.users {
                    let member = format!("{}{}", path(&["groups", &members.group]), path(&["members", user]));
                    connection.delete(&member).await?;
                }
                shown(&connection, session, &members.group).await
            }
        }
    }
}

async fn shown(connection: &Connection, session: &Session, name: &str) -> Result<(), Failure> {
    let group = connection.get::<Group>(&path(&["groups", name])).await?;
    session.output.done_with(&group, &format!("group '{name}' changed"), &HEADER, vec![row(&group)])
}

impl Change {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let name = self.group.name;
        let path = path(&["groups", &name]);
        let gid = if self.no_gid { Some(None) } else { self.gid.map(Some) };
        let asked = ChangeGroup { gid, description: self.description };
        let group = if asked == ChangeGroup::default() {
            let group = connection.get::<Group>(&path).await?;
            let fields = edit::fields(group.json(), &["gid", "description"]);
            let apply = async |change: edit::Fields| connection.patch::<_, Group>(&path, &change).await;
            match edit::edit(&session.output, &format!("Group {name}"), &fields, apply).await? {
                Some(changed) => changed,
                None => return session.output.done(&group, "nothing was changed"),
            }
        } else {
            connection.patch::<_, Group>(&path, &asked).await?
        };
        session.output.done_with(&group, &format!("group '{name}' changed"), &HEADER, vec![row(&group)])
    }
}

const HEADER: [&str; 4] = ["name", "gid", "members", "description"];

fn row(group: &Group) -> Vec<String> {
    vec![
        group.name.clone(),
        or_dash(group.gid.as_ref()),
        text_or_dash(&group.members.join(", ")),
        text_or_dash(&group.description),
    ]
}
