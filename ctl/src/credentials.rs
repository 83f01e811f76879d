//! What the last login left: server and tokens, in a file of mode 0600.

use crate::cli::{Failure, Session};
use dfs_api::{Client, Tokens};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// A remembered login.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub server: String,
    pub access_token: String,
    pub refresh_token: String,
}

/// `$DFSCTL_HOME`, else `$XDG_CONFIG_HOME/dfsctl`, else `~/.config/dfsctl`.
fn folder() -> Result<PathBuf, Failure> {
    let own = std::env::var_os("DFSCTL_HOME").map(PathBuf::from);
    let xdg = std::env::var_os("XDG_CONFIG_HOME").map(|dir| PathBuf::from(dir).join("dfsctl"));
    let home = std::env::var_os("HOME").map(|dir| PathBuf::from(dir).join(".config/dfsctl"));
    own.or(xdg)
        .or(home)
        .ok_or_else(|| Failure::new(2, "HOME is not set: name a folder for the login with DFSCTL_HOME"))
}

pub(crate) fn load() -> Option<Remembered> {
    let text = std::fs::read(folder().ok()?.join("login.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

pub(crate) fn save(server: &str, tokens: &Tokens) -> Result<(), Failure> {
    let folder = folder()?;
    let path = folder.join("login.json");
    let remembered = Remembered {
        server: server.to_owned(),
        access_token: tokens.access_token.clone(),
        refresh_token: tokens.refresh_token.clone(),
    };
    let written = make_private(&folder).and_then(|()| {
        let text = serde_json::to_vec_pretty(&remembered)?;
        let new = folder.join(format!("login.json.{}", std::process::id()));
        // A file that is made afresh has mode 0600 from the first moment.
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let moved = file.write_all(&text).and_then(|()| std::fs::rename(&new, &path));
        moved.inspect_err(|_| drop(std::fs::remove_file(&new)))
    });
    written
        .map_err(|error| Failure::new(2, format!("cannot remember the login in {}: {error}", path.display())))
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The server to talk to.
pub(crate) fn server(session: &Session) -> String {
    let remembered = || load().map(|login| login.server).filter(|server| !server.is_empty());
    session.server.clone().or_else(remembered).unwrap_or_else(|| DEFAULT_SERVER.to_owned())
}

/// A client that is logged in. An access token that has expired is renewed with the refresh token.
pub(crate) async fn client(session: &Session) -> Result<Client, Failure> {
    let server = server(session);
    if let Some(token) = &session.token {
        return Ok(Client::new(&server, Some(token.clone())));
    }
    let remembered = load().filter(|login| login.server == server);
    let Some(login) = remembered else {
        return Err(Failure::new(4, format!("not logged in to {server}: run `dfsctl login`")));
    };
    let client = Client::new(&server, Some(login.access_token));
    match client.get::<dfs_api::Me>("/auth/me").await {
        Err(dfs_api::ClientError::Unauthorized) => {
            let body = dfs_api::RefreshRequest { refresh_token: login.refresh_token };
            let tokens: Tokens = Client::new(&server, None).post("/auth/refresh", &body).await?;
            save(&server, &tokens)?;
            Ok(Client::new(&server, Some(tokens.access_token)))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(client),
    }
}
