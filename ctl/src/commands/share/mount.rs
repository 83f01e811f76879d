//! `dfsctl share mount` and `dfsctl share unmount`: mount(8) with the options that the gateway needs.

use crate::args::ShareArg;
use crate::connection::path;
use crate::failure::{Failure, OTHER};
use crate::output::Output;
use crate::session::Session;
use clap::{Args, ValueEnum};
use dfs_api::Adapter;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The NFS port where nobody can be asked.
const USUAL_PORT: u16 = 12_049;

/// A protocol that mounts.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Protocol {
    /// NFS version 3.
    Nfs,
}

/// A mount of a share on this machine.
#[derive(Args)]
pub(crate) struct Mount {
    #[command(flatten)]
    share: ShareArg,
    /// The directory.
    #[arg(value_hint = clap::ValueHint::DirPath)]
    mountpoint: PathBuf,
    /// The protocol.
    #[arg(short, long, value_enum, default_value = "nfs")]
    protocol: Protocol,
    /// The gateway's address for NFS; default that of its control plane.
    #[arg(long)]
    host: Option<String>,
    /// The gateway's NFS port; default what the gateway says, else 12049.
    #[arg(long)]
    port: Option<u16>,
    /// Further options for mount, separated by commas, for instance ro.
    #[arg(long, visible_alias = "options", value_name = "OPTIONS")]
    option: Option<String>,
    /// Print the command and do nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Mount {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let Protocol::Nfs = self.protocol;
        let server = session.target()?.server;
        let host = self.host.clone().unwrap_or_else(|| host(&server).to_owned());
        let port = match self.port {
            Some(port) => port,
            None => asked_port(session).await.unwrap_or_else(|why| {
                eprintln!("dfsctl: warning: the NFS port is taken to be {USUAL_PORT}: {why} (--port)");
                USUAL_PORT
            }),
        };
        let mut options = format!("vers=3,proto=tcp,mountproto=tcp,port={port},mountport={port},nolock,hard");
        if let Some(more) = self.option.as_deref().filter(|more| !more.is_empty()) {
            options = format!("{options},{more}");
        }
        let from = format!("{host}:/{}", self.share.share);
        let target = self.mountpoint.display().to_string();
        let command = ["mount", "-t", "nfs", "-o", &options, &from, &target].map(str::to_owned);
        let sentence = format!("share '{}' is mounted on {target}", self.share.share);
        run(&session.output, &command, self.dry_run, Some("mount.nfs"), &sentence)
    }
}

/// A mount that ends.
#[derive(Args)]
pub(crate) struct Unmount {
    /// The directory.
    #[arg(value_hint = clap::ValueHint::DirPath)]
    mountpoint: PathBuf,
    /// Do it although the gateway does not answer.
    #[arg(long)]
    force: bool,
    /// Detach it now, and end it when nobody uses it any more.
    #[arg(long)]
    lazy: bool,
    /// Print the command and do nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Unmount {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let mut command = vec!["umount".to_owned()];
        command.extend(self.force.then(|| "-f".to_owned()));
        command.extend(self.lazy.then(|| "-l".to_owned()));
        command.push(self.mountpoint.display().to_string());
        let sentence = format!("{} is not mounted any more", self.mountpoint.display());
        run(&session.output, &command, self.dry_run, None, &sentence)
    }
}

/// The port of the NFS adapter, which a login may ask for.
async fn asked_port(session: &Session) -> Result<u16, String> {
    let connection = session.connect().map_err(|failure| failure.message)?;
    let adapter = connection.get::<Adapter>(&path(&["adapters", "nfs"])).await;
    let adapter = adapter.map_err(|failure| failure.message)?;
    let port = adapter.listen.rsplit(':').next().and_then(|port| port.parse().ok());
    port.ok_or_else(|| format!("'{}' has no port", adapter.listen))
}

/// The host of a control plane's address, an IPv6 address with its brackets.
fn host(server: &str) -> &str {
    let rest = server.split("://").last().unwrap_or(server);
    match rest.find(']') {
        Some(end) => &rest[..=end],
        None => rest.split(':').next().unwrap_or(rest),
    }
}

/// Runs a command that only root may, or prints it.
fn run(
    output: &Output,
    command: &[String],
    dry_run: bool,
    helper: Option<&str>,
    sentence: &str,
) -> Result<(), Failure> {
    let line = command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    if dry_run {
        return output.done(&json!({"command": command}), &line);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(OTHER, format!("only root may do that; as root: {line}")));
    }
    if let Some(helper) = helper.filter(|helper| !installed(helper)) {
        let package = "nfs-common or nfs-utils";
        return Err(Failure::new(OTHER, format!("{helper} is missing: install {package}, then: {line}")));
    }
    let status = Command::new(&command[0]).args(&command[1..]).status();
    let status = status.map_err(|error| Failure::io(&command[0], &error))?;
    if !status.success() {
        return Err(Failure::new(OTHER, format!("{status} of: {line}")));
    }
    output.done(&json!({"command": command}), sentence)
}

/// Whether a program is where mount looks for its helpers.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed = ["/sbin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(fixed).any(|folder| Path::new(&folder).join(program).is_file())
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "-_=,.:/@[]+%".contains(one);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_told_from_its_port() {
        for (server, wanted) in [
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("https://gateway.example", "gateway.example"),
            ("http://[2001:db8::1]:8080", "[2001:db8::1]"),
        ] {
            assert_eq!(host(server), wanted);
        }
    }

    #[test]
    fn words_with_blanks_and_quotes_are_one_word_for_a_shell() {
        assert_eq!(quoted("/mnt/a"), "/mnt/a");
        assert_eq!(quoted("/mnt/a b"), "'/mnt/a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
