//! Asking: passwords without echo or from standard input, and whether something is really meant.

use crate::failure::Failure;
use std::io::{BufRead, IsTerminal, Write};

/// Where passwords come from.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input, one line; without it, it is asked for.
    #[arg(long)]
    pub password_stdin: bool,
    /// The password. Everybody on this machine can read it: only for scripts that were written for other gateways.
    #[arg(long, hide_short_help = true, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
}

impl PasswordArgs {
    /// A password that exists.
    pub fn old(&self, prompt: &str) -> Result<String, Failure> {
        match &self.password {
            Some(password) => Ok(warned(password)),
            None if self.password_stdin => line(prompt),
            None => hidden(prompt, "--password-stdin"),
        }
    }

    /// A new password, asked for twice.
    pub fn new_one(&self, prompt: &str) -> Result<String, Failure> {
        match &self.password {
            Some(password) => Ok(warned(password)),
            None => new_secret(prompt, self.password_stdin, "--password-stdin"),
        }
    }
}

fn warned(password: &str) -> String {
    eprintln!(
        "dfsctl: warning: a password on the command line can be read by everybody on this machine; use --password-stdin"
    );
    password.to_owned()
}

/// A new secret: a line of standard input, or asked for twice on the terminal.
pub(crate) fn new_secret(prompt: &str, from_stdin: bool, flag: &str) -> Result<String, Failure> {
    if from_stdin {
        return line(prompt);
    }
    let secret = hidden(prompt, flag)?;
    if hidden(&format!("{prompt} again"), flag)? == secret {
        return Ok(secret);
    }
    Err(Failure::usage("the two differ; nothing was changed"))
}

/// Asks on the terminal without echo. *Errors:* usage, naming the flag for scripts, where there is no terminal.
pub(crate) fn hidden(prompt: &str, flag: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("no terminal to ask for '{prompt}': use {flag}")));
    }
    rpassword::prompt_password(format!("{prompt}: ")).map_err(|error| Failure::io(prompt, &error))
}

/// The next line of standard input. *Errors:* usage, where there is none or it is empty.
pub(crate) fn line(what: &str) -> Result<String, Failure> {
    let none = || Failure::usage(format!("standard input ended where a line was expected ({what})"));
    line_if_any(what)?.ok_or_else(none)
}

/// The next line of standard input, if there is one.
pub(crate) fn line_if_any(what: &str) -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::usage(format!("{what}: cannot read standard input: {error}")))?;
    let line = line.trim_end_matches(['\r', '\n']);
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

/// Whether something that cannot be undone is meant.
#[derive(clap::Args, Clone, Copy, Default)]
pub(crate) struct Sure {
    /// Do not ask.
    #[arg(short, long, visible_alias = "force")]
    pub yes: bool,
}

impl Sure {
    /// Asks on a terminal. *Errors:* usage, where the answer is no or nobody is there to ask.
    pub fn confirm(self, what: &str) -> Result<(), Failure> {
        confirm(self.yes, what)
    }
}

/// Asks on a terminal unless it was said already. *Errors:* usage, where the answer is no or nobody is there to ask.
pub(crate) fn confirm(said: bool, what: &str) -> Result<(), Failure> {
    if said {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("this {what}; say --yes if that is meant")));
    }
    eprint!("This {what}. Go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was changed")),
    }
}
