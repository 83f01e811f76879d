//! `dfsctl login`.

use crate::cli::{Failure, Session};
use crate::credentials;
use clap::Args;
use dfs_api::{Client, PasswordChange, Tokens};
use serde::Serialize;
use std::io::{BufRead, IsTerminal};

/// Logs in. Passwords are asked for, or read from standard input; never taken from the command line.
#[derive(Args)]
pub(crate) struct Login {
    /// User name.
    #[arg(short, long, default_value = "admin")]
    username: String,
    /// Read the password from the first line of standard input; a second line is the new password where one must be set.
    #[arg(long)]
    password_stdin: bool,
}

/// What programs are told; no token is in it.
#[derive(Serialize)]
struct Done<'a> {
    server: &'a str,
    username: &'a str,
}

impl Login {
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let server = credentials::server(session);
        let client = Client::new(&server, None);
        let password = self.ask("Password: ")?;
        let mut tokens = client.login(&self.username, &password).await?;
        if tokens.must_change_password {
            tokens = self.change(&server, &tokens, password).await?;
        }
        credentials::save(&server, &tokens)?;
        let done = Done { server: &server, username: &self.username };
        session.output.done(&done, &format!("logged in to {server} as {}", self.username))
    }

    /// The first login of an administrator whose password was made up for him.
    async fn change(&self, server: &str, tokens: &Tokens, old_password: String) -> Result<Tokens, Failure> {
        if !self.password_stdin {
            eprintln!("The password was set for you and must be changed now.");
        }
        let new_password = self.ask("New password: ")?;
        if !self.password_stdin && self.ask("New password again: ")? != new_password {
            return Err(Failure::new(2, "the two new passwords differ; nothing was changed"));
        }
        let client = Client::new(server, Some(tokens.access_token.clone()));
        Ok(client.post("/users/me/password", &PasswordChange { old_password, new_password }).await?)
    }

    fn ask(&self, prompt: &str) -> Result<String, Failure> {
        if !self.password_stdin {
            if !std::io::stdin().is_terminal() {
                return Err(Failure::new(2, "no terminal to ask for the password: use --password-stdin"));
            }
            return rpassword::prompt_password(prompt).map_err(|error| Failure::new(2, error.to_string()));
        }
        let mut line = String::new();
        let read = std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::new(2, error.to_string()))?;
        if read == 0 {
            return Err(Failure::new(
                2,
                format!("standard input ended where a line was expected ({prompt})"),
            ));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
