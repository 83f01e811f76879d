//! What every command works with: what was said on the command line, and the gateway that is meant.

use crate::connection::Connection;
use crate::contexts::{self, Context, DEFAULT_SERVER, Store, no_login, renewal};
use crate::failure::Failure;
use crate::output::Output;
use dfs_api::{Client, ClientOptions, Exchange};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest time for one answer: longer than the gateway lets any request but a restore take.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);

/// What stands before or after any command.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Globals {
    /// The gateway's control plane, for instance https://gateway.example:8080; default that of the context, else http://127.0.0.1:8080.
    #[arg(long, global = true, env = "DFSCTL_SERVER", value_name = "URL", value_parser = server_or_nothing, help_heading = "Global options")]
    pub server: Option<String>,
    /// Access token; default that of the last login.
    #[arg(
        long,
        global = true,
        env = "DFSCTL_TOKEN",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub token: Option<String>,
    /// The remembered gateway that is meant (`dfsctl context list`); default the one in use.
    #[arg(long, global = true, env = "DFSCTL_CONTEXT", value_name = "NAME", help_heading = "Global options",
        add = crate::completion::contexts())]
    pub context: Option<String>,
    /// Certificates (PEM) to trust in place of the machine's; `login` remembers the file.
    #[arg(long, global = true, env = "DFSCTL_CA", value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Global options")]
    pub ca: Option<PathBuf>,
    /// Tell each request and answer, with its id, on standard error; never a secret.
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
}

/// What every command works with.
pub(crate) struct Session {
    /// What was said.
    pub globals: Globals,
    /// Where answers go.
    pub output: Output,
    /// Longest time for one answer.
    pub within: Duration,
    /// No word on standard error but a failure's.
    pub quiet: bool,
}

/// The gateway that is meant, and who is logged in there.
pub(crate) struct Target {
    /// Its control plane.
    pub server: String,
    /// The context, if one is remembered.
    pub context: Option<(String, Context)>,
    /// Certificates to trust in place of the machine's.
    pub ca: Option<PathBuf>,
}

impl Session {
    /// One for what was said.
    pub fn new(mut globals: Globals, output: Output) -> Session {
        // A variable that is set to nothing says nothing.
        globals.token.take_if(|token| token.is_empty());
        globals.context.take_if(|name| name.is_empty());
        globals.ca.take_if(|path| path.as_os_str().is_empty());
        globals.server.take_if(|server| server.is_empty());
        Session { globals, output, within: ANSWER_WITHIN, quiet: false }
    }

    /// The gateway that is meant. *Errors:* usage, where the context named is not there.
    pub fn target(&self) -> Result<Target, Failure> {
        let contexts = Store::of_user().and_then(|store| store.read());
        // Who brings his own token needs no file of contexts, however it is.
        let contexts = match contexts {
            Err(_) if self.globals.token.is_some() && self.globals.context.is_none() => Default::default(),
            contexts => contexts?,
        };
        let chosen = contexts.chosen(self.globals.context.as_deref(), self.globals.server.as_deref())?;
        let context = chosen.map(|(name, context)| (name.to_owned(), context.clone()));
        let of_context =
            context.as_ref().map(|(_, context)| context.server.clone()).filter(|url| !url.is_empty());
        let server = self.globals.server.clone().or(of_context).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let ca = context.as_ref().and_then(|(_, context)| context.ca_file.clone());
        Ok(Target { server, context, ca: self.globals.ca.clone().or(ca) })
    }

    /// How a client talks, without a login.
    fn options(&self, target: &Target) -> Result<ClientOptions, Failure> {
        let ca = target.ca.as_deref().map(certificates).transpose()?;
        let watch = self.globals.verbose.then(|| Arc::new(tell) as Arc<dyn Fn(&Exchange) + Send + Sync>);
        Ok(ClientOptions { ca, watch, timeout: Some(self.within), ..ClientOptions::default() })
    }

    /// A client for a gateway, with a token or none; nothing renews the token.
    pub fn client(&self, target: &Target, token: Option<String>) -> Result<Client, Failure> {
        let options = ClientOptions { token, ..self.options(target)? };
        Ok(Client::with(&target.server, options)?)
    }

    /// A client without a login.
    pub fn anonymous(&self) -> Result<Client, Failure> {
        self.client(&self.target()?, None)
    }

    /// A connection that is logged in; a login that has expired is renewed on the way. *Errors:* nobody is logged in.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let target = self.target()?;
        if let Some(token) = &self.globals.token {
            let client = self.client(&target, Some(token.clone()))?;
            return Ok(Connection::new(client, target.server));
        }
        let login =
            target.context.as_ref().and_then(|(name, context)| Some((name, context.access_token.clone()?)));
        let (name, token) = login.ok_or_else(|| no_login(&target.server))?;
        let options = self.options(&target)?;
        let renew = renewal(name, &target.server, options.clone(), self.quiet);
        let options = ClientOptions { token: Some(token), renew: Some(renew), ..options };
        let client = Client::with(&target.server, options)?;
        Ok(Connection::new(client, target.server))
    }
}

/// A server, or nothing out of an empty variable.
fn server_or_nothing(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { contexts::server_url(text) }
}

fn certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("--ca {}: {error}", path.display())))
}

/// Tells a request and how it was answered.
fn tell(exchange: &Exchange) {
    let id = exchange.request_id.as_deref().unwrap_or("without an id");
    let line = format!("{} {}: {} (request {id})", exchange.method, exchange.path, exchange.status);
    eprintln!("dfsctl: {}", crate::failure::one_line(&line));
}
