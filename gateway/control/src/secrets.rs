//! Secrets at rest: AES-256-GCM under the key in `secrets.key`.
//!
//! What is sealed is bound to its place (table, row, field): a sealed value that is copied elsewhere does not open. The file has
//! 32 random bytes, mode 0600. Each database holds a mark that only its own key opens, so that a wrong or lost key is told at the
//! start and not when a secret is needed. A new key is written with the first change that is made with it: a folder of an
//! older version starts on a full disk.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use dfs_model::Entropy;
use parking_lot::Mutex;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the key.
pub const SECRETS_KEY_BYTES: usize = 32;

/// What the mark says.
const MARK: &str = "dfs control database";

/// Why secrets cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read or written.
    #[error("the key of the secrets, {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's words.
        reason: String,
        /// The disk has no space.
        full: bool,
    },
    /// The file has another length.
    #[error(
        "the key of the secrets, {}, has {found} bytes instead of {SECRETS_KEY_BYTES}: put back a copy of it",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Its length.
        found: usize,
    },
    /// There are sealed secrets, and no key.
    #[error(
        "the key of the secrets, {}, is missing: put back the file that belongs to the control database, or restore a backup \
        into a new data folder",
        file.display()
    )]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The key is not the one that sealed the secrets.
    #[error(
        "the key of the secrets, {}, is not the one of this control database: put back the file that belongs to it, or restore \
        a backup into a new data folder",
        file.display()
    )]
    Wrong {
        /// The file.
        file: PathBuf,
    },
    /// A sealed value is damaged, or was sealed for another place.
    #[error("the secret does not open: it is damaged or was copied from another place")]
    Sealed,
}

/// The key.
pub struct SecretsKey {
    file: PathBuf,
    key: LessSafeKey,
    /// Drawn from the same bytes, for hashes of what must not be guessed.
    mac: hmac::Key,
    /// The key's bytes until they are in the file.
    unwritten: Mutex<Option<[u8; SECRETS_KEY_BYTES]>>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for SecretsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretsKey").field("file", &self.file).finish_non_exhaustive()
    }
}

impl SecretsKey {
    /// Reads the key, or draws one that is written with the first change. Whether a missing key is an error shows when the
    /// database is opened with it.
    ///
    /// *Errors:* [`SecretsError::File`], [`SecretsError::Damaged`].
    pub fn open(file: &Path, entropy: Arc<dyn Entropy>) -> Result<SecretsKey, SecretsError> {
        let wrong = |reason: String| SecretsError::File { file: file.to_owned(), reason, full: false };
        let mut bytes = [0; SECRETS_KEY_BYTES];
        let unwritten = match std::fs::read(file) {
            Ok(read) => {
                let damaged = |_| SecretsError::Damaged { file: file.to_owned(), found: read.len() };
                bytes = read.as_slice().try_into().map_err(damaged)?;
                None
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                entropy.fill(&mut bytes);
                Some(bytes)
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(SecretsKey {
            file: file.to_owned(),
            key: LessSafeKey::new(key),
            mac: mac_key(&bytes),
            unwritten: Mutex::new(unwritten),
            entropy,
        })
    }

    /// Writes a key that was drawn into its file, durably, unless it is there. *Errors:* [`SecretsError::File`]; the next
    /// call tries again.
    pub fn keep(&self) -> Result<(), SecretsError> {
        let mut unwritten = self.unwritten.lock();
        let Some(bytes) = unwritten.as_ref() else { return Ok(()) };
        let full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
        write_aside(&self.file, bytes).map_err(|error| SecretsError::File {
            file: self.file.clone(),
            reason: error.to_string(),
            full: full(&error),
        })?;
        *unwritten = None;
        Ok(())
    }

    /// Seals a secret for its place: base64 of nonce, ciphertext and tag.
    pub(crate) fn seal(
        &self,
        clear: &str,
        table: &str,
        row: &str,
        field: &str,
    ) -> Result<String, SecretsError> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut sealed = clear.as_bytes().to_vec();
        let place = Aad::from(place(table, row, field));
        let tag =
            self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), place, &mut sealed);
        let tag = tag.map_err(|_| SecretsError::Sealed)?;
        Ok(BASE64.encode([nonce.as_slice(), &sealed, tag.as_ref()].concat()))
    }

    /// Opens what was sealed for this place. *Errors:* [`SecretsError::Sealed`].
    pub(crate) fn open_sealed(
        &self,
        sealed: &str,
        table: &str,
        row: &str,
        field: &str,
    ) -> Result<String, SecretsError> {
        let mut bytes = BASE64.decode(sealed).map_err(|_| SecretsError::Sealed)?;
        let (nonce, rest) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(SecretsError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretsError::Sealed)?;
        let clear = self.key.open_in_place(nonce, Aad::from(place(table, row, field)), rest);
        let clear = clear.map_err(|_| SecretsError::Sealed)?;
        String::from_utf8(clear.to_vec()).map_err(|_| SecretsError::Sealed)
    }

    /// A keyed hash in hex; hashes for different purposes have nothing to do with each other.
    pub(crate) fn mac(&self, purpose: &str, bytes: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&(purpose.len() as u64).to_le_bytes());
        context.update(purpose.as_bytes());
        context.update(bytes);
        context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The mark of a database that is sealed with this key.
    pub(crate) fn mark(&self) -> Result<String, SecretsError> {
        self.seal(MARK, "meta", "mark", "")
    }

    /// Tests the mark of a database. *Errors:* [`SecretsError::Missing`], [`SecretsError::Wrong`].
    pub(crate) fn check_mark(&self, mark: &str) -> Result<(), SecretsError> {
        if self.unwritten.lock().is_some() {
            return Err(SecretsError::Missing { file: self.file.clone() });
        }
        match self.open_sealed(mark, "meta", "mark", "") {
            Ok(text) if text == MARK => Ok(()),
            _ => Err(SecretsError::Wrong { file: self.file.clone() }),
        }
    }
}

/// The key of hashes: another one than that which seals.
fn mac_key(bytes: &[u8]) -> hmac::Key {
    let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"dfs control plane mac").as_ref())
}

/// Each part with its length before it, so that no two places are written alike.
fn place(table: &str, row: &str, field: &str) -> Vec<u8> {
    let parts = [table, row, field];
    parts.iter().flat_map(|part| (part.len() as u64).to_le_bytes().into_iter().chain(part.bytes())).collect()
}

/// Writes a file of its owner's whole or not at all: aside, synced, renamed, and the folder synced.
fn write_aside(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = file.with_extension("new");
    let mut written =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(&aside, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
