//! `dfsctl user …`.

use super::user_change::Change;
use crate::args::{NewUser, UserArg};
use crate::ask::{PasswordArgs, Sure};
use crate::completion;
use crate::connection::{Connection, path};
use crate::failure::Failure;
use crate::output::{PAIRS, or_dash, pairs, text_or_dash, word};
use crate::session::Session;
use crate::time::date;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use dfs_api::{ChangeUser, CreateUser, Role, SetPassword, User};

/// What a user of the control plane may do.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Use shares, and look at himself.
    User,
    /// Look at everything, flush.
    Operator,
    /// Everything.
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::User => Role::User,
            RoleArg::Operator => Role::Operator,
            RoleArg::Admin => Role::Admin,
        }
    }
}

/// Users: of the control plane by their roles, of the shares by their user ids.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Makes one.
    Create(Box<Create>),
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "get")]
    Show(UserArg),
    /// Changes one; without an option, in your editor.
    #[command(visible_aliases = ["edit", "set"])]
    Update(Box<Change>),
    /// Gives one another password, which he must change at his next login.
    Password(Password),
    /// Changes your own password.
    ChangePassword(ChangePassword),
    /// Lets one log in and use shares again.
    Enable(UserArg),
    /// Keeps one from logging in and from every share, at once.
    Disable(UserArg),
    /// Deletes one, with his permissions and mappings; his files stay.
    #[command(visible_alias = "remove")]
    Delete {
        /// Name of the user.
        #[arg(value_name = "USER", add = completion::users())]
        name: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A new user.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    name: NewUser,
    #[command(flatten)]
    password: PasswordArgs,
    /// He need not choose another password at the first login.
    #[arg(long)]
    keep_password: bool,
    /// User id that his NFS requests carry; without one NFS does not know him.
    #[arg(long)]
    uid: Option<u32>,
    /// Primary group id; without one his client's counts.
    #[arg(long)]
    gid: Option<u32>,
    /// Take your own user and group id on this machine.
    #[arg(long, conflicts_with_all = ["uid", "gid"])]
    host_uid: bool,
    /// Groups that he joins; may be repeated, or separated by commas.
    #[arg(long, value_delimiter = ',', visible_alias = "group", value_name = "GROUP", add = completion::groups())]
    groups: Vec<String>,
    /// What he may do in the control plane.
    #[arg(long, value_enum, default_value = "user")]
    role: RoleArg,
    /// E-mail address; for people, nothing is sent there.
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
    /// Name for people.
    #[arg(long, visible_alias = "display-name", default_value = "", hide_default_value = true)]
    full_name: String,
    /// He may not log in or use shares yet.
    #[arg(long)]
    disabled: bool,
    /// Whether he may log in and use shares, as scripts of other gateways have it.
    #[arg(long, action = ArgAction::Set, conflicts_with = "disabled", hide_short_help = true)]
    enabled: Option<bool>,
}

/// Another password for somebody.
#[derive(Args)]
pub(crate) struct Password {
    #[command(flatten)]
    user: UserArg,
    #[command(flatten)]
    password: PasswordArgs,
    /// He need not choose another one at the next login.
    #[arg(long)]
    keep_password: bool,
}

/// Another password for oneself.
#[derive(Args)]
pub(crate) struct ChangePassword {
    /// Read two lines from standard input, the password as it is and the new one; without it, they are asked for.
    #[arg(long, visible_alias = "new-password-stdin")]
    password_stdin: bool,
}

impl UserCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        if let UserCommand::ChangePassword(change) = self {
            return super::login::change_own(session, change.password_stdin).await;
        }
        let connection = session.connect()?;
        match self {
            UserCommand::Create(create) => create.run(&connection, session).await,
            UserCommand::List => {
                let users = connection.list::<User>("/users").await?;
                session.output.show(&users, &HEADER, users.iter().map(row).collect())
            }
            UserCommand::Show(user) => {
                let user = connection.get::<User>(&path(&["users", &user.name])).await?;
                session.output.show(&user, &PAIRS, details(&user))
            }
            UserCommand::Update(change) => change.run(&connection, session).await,
            UserCommand::Password(password) => password.run(&connection, session).await,
            UserCommand::ChangePassword(_) => Ok(()),
            UserCommand::Enable(user) => enabled(&connection, session, &user.name, true).await,
            UserCommand::Disable(user) => enabled(&connection, session, &user.name, false).await,
            UserCommand::Delete { name, sure } => {
                sure.confirm(&format!("deletes user '{name}' with all permissions"))?;
                connection.delete(&path(&["users", &name])).await?;
                session.output.done(&name, &format!("user '{name}' deleted; the files stay"))
            }
        }
    }
}

async fn enabled(connection: &Connection, session: &Session, name: &str, on: bool) -> Result<(), Failure> {
    let change = ChangeUser { enabled: Some(on), ..ChangeUser::default() };
    let user = connection.patch::<_, User>(&path(&["users", name]), &change).await?;
    let what = if on { "enabled" } else { "disabled" };
    session.output.done(&user, &format!("user '{name}' {what}"))
}

impl Create {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let (uid, gid) = match self.host_uid {
            true => (Some(rustix::process::getuid().as_raw()), Some(rustix::process::getgid().as_raw())),
            false => (self.uid, self.gid),
        };
        let name = self.name.take();
        let request = CreateUser {
            password: self.password.new_one(&format!("Password of {name}"))?,
            name,
            full_name: self.full_name,
            email: self.email,
            role: self.role.into(),
            enabled: self.enabled.unwrap_or(!self.disabled),
            must_change_password: !self.keep_password,
            uid,
            gid,
            groups: self.groups,
        };
        let user = connection.post::<_, User>("/users", &request).await?;
        let hint = if user.uid.is_none() { "; NFS does not know him (no --uid)" } else { "" };
        let sentence = format!("user '{}' made{hint}", user.name);
        session.output.done_with(&user, &sentence, &PAIRS, details(&user))
    }
}

impl Password {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let name = self.user.name;
        let new_password = self.password.new_one(&format!("New password of {name}"))?;
        let request = SetPassword { new_password, must_change: !self.keep_password };
        connection.post::<_, serde_json::Value>(&path(&["users", &name, "password"]), &request).await?;
        session
            .output
            .done(&name, &format!("user '{name}' has another password; every earlier login is void"))
    }
}

const HEADER: [&str; 8] = ["name", "role", "state", "uid", "gid", "groups", "full name", "last login"];

fn state(user: &User) -> String {
    match (user.enabled, user.must_change_password) {
        (false, _) => "disabled".to_owned(),
        (true, true) => "enabled, must change password".to_owned(),
        (true, false) => "enabled".to_owned(),
    }
}

fn row(user: &User) -> Vec<String> {
    vec![
        user.name.clone(),
        word(&user.role),
        state(user),
        or_dash(user.uid.as_ref()),
        or_dash(user.gid.as_ref()),
        text_or_dash(&user.groups.join(",")),
        text_or_dash(&user.full_name),
        user.last_login_at.map_or_else(|| "never".to_owned(), date),
    ]
}

pub(super) fn details(user: &User) -> Vec<Vec<String>> {
    pairs([
        ("name", user.name.clone()),
        ("full name", text_or_dash(&user.full_name)),
        ("email", text_or_dash(&user.email)),
        ("role", word(&user.role)),
        ("state", state(user)),
        ("user id", or_dash(user.uid.as_ref())),
        ("group id", or_dash(user.gid.as_ref())),
        ("groups", text_or_dash(&user.groups.join(", "))),
        ("made", date(user.created_at)),
        ("last login", user.last_login_at.map_or_else(|| "never".to_owned(), date)),
    ])
}
