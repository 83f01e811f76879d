//! The file of contexts: read, locked, replaced.

use super::{Context, Contexts, DEFAULT_CONTEXT};
use crate::failure::{Failure, OTHER};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "contexts.json";
const LOCK: &str = "contexts.lock";
/// What versions before contexts wrote.
const EARLIER: &str = "login.json";
/// Form of the file.
const FORMAT: u32 = 1;

/// The file's text.
#[derive(Serialize, Deserialize)]
struct Text {
    format: u32,
    #[serde(flatten)]
    contexts: Contexts,
}

/// The login of versions before contexts.
#[derive(Deserialize)]
struct Login {
    server: String,
    access_token: String,
    refresh_token: String,
}

/// The folder with the file.
#[derive(Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// `$DFSCTL_HOME`, else `$XDG_CONFIG_HOME/dfsctl`, else `~/.config/dfsctl`.
    pub fn of_user() -> Result<Store, Failure> {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = folder("DFSCTL_HOME")
            .or_else(|| folder("XDG_CONFIG_HOME").map(|dir| dir.join("dfsctl")))
            .or_else(|| folder("HOME").map(|dir| dir.join(".config/dfsctl")));
        let none = || Failure::usage("HOME is not set: name a folder for logins with DFSCTL_HOME");
        folder.map(|folder| Store { folder }).ok_or_else(none)
    }

    /// All contexts; none where nothing was written yet. *Errors:* the file cannot be read, is damaged, or is of a newer program.
    pub fn read(&self) -> Result<Contexts, Failure> {
        let path = self.folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.earlier()),
            Err(error) => return Err(Failure::io(path.display(), &error)),
        };
        let damaged = |why: String| {
            Failure::new(
                OTHER,
                format!("{} cannot be used: {why}; remove it and log in again", path.display()),
            )
        };
        let text: Text = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        match text.format {
            FORMAT => Ok(text.contexts),
            newer => Err(damaged(format!("it is of format {newer}, this program knows {FORMAT}"))),
        }
    }

    /// The login of an earlier version.
    fn earlier(&self) -> Contexts {
        let text = std::fs::read(self.folder.join(EARLIER)).ok();
        let Some(login) = text.and_then(|text| serde_json::from_slice::<Login>(&text).ok()) else {
            return Contexts::default();
        };
        let context = Context {
            server: login.server,
            access_token: Some(login.access_token),
            refresh_token: Some(login.refresh_token),
            ..Context::default()
        };
        let name = DEFAULT_CONTEXT.to_owned();
        Contexts { current: Some(name.clone()), contexts: [(name, context)].into() }
    }

    /// Waits until no other program changes the contexts, and keeps them from doing so until the value is dropped.
    pub async fn lock(&self) -> Result<Locked, Failure> {
        let store = self.clone();
        let waited = tokio::task::spawn_blocking(move || store.lock_now()).await;
        waited.map_err(|error| Failure::new(OTHER, error.to_string()))?
    }

    fn lock_now(self) -> Result<Locked, Failure> {
        let path = self.folder.join(LOCK);
        let locked = make_private(&self.folder).and_then(|()| {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        });
        let file = locked.map_err(|error| Failure::io(path.display(), &error))?;
        Ok(Locked { store: self, _file: file })
    }

    /// Changes the contexts. The file is written even where nothing changed: it is private again then, whoever opened it.
    pub async fn change<R>(
        &self,
        change: impl FnOnce(&mut Contexts) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let locked = self.lock().await?;
        let mut contexts = self.read()?;
        let answer = change(&mut contexts)?;
        locked.write(&contexts)?;
        Ok(answer)
    }
}

/// The right to change the contexts.
pub(crate) struct Locked {
    store: Store,
    _file: File,
}

impl Locked {
    /// Replaces the file. *Guarantees:* the old one stays until the new one is whole and on disk.
    pub fn write(&self, contexts: &Contexts) -> Result<(), Failure> {
        let path = self.store.folder.join(FILE);
        let text = Text { format: FORMAT, contexts: contexts.clone() };
        let written = replace(&path, &text);
        written.map_err(|error| {
            Failure::new(OTHER, format!("cannot remember the login in {}: {error}", path.display()))
        })?;
        // Its tokens are in the new file: a copy that nobody looks after is one too many.
        match std::fs::remove_file(self.store.folder.join(EARLIER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io(EARLIER, &error)),
            _ => Ok(()),
        }
    }
}

fn replace(path: &Path, text: &Text) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(text)?;
    let new = path.with_extension(format!("json.{}", std::process::id()));
    let _ = std::fs::remove_file(&new); // of a process of the same number that was killed
    // A file that is made afresh has mode 0600 from the first moment.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let moved =
        file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&new, path));
    moved.inspect_err(|_| drop(std::fs::remove_file(&new)))
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store { folder: home.path().join("ctl") };
        (home, store)
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn file_is_private_and_survives_a_round_trip() {
        let (_home, store) = store();
        run(store.change(|all| {
            all.contexts
                .insert("a".to_owned(), Context { server: "http://g".to_owned(), ..Context::default() });
            all.current = Some("a".to_owned());
            Ok(())
        }))
        .unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.folder.join(FILE)), mode(&store.folder)), (0o600, 0o700));
        assert_eq!(store.read().unwrap().current().unwrap().1.server, "http://g");
    }

    #[test]
    fn login_of_an_earlier_version_is_taken_over_once() {
        let (_home, store) = store();
        std::fs::create_dir(&store.folder).unwrap();
        let login = r#"{"server":"http://g","access_token":"a","refresh_token":"r"}"#;
        std::fs::write(store.folder.join(EARLIER), login).unwrap();
        assert_eq!(store.read().unwrap().current().unwrap().1.access_token.as_deref(), Some("a"));
        run(store.change(|all| {
            all.contexts.get_mut("default").unwrap().username = Some("admin".to_owned());
            Ok(())
        }))
        .unwrap();
        assert!(!store.folder.join(EARLIER).exists(), "its tokens are in one file only");
        assert_eq!(store.read().unwrap().current().unwrap().1.refresh_token.as_deref(), Some("r"));
    }

    #[test]
    fn damaged_or_newer_file_is_named_and_left_alone() {
        let (_home, store) = store();
        std::fs::create_dir(&store.folder).unwrap();
        for text in ["{", r#"{"format":2,"contexts":{}}"#] {
            std::fs::write(store.folder.join(FILE), text).unwrap();
            let failure = store.read().err().unwrap();
            assert!(failure.message.contains("contexts.json"), "{}", failure.message);
            assert!(
                run(store.change(|all| {
                    all.current = None;
                    Ok(())
                }))
                .is_err()
            );
            assert_eq!(std::fs::read_to_string(store.folder.join(FILE)).unwrap(), text);
        }
    }
}
