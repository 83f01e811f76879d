//! `dfsctl context …`.

use crate::ask::Sure;
use crate::completion;
use crate::contexts::{Context, Contexts, Store, check_name};
use crate::failure::{Failure, NOT_FOUND};
use crate::output::{or_dash, text_or_dash};
use crate::session::Session;
use clap::{Args, Subcommand};
use serde::Serialize;

/// Remembered gateways: a server and who is logged in there, under a name each.
#[derive(Subcommand)]
pub(crate) enum ContextCommand {
    /// Lists them; the one in use has a star.
    List,
    /// Shows the one in use.
    #[command(visible_alias = "show")]
    Current,
    /// Makes one the one in use.
    Use(Name),
    /// Gives one another name.
    Rename {
        /// Name as it is.
        #[arg(add = completion::contexts())]
        from: String,
        /// New name.
        to: String,
    },
    /// Forgets one with its login; the gateway keeps the login until it expires (`dfsctl logout` ends it).
    #[command(visible_alias = "remove")]
    Delete {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A context.
#[derive(Args)]
pub(crate) struct Name {
    /// Its name.
    #[arg(add = completion::contexts())]
    name: String,
}

/// A context as it is shown; no token is in it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    current: bool,
    server: &'a str,
    username: Option<&'a str>,
    logged_in: bool,
    ca_file: Option<String>,
}

fn shown<'a>(contexts: &Contexts, name: &'a str, context: &'a Context) -> Shown<'a> {
    Shown {
        name,
        current: contexts.current.as_deref() == Some(name),
        server: &context.server,
        username: context.username.as_deref(),
        logged_in: context.logged_in(),
        ca_file: context.ca_file.as_ref().map(|path| path.display().to_string()),
    }
}

const HEADER: [&str; 5] = ["", "name", "server", "user", "login"];

fn row(context: &Shown<'_>) -> Vec<String> {
    vec![
        if context.current { "*" } else { "" }.to_owned(),
        context.name.to_owned(),
        text_or_dash(context.server),
        or_dash(context.username.as_ref()),
        if context.logged_in { "remembered" } else { "none" }.to_owned(),
    ]
}

impl ContextCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = Store::of_user()?;
        match self {
            ContextCommand::List => {
                let contexts = store.read()?;
                let all = contexts.contexts.iter().map(|(name, context)| shown(&contexts, name, context));
                let all: Vec<Shown<'_>> = all.collect();
                session.output.show(&all, &HEADER, all.iter().map(row).collect())
            }
            ContextCommand::Current => {
                let contexts = store.read()?;
                let none = || {
                    Failure::new(
                        NOT_FOUND,
                        "no context is in use: run `dfsctl login`, or `dfsctl context use NAME`",
                    )
                };
                let (name, context) = contexts.current().ok_or_else(none)?;
                let context = shown(&contexts, name, context);
                session.output.show(&context, &HEADER, vec![row(&context)])
            }
            ContextCommand::Use(Name { name }) => {
                let change = |contexts: &mut Contexts| {
                    let server = contexts.named(&name)?.server.clone();
                    contexts.current = Some(name.clone());
                    Ok(server)
                };
                let server = store.change(change).await?;
                session.output.done(&name, &format!("context '{name}' is in use: {server}"))
            }
            ContextCommand::Rename { from, to } => {
                store.change(|contexts| rename(contexts, &from, &to)).await?;
                session.output.done(&to, &format!("context '{from}' is '{to}' now"))
            }
            ContextCommand::Delete { name: Name { name }, sure } => {
                store.read()?.named(&name)?;
                sure.confirm(&format!("forgets context '{name}' with its login"))?;
                let change = |contexts: &mut Contexts| {
                    contexts.contexts.remove(&name);
                    contexts.current.take_if(|current| *current == name);
                    Ok(())
                };
                store.change(change).await?;
                session.output.done(&name, &format!("context '{name}' is forgotten"))
            }
        }
    }
}

fn rename(contexts: &mut Contexts, from: &str, to: &str) -> Result<(), Failure> {
    check_name(to)?;
    let context = contexts.named(from)?.clone();
    if contexts.contexts.contains_key(to) {
        return Err(Failure::usage(format!("there is a context named '{to}' already")));
    }
    contexts.contexts.remove(from);
    contexts.contexts.insert(to.to_owned(), context);
    if contexts.current.as_deref() == Some(from) {
        contexts.current = Some(to.to_owned());
    }
    Ok(())
}
