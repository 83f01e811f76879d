//! `dfsctl user update`.

use super::user::{RoleArg, details};
use crate::args::UserArg;
use crate::completion;
use crate::connection::{Connection, path};
use crate::edit;
use crate::failure::Failure;
use crate::output::PAIRS;
use crate::session::Session;
use clap::{ArgAction, Args};
use dfs_api::{ChangeUser, User};

/// What is changed about a user; what is left out stays.
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    user: UserArg,
    /// E-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Name for people.
    #[arg(long, visible_alias = "display-name")]
    full_name: Option<String>,
    /// What he may do in the control plane.
    #[arg(long, value_enum)]
    role: Option<RoleArg>,
    /// Whether he may log in and use shares.
    #[arg(long, action = ArgAction::Set)]
    enabled: Option<bool>,
    /// User id that his NFS requests carry.
    #[arg(long, conflicts_with = "no_uid")]
    uid: Option<u32>,
    /// NFS does not know him any more.
    #[arg(long)]
    no_uid: bool,
    /// Primary group id.
    #[arg(long, conflicts_with = "no_gid")]
    gid: Option<u32>,
    /// His client's group counts.
    #[arg(long)]
    no_gid: bool,
    /// Take your own user and group id on this machine.
    #[arg(long, conflicts_with_all = ["uid", "gid", "no_uid", "no_gid"])]
    host_uid: bool,
    /// All of his groups, in place of those before; separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "GROUP", conflicts_with_all = ["add_group", "remove_group"], add = completion::groups())]
    groups: Option<Vec<String>>,
    /// Puts him into a group; may be repeated.
    #[arg(long, value_name = "GROUP", add = completion::groups())]
    add_group: Vec<String>,
    /// Takes him out of a group; may be repeated.
    #[arg(long, value_name = "GROUP", add = completion::groups())]
    remove_group: Vec<String>,
}

/// The fields that the editor shows.
const FIELDS: [&str; 7] = ["full_name", "email", "role", "enabled", "uid", "gid", "groups"];

impl Change {
    pub async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let name = self.user.name.clone();
        let path = path(&["users", &name]);
        let change = match self.asked(connection, &path).await? {
            change if change != ChangeUser::default() => connection.patch::<_, User>(&path, &change).await?,
            _ => {
                let user = connection.get::<User>(&path).await?;
                let fields = edit::fields(user.json(), &FIELDS);
                let apply = async |change: edit::Fields| connection.patch::<_, User>(&path, &change).await;
                let edited = edit::edit(&session.output, &format!("User {name}"), &fields, apply).await?;
                match edited {
                    Some(changed) => changed,
                    None => return session.output.done(&user, "nothing was changed"),
                }
            }
        };
        session.output.done_with(&change, &format!("user '{name}' changed"), &PAIRS, details(&change))
    }

    /// What the options say.
    async fn asked(self, connection: &Connection, path: &str) -> Result<ChangeUser, Failure> {
        let id = |given: Option<u32>, none: bool| if none { Some(None) } else { given.map(Some) };
        let (mut uid, mut gid) = (id(self.uid, self.no_uid), id(self.gid, self.no_gid));
        if self.host_uid {
            uid = Some(Some(rustix::process::getuid().as_raw()));
            gid = Some(Some(rustix::process::getgid().as_raw()));
        }
        let mut groups = self.groups.map(|names| names.into_iter().filter(|name| !name.is_empty()).collect());
        if !self.add_group.is_empty() || !self.remove_group.is_empty() {
            let user = connection.get::<User>(path).await?;
            if let Some(odd) = self.remove_group.iter().find(|name| !user.groups.contains(name)) {
                let known = user.groups.join(", ");
                return Err(Failure::usage(format!("--remove-group: he is not in '{odd}', but in: {known}")));
            }
            let mut all: Vec<String> = user.groups.clone();
            all.extend(self.add_group.into_iter().filter(|name| !user.groups.contains(name)));
            all.retain(|name| !self.remove_group.contains(name));
            groups = Some(all);
        }
        Ok(ChangeUser {
            full_name: self.full_name,
            email: self.email,
            role: self.role.map(Into::into),
            enabled: self.enabled,
            uid,
            gid,
            groups,
        })
    }
}
