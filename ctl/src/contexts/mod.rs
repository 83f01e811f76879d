//! Remembered gateways: a server, who is logged in there, and his tokens, under a name each.
//!
//! They stand in `contexts.json`, mode 0600 in a folder of mode 0700. The file is only ever replaced whole, by a rename after the
//! new one is on disk: a crash leaves the old one. Whoever changes it holds `contexts.lock`, so that two programs that renew the same
//! login do it one after the other, and the second finds what the first has got. The lock goes with the process.
//!
//! `login.json` of earlier versions is taken over as context `default` the first time that something is written.

mod file;
mod renew;

pub(crate) use file::Store;
pub(crate) use renew::renewal;

use crate::failure::{Failure, NO_LOGIN, NOT_FOUND};
use dfs_api::Tokens;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The gateway that is talked to when nothing else is said.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// Name of the first context.
pub(crate) const DEFAULT_CONTEXT: &str = "default";

/// One remembered gateway.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Context {
    /// Its control plane.
    pub server: String,
    /// Who is, or was last, logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// For new tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Certificates that are trusted in place of the machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Context {
    /// Takes new tokens.
    pub fn remember(&mut self, tokens: &Tokens) {
        self.access_token = Some(tokens.access_token.clone());
        self.refresh_token = Some(tokens.refresh_token.clone());
    }

    /// Whether somebody is logged in, as far as is known here.
    pub fn logged_in(&self) -> bool {
        self.access_token.is_some()
    }
}

/// All of them, and which one is used when none is named.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Contexts {
    /// The one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    pub contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// One that must be there. *Errors:* not found, with the names that are.
    pub fn named(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let known =
                if known.is_empty() { "none: run `dfsctl login`".to_owned() } else { known.join(", ") };
            Failure::new(NOT_FOUND, format!("there is no context named '{name}'; there is {known}"))
        })
    }

    /// The context in use.
    pub fn current(&self) -> Option<(&str, &Context)> {
        let name = self.current.as_deref()?;
        self.contexts.get(name).map(|context| (name, context))
    }

    /// The context that a command works with: the one named, else that of the server named, else the current one.
    ///
    /// *Errors:* usage, where the one named is not there or is one of another server: its tokens are not for that one.
    pub fn chosen(
        &self,
        name: Option<&str>,
        server: Option<&str>,
    ) -> Result<Option<(&str, &Context)>, Failure> {
        if let Some(name) = name {
            let context = self.named(name)?;
            if let Some(server) = server.filter(|server| *server != context.server) {
                let why = format!("context '{name}' is of {}, not of {server}", context.server);
                return Err(Failure::usage(format!(
                    "{why}; leave out --server, or log in under another name"
                )));
            }
            return Ok(self.contexts.get_key_value(name).map(|(name, context)| (name.as_str(), context)));
        }
        let Some(server) = server else { return Ok(self.current()) };
        let of_server = |(_, context): &(&str, &Context)| context.server == server;
        let all = || self.contexts.iter().map(|(name, context)| (name.as_str(), context)).filter(of_server);
        // Of several logins at a gateway, the one in use comes first, then one that is logged in at all.
        let found = self.current().filter(of_server);
        Ok(found.or_else(|| all().find(|(_, context)| context.logged_in())).or_else(|| all().next()))
    }

    /// A name for a new context of a server, without being told one: that of the context of the server, else `default` for the first,
    /// else the host.
    pub fn name_for(&self, server: &str) -> String {
        if let Ok(Some((name, _))) = self.chosen(None, Some(server)) {
            return name.to_owned();
        }
        if self.contexts.is_empty() {
            return DEFAULT_CONTEXT.to_owned();
        }
        let host = server.split("://").last().unwrap_or(server);
        let clean: String = host
            .chars()
            .map(|one| if one.is_ascii_alphanumeric() || one == '.' { one } else { '-' })
            .collect();
        let stem = clean.trim_matches('-').to_owned();
        let taken = |name: &String| self.contexts.contains_key(name);
        (1..)
            .map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") })
            .find(|name| !taken(name))
            .unwrap_or(stem)
    }
}

/// The failure of a command that needs a login.
pub(crate) fn no_login(server: &str) -> Failure {
    Failure::new(NO_LOGIN, format!("not logged in to {server}: run `dfsctl login`"))
}

/// Checks the name of a new context. *Errors:* usage.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let fine = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.' | '@');
    if (1..=64).contains(&name.len()) && name.chars().all(fine) {
        return Ok(());
    }
    Err(Failure::usage(format!("'{name}' is no name of a context; write letters, digits and - _ . @")))
}

/// A server's address as it is compared and remembered: with a scheme, without a slash at the end.
pub(crate) fn server_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = text.strip_suffix('/').unwrap_or(text);
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let host = whole.strip_prefix("http://").or_else(|| whole.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']) => Ok(whole),
        _ => {
            Err(format!("'{text}' is no gateway's address; write for instance https://gateway.example:8080"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(server: &str, token: Option<&str>) -> Context {
        Context { server: server.to_owned(), access_token: token.map(str::to_owned), ..Context::default() }
    }

    fn three() -> Contexts {
        let contexts = [
            ("a", of("http://one", None)),
            ("b", of("http://one", Some("t"))),
            ("c", of("http://two", None)),
        ];
        let contexts = contexts.into_iter().map(|(name, context)| (name.to_owned(), context)).collect();
        Contexts { current: Some("c".to_owned()), contexts }
    }

    #[test]
    fn context_is_the_one_named_else_the_servers_else_the_current() {
        let all = three();
        let name = |name, server| all.chosen(name, server).unwrap().map(|(name, _)| name);
        assert_eq!(name(None, None), Some("c"));
        assert_eq!(name(Some("a"), None), Some("a"));
        assert_eq!(name(None, Some("http://one")), Some("b"), "the one that is logged in");
        assert_eq!(name(None, Some("http://three")), None);
        assert!(all.chosen(Some("a"), Some("http://two")).is_err(), "a token goes to its own gateway only");
        assert!(all.chosen(Some("d"), None).is_err_and(|failure| failure.message.contains("a, b, c")));
    }

    #[test]
    fn new_context_gets_a_name_that_is_free() {
        let mut all = three();
        assert_eq!(Contexts::default().name_for("http://x"), "default");
        assert_eq!(all.name_for("http://two"), "c");
        assert_eq!(all.name_for("http://x.example:8080"), "x.example-8080");
        all.contexts.insert("x.example-8080".to_owned(), Context::default());
        assert_eq!(all.name_for("http://x.example:8080"), "x.example-8080-2");
    }

    #[test]
    fn server_is_compared_without_its_last_slash() {
        assert_eq!(server_url("https://g:1/").unwrap(), "https://g:1");
        assert_eq!(server_url("g:1").unwrap(), "http://g:1");
        for wrong in ["", "ftp://g", "http://", "http://g/api", "http://me:secret@g"] {
            assert!(server_url(wrong).is_err(), "{wrong}");
        }
    }
}
