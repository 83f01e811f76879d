//! `dfsctl login`, `dfsctl logout`, `dfsctl switch-user` and `dfsctl user change-password`.

use crate::ask::{self, PasswordArgs};
use crate::contexts::{Contexts, DEFAULT_SERVER, Store, check_name, no_login};
use crate::failure::Failure;
use crate::session::{Session, Target};
use clap::Args;
use dfs_api::{Client, ClientError, PasswordChange, Tokens};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Who logs in.
#[derive(Args)]
pub(crate) struct Login {
    /// User name; default who was logged in last, else admin.
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    #[command(flatten)]
    secret: LoginSecret,
}

/// Another user at the same gateway.
#[derive(Args)]
pub(crate) struct SwitchUser {
    /// User name.
    #[arg(value_name = "USER", add = crate::completion::users())]
    username: String,
    #[command(flatten)]
    secret: LoginSecret,
}

/// How he proves it. Where a new password must be set, the next line of standard input is it, or it is asked for.
#[derive(Args)]
struct LoginSecret {
    #[command(flatten)]
    password: PasswordArgs,
    /// Read the new password from standard input where one must be set: the line after that of --password-stdin.
    #[arg(long)]
    new_password_stdin: bool,
}

/// What programs are told; no token is in it.
#[derive(Serialize)]
struct Done<'a> {
    context: &'a str,
    server: &'a str,
    username: &'a str,
    must_change_password: bool,
}

impl Login {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let contexts = Store::of_user()?.read()?;
        let (name, target) = place(session, &contexts)?;
        let last = target.context.as_ref().and_then(|(_, context)| context.username.clone());
        let username = self.username.or(last).unwrap_or_else(|| "admin".to_owned());
        self.secret.enter(session, &name, &target, &username).await
    }
}

impl SwitchUser {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let target = session.target()?;
        let name = target.context.as_ref().map(|(name, _)| name.clone());
        let name = name.ok_or_else(|| no_login(&target.server))?;
        self.secret.enter(session, &name, &target, &self.username).await
    }
}

/// The context that a login is remembered in, and its gateway. A context that is named may be new, or get another server.
fn place(session: &Session, contexts: &Contexts) -> Result<(String, Target), Failure> {
    let globals = &session.globals;
    let named = globals.context.as_deref();
    named.map_or(Ok(()), check_name)?;
    let known = match named {
        Some(name) => contexts.contexts.get_key_value(name).map(|(name, context)| (name.as_str(), context)),
        None => contexts.chosen(None, globals.server.as_deref())?,
    };
    let of_known = known.map(|(_, context)| context.server.clone()).filter(|server| !server.is_empty());
    let server = globals.server.clone().or(of_known).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
    let name = named.map_or_else(|| contexts.name_for(&server), str::to_owned);
    let context = known.map(|(name, context)| (name.to_owned(), context.clone()));
    let ca = globals.ca.as_ref().map(std::path::absolute).transpose();
    let ca = ca.map_err(|error| Failure::usage(format!("--ca: {error}")))?;
    let known_ca = context.as_ref().filter(|(_, known)| known.server == server);
    let ca = ca.or_else(|| known_ca.and_then(|(_, known)| known.ca_file.clone()));
    Ok((name, Target { server, context, ca }))
}

impl LoginSecret {
    async fn enter(
        self,
        session: &Session,
        context: &str,
        target: &Target,
        username: &str,
    ) -> Result<(), Failure> {
        let password = self.password.old("Password")?;
        let mut tokens = session.client(target, None)?.login(username, &password).await?;
        if tokens.must_change_password
            && let Some(new_password) = self.new_password()?
        {
            let client = session.client(target, Some(tokens.access_token.clone()))?;
            tokens = changed(&client, password, new_password).await?;
        }
        remember(context, target, username, &tokens).await?;
        let must_change_password = tokens.must_change_password;
        let done = Done { context, server: &target.server, username, must_change_password };
        let hint = match must_change_password {
            true => "; nothing is allowed before the password is changed: run `dfsctl user change-password`",
            false => "",
        };
        let place = format!("logged in to {} as {username} (context '{context}'){hint}", target.server);
        session.output.done(&done, &place)
    }

    /// The password in place of one that somebody else set; none: later.
    fn new_password(&self) -> Result<Option<String>, Failure> {
        if self.password.password_stdin || self.new_password_stdin {
            return ask::line_if_any("New password");
        }
        if !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        eprintln!("The password was set for you and must be changed now.");
        ask::new_secret("New password", false, "--new-password-stdin").map(Some)
    }
}

async fn changed(client: &Client, old_password: String, new_password: String) -> Result<Tokens, ClientError> {
    client.post("/users/me/password", &PasswordChange { old_password, new_password }).await
}

async fn remember(name: &str, target: &Target, username: &str, tokens: &Tokens) -> Result<(), Failure> {
    let ca_file: Option<PathBuf> = target.ca.clone();
    let change = |contexts: &mut Contexts| {
        let context = contexts.contexts.entry(name.to_owned()).or_default();
        context.server = target.server.clone();
        context.username = Some(username.to_owned());
        context.ca_file = ca_file;
        context.remember(tokens);
        contexts.current = Some(name.to_owned());
        Ok(())
    };
    Store::of_user()?.change(change).await
}

/// Changes the caller's own password. Every earlier login is void afterwards; this one goes on.
pub(crate) async fn change_own(session: &Session, from_stdin: bool) -> Result<(), Failure> {
    let connection = session.connect()?;
    let secret = |prompt: &str| match from_stdin {
        true => ask::line(prompt),
        false => ask::hidden(prompt, "--password-stdin"),
    };
    let old_password = secret("Password as it is")?;
    let new_password = ask::new_secret("New password", from_stdin, "--password-stdin")?;
    let tokens = changed(connection.client(), old_password, new_password).await?;
    if session.globals.token.is_none()
        && let Some((name, _)) = session.target()?.context
    {
        let change = |contexts: &mut Contexts| {
            if let Some(context) = contexts.contexts.get_mut(&name) {
                context.remember(&tokens);
            }
            Ok(())
        };
        Store::of_user()?.change(change).await?;
    }
    let sentence = "the password is changed; every login elsewhere is void";
    session.output.done(&serde_json::json!({"changed": true}), sentence)
}

/// Ends a login.
#[derive(Args)]
pub(crate) struct Logout {
    /// End every login of yours at the gateway, on other machines too.
    #[arg(long)]
    all: bool,
}

impl Logout {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        let path = if self.all { "/auth/logout?all=true" } else { "/auth/logout" };
        let ended = connection.client().post::<_, serde_json::Value>(path, &serde_json::json!({})).await;
        // The tokens go whatever the gateway says: who logs out does not want them here.
        if session.globals.token.is_none()
            && let Some((name, _)) = session.target()?.context
        {
            Store::of_user()?.change(|contexts| forget(contexts, &name)).await?;
        }
        match ended {
            Ok(_) | Err(ClientError::Unauthorized) => {}
            Err(error) => {
                let failure = Failure::from(error);
                let message = format!("forgotten here, but not ended there: {}", failure.message);
                return Err(Failure { message, ..failure });
            }
        }
        let server = connection.server();
        session.output.done(&serde_json::json!({"server": server}), &format!("logged out of {server}"))
    }
}

fn forget(contexts: &mut Contexts, name: &str) -> Result<(), Failure> {
    if let Some(context) = contexts.contexts.get_mut(name) {
        context.access_token = None;
        context.refresh_token = None;
    }
    Ok(())
}
