//! `dfs init`: configuration, data folder, keys, administrator.

use super::config_command::write_config;
use super::{Failure, cannot};
use crate::runtime::Folder;
use crate::system::{OsEntropy, SystemClock};
use clap::Args;
use dfs_control::{Change, ControlDatabase, DatabaseError, HashedPassword, UserRow};
use dfs_model::{Clock, Entropy};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Makes what `dfs start` needs. Without --force it never overwrites anything.
#[derive(Args)]
pub(super) struct Init {
    /// Folder of all local state.
    #[arg(long, default_value = "/var/lib/dfs")]
    data_dir: PathBuf,
    /// Name of the administrator.
    #[arg(long, default_value = "admin")]
    admin: String,
    /// Read the administrator's password from standard input instead of making one.
    #[arg(long)]
    admin_password_stdin: bool,
    /// Overwrite an existing configuration file (never the data folder).
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn run(&self, config: &Path) -> Result<(), Failure> {
        if config.exists() && !self.force {
            return Err(Failure::new(
                2,
                format!(
                    "{} exists; --force overwrites it (the data folder is never touched)",
                    config.display()
                ),
            ));
        }
        refuse_foreign(&self.data_dir)?;
        make_folder(&self.data_dir)?;
        let data_dir = self.data_dir.canonicalize().map_err(|error| cannot("use", &self.data_dir, &error))?;
        let _lock = Folder::lock(&data_dir)?;
        make_key(&data_dir.join(crate::serve::TOKEN_KEY_FILE))?;
        let made = self.make_admin(&data_dir)?;
        write_config(config, &data_dir, true)?;
        println!("configuration {}", config.display());
        println!("data folder   {}", data_dir.display());
        if let Some(password) = made {
            tell_password(&data_dir, &self.admin, &password)?;
        }
        println!("next: dfs --config {} start", config.display());
        Ok(())
    }

    /// The administrator, if there is no user yet; answers the password when one was made up.
    fn make_admin(&self, data_dir: &Path) -> Result<Option<String>, Failure> {
        let path = data_dir.join(crate::serve::CONTROL_FILE);
        let secrets = crate::serve::secrets_key(data_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(1, format!("cannot start threads: {error}")))?;
        let broken = |error: DatabaseError| Failure::new(5, error.to_string());
        let database = runtime.block_on(ControlDatabase::open_embedded(&path, secrets)).map_err(broken)?;
        if let Some(user) = database.list::<UserRow>().first() {
            println!("administrator already there: {}", user.name);
            return Ok(None);
        }
        let given = if self.admin_password_stdin { Some(password_from_stdin()?) } else { None };
        let password = given.clone().unwrap_or_else(random_password);
        let hashed = HashedPassword::new(&password, &OsEntropy);
        let hashed = hashed.map_err(|error| Failure::new(2, error.to_string()))?;
        let user = UserRow::admin(&self.admin, hashed, given.is_none(), SystemClock.wall().secs);
        runtime.block_on(database.commit(Change::default().put(&user), None)).map_err(broken)?;
        Ok(given.is_none().then_some(password))
    }
}

/// Refuses a folder that holds something else, before its mode is changed.
fn refuse_foreign(path: &Path) -> Result<(), Failure> {
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let holds = |wanted: &[&str]| wanted.iter().all(|one| names.iter().any(|name| name == one));
    // What a gateway that ran leaves behind, also where its keys and its database were lost.
    let ours = holds(&[crate::serve::CONTROL_FILE])
        || holds(&[crate::serve::TOKEN_KEY_FILE])
        || holds(&crate::ready::LEFT_BEHIND);
    let strange = names.iter().find(|name| *name != "lost+found" && *name != crate::ready::LOCK_FILE);
    match strange {
        Some(name) if !ours => {
            let message = format!(
                "{} holds other files ({}); name an empty folder with --data-dir, nothing was changed",
                path.display(),
                name.to_string_lossy()
            );
            Err(Failure::new(5, message))
        }
        _ => Ok(()),
    }
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| cannot("make the data folder", path, &error))?;
    use std::os::unix::fs::PermissionsExt;
    let only_owner = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, only_owner)
        .map_err(|error| cannot("protect the data folder", path, &error))
}

/// Writes the key aside first: a disk that is full leaves no key that is cut short.
fn make_key(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let mut key = [0; crate::serve::TOKEN_KEY_BYTES];
    OsEntropy.fill(&mut key);
    let aside = path.with_extension("new");
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    let written = file.and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()));
    written
        .and_then(|()| std::fs::rename(&aside, path))
        .map_err(|error| cannot("write the key", path, &error))
}

fn password_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(4096).read_to_string(&mut text);
    read.map_err(|error| Failure::new(2, format!("cannot read the password: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// 100 random bits in letters and digits that are not mistaken for each other.
fn random_password() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";
    let mut bytes = [0; 20];
    OsEntropy.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// Shows the made-up password once: on the terminal, else in a file that only the owner can read; never in a log.
fn tell_password(data_dir: &Path, admin: &str, password: &str) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() {
        println!("administrator {admin}, password {password} (shown once; change it with `dfsctl login`)");
        return Ok(());
    }
    let path = data_dir.join("admin-password");
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{password}"));
    written.map_err(|error| cannot("write", &path, &error))?;
    println!("administrator {admin}, password in {} (delete it after `dfsctl login`)", path.display());
    Ok(())
}
