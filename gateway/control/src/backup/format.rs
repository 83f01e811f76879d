//! The file of a backup.
//!
//! ```text
//!   8   magic "DFSBKUP\n"
//!   2   format, 1
//!   2   length of the program's version, and the version that made it
//!   4+4+4  argon2id: memory in KiB, passes, lanes
//!   16  salt
//!   12  nonce
//!   8   check: tells a wrong passphrase from a damaged file
//!   ..  JSON, sealed by AES-256-GCM; everything before is its associated data
//! ```
//! Numbers are little-endian. *Versions:* 1 (this one). A newer format, or a file of a newer program, is refused: it may hold
//! what this program would lose.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use dfs_auth::password::{DerivationCost, PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, derive_key};
use dfs_model::Entropy;

const MAGIC: &[u8; 8] = b"DFSBKUP\n";
const FORMAT: u16 = 1;
const SALT_LEN: usize = 16;
const CHECK_LEN: usize = 8;
/// Longest version of a program.
const VERSION_LEN_MAX: usize = 128;

/// Why there is no backup, or it does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The passphrase cannot be used.
    #[error("a passphrase has at least {PASSWORD_LEN_MIN} characters and at most {PASSWORD_LEN_MAX} bytes")]
    Passphrase,
    /// The file is something else.
    #[error("this is not a backup of the control plane")]
    NotABackup,
    /// The file was made by a newer program.
    #[error(
        "the backup was made by version {made_by} (format {format}); this is version {here} (format {FORMAT}): restore it with the newer version"
    )]
    Newer {
        /// Version of the program that made it.
        made_by: String,
        /// Format of the file.
        format: u16,
        /// Version of this program.
        here: String,
    },
    /// The passphrase is another.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// The file is damaged.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
}

fn check_passphrase(passphrase: &str) -> Result<(), BackupError> {
    let good = passphrase.chars().count() >= PASSWORD_LEN_MIN && passphrase.len() <= PASSWORD_LEN_MAX;
    if good { Ok(()) } else { Err(BackupError::Passphrase) }
}

fn damaged(text: &str) -> BackupError {
    BackupError::Damaged(text.to_owned())
}

fn aead(key: &[u8; 32]) -> Result<LessSafeKey, BackupError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| damaged("the key cannot be used"))?;
    Ok(LessSafeKey::new(key))
}

/// Eight bytes that follow from the key and tell nothing of it.
fn check_of(key: &[u8; 32]) -> [u8; CHECK_LEN] {
    let whole = digest(&SHA256, &[b"dfs backup check".as_slice(), key].concat());
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&whole.as_ref()[..CHECK_LEN]);
    check
}

/// Seals a body under a passphrase.
pub(super) fn seal(
    body: &[u8],
    passphrase: &str,
    version: &str,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, BackupError> {
    seal_at(body, passphrase, version, entropy, DerivationCost::FILE)
}

/// [`seal`] at another cost, for tests.
pub(super) fn seal_at(
    body: &[u8],
    passphrase: &str,
    version: &str,
    entropy: &dyn Entropy,
    cost: DerivationCost,
) -> Result<Vec<u8>, BackupError> {
    check_passphrase(passphrase)?;
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
    entropy.fill(&mut salt);
    entropy.fill(&mut nonce);
    let key = derive_key(passphrase, &salt, cost).map_err(|_| BackupError::Passphrase)?;
    let version = version.get(..VERSION_LEN_MAX).unwrap_or(version);
    let mut file = MAGIC.to_vec();
    file.extend(FORMAT.to_le_bytes());
    file.extend((version.len() as u16).to_le_bytes());
    file.extend(version.as_bytes());
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        file.extend(number.to_le_bytes());
    }
    file.extend(salt);
    file.extend(nonce);
    file.extend(check_of(&key));
    let mut sealed = body.to_vec();
    let tag = aead(&key)?.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(&file),
        &mut sealed,
    );
    let tag = tag.map_err(|_| damaged("it cannot be sealed"))?;
    file.extend(sealed);
    file.extend(tag.as_ref());
    Ok(file)
}

/// Reads a file from its start on.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], BackupError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| damaged("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        self.bytes(N)?.try_into().map_err(|_| damaged("it is cut short"))
    }

    fn number(&mut self) -> Result<u32, BackupError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
}

/// Opens a body.
pub(super) fn open(file: &[u8], passphrase: &str, here: &str) -> Result<Vec<u8>, BackupError> {
    let mut reader = Reader(file);
    if reader.bytes(MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
        return Err(BackupError::NotABackup);
    }
    let format = u16::from_le_bytes(reader.array()?);
    // Every format has the version next, so that it can be told.
    let version_len = usize::from(u16::from_le_bytes(reader.array()?));
    let made_by = String::from_utf8_lossy(reader.bytes(version_len.min(VERSION_LEN_MAX))?).into_owned();
    if format > FORMAT || is_newer(&made_by, here) {
        return Err(BackupError::Newer { made_by, format, here: here.to_owned() });
    }
    if format == 0 || version_len > VERSION_LEN_MAX {
        return Err(damaged("its header makes no sense"));
    }
    let cost =
        DerivationCost { memory_kib: reader.number()?, passes: reader.number()?, lanes: reader.number()? };
    let (salt, nonce) = (reader.array::<SALT_LEN>()?, reader.array::<NONCE_LEN>()?);
    let check = reader.array::<CHECK_LEN>()?;
    check_passphrase(passphrase).map_err(|_| BackupError::WrongPassphrase)?;
    let key = derive_key(passphrase, &salt, cost).map_err(|_| damaged("its header makes no sense"))?;
    if check_of(&key) != check {
        return Err(BackupError::WrongPassphrase);
    }
    let header = &file[..file.len() - reader.0.len()];
    let mut body = reader.0.to_vec();
    let clear = aead(&key)?.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut body);
    let length = clear.map_err(|_| damaged("its contents were changed or cut short"))?.len();
    body.truncate(length);
    Ok(body)
}

/// Whether a version is above another; versions that cannot be read are not compared.
fn is_newer(version: &str, than: &str) -> bool {
    fn numbers(version: &str) -> Option<[u64; 3]> {
        let plain = version.split(['-', '+', ' ']).next()?;
        let mut parts = plain.trim_start_matches('v').split('.').map(str::parse);
        let numbers = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
        parts.next().is_none().then_some(numbers)
    }
    matches!((numbers(version), numbers(than)), (Some(version), Some(than)) if version > than)
}
