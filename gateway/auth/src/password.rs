//! Passwords: argon2id with a random salt, in the PHC string form.
//!
//! Hashing takes tens of milliseconds and 19 MiB on purpose: call it off the async threads. The plain password is never
//! stored, logged or shown by `Debug`.

use argon2::password_hash::{PasswordHash as Parsed, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use dfs_model::Entropy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Shortest password accepted.
pub const PASSWORD_LEN_MIN: usize = 8;
/// Longest password accepted: hashing an endless one is work for nothing.
pub const PASSWORD_LEN_MAX: usize = 1024;

/// The hash of a password, as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("the password is shorter than {PASSWORD_LEN_MIN} characters")]
    TooShort,
    /// Too long.
    #[error("the password is longer than {PASSWORD_LEN_MAX} bytes")]
    TooLong,
    /// The hash function refused.
    #[error("the password could not be hashed")]
    Hash,
}

/// OWASP's recommendation for argon2id: 19 MiB, two passes, one lane.
fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|_| PasswordError::Hash)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl PasswordHash {
    /// Hashes a password. *Errors:* [`PasswordError::TooShort`], [`PasswordError::TooLong`].
    pub fn new(password: &str, entropy: &dyn Entropy) -> Result<PasswordHash, PasswordError> {
        if password.chars().count() < PASSWORD_LEN_MIN {
            return Err(PasswordError::TooShort);
        }
        if password.len() > PASSWORD_LEN_MAX {
            return Err(PasswordError::TooLong);
        }
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Hash)?;
        let hash = hasher()?.hash_password(password.as_bytes(), &salt).map_err(|_| PasswordError::Hash)?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// Whether this is the password. A damaged hash matches nothing.
    #[must_use]
    pub fn verify(&self, password: &str) -> bool {
        if password.len() > PASSWORD_LEN_MAX {
            return false;
        }
        let (Ok(parsed), Ok(hasher)) = (Parsed::new(&self.0), hasher()) else { return false };
        hasher.verify_password(password.as_bytes(), &parsed).is_ok()
    }

    /// The PHC string, for storing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a PHC string that was stored. *Errors:* `None` for what is not an argon2id hash.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<PasswordHash> {
        let parsed = Parsed::new(text).ok()?;
        (parsed.algorithm.as_str() == "argon2id").then(|| PasswordHash(text.to_owned()))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// What deriving a key from a passphrase costs; stored beside what the key protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerivationCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl DerivationCost {
    /// For files that an attacker may try at leisure: 64 MiB, three passes.
    pub const FILE: DerivationCost = DerivationCost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// Most that is accepted from a file: a hostile one must not take all memory or a day.
    pub const MAX: DerivationCost = DerivationCost { memory_kib: 1024 * 1024, passes: 32, lanes: 16 };

    /// Whether it is within [`DerivationCost::MAX`].
    #[must_use]
    pub fn is_bearable(&self) -> bool {
        let max = DerivationCost::MAX;
        self.memory_kib <= max.memory_kib && self.passes <= max.passes && self.lanes <= max.lanes
    }
}

/// Derives a key from a passphrase by argon2id. Takes tenths of a second on purpose: not for async threads.
///
/// *Errors:* [`PasswordError::Hash`] for a cost that is not bearable or makes no sense, or a salt below 8 bytes.
pub fn derive_key(passphrase: &str, salt: &[u8], cost: DerivationCost) -> Result<[u8; 32], PasswordError> {
    if !cost.is_bearable() {
        return Err(PasswordError::Hash);
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32));
    let params = params.map_err(|_| PasswordError::Hash)?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(|_| PasswordError::Hash)?;
    Ok(key)
}

/// The NT hash of a password in hex: what SMB's NTLM proves knowledge of. It is as good as the password to whoever has it,
/// and must be stored sealed only. *Spec:* MS-NLMP §3.3.1, MD4 of the UTF-16LE password.
#[must_use]
pub fn nt_hash(password: &str) -> String {
    use md4::{Digest, Md4};
    let units: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Md4::digest(&units).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    #[test]
    fn password_verifies_only_itself_and_hashes_differ_by_salt() {
        let entropy = Counting(0.into());
        let first = PasswordHash::new("correct horse", &entropy).unwrap();
        let second = PasswordHash::new("correct horse", &entropy).unwrap();
        assert_ne!(first.as_str(), second.as_str());
        assert!(first.as_str().starts_with("$argon2id$"));
        assert!(first.verify("correct horse") && second.verify("correct horse"));
        assert!(!first.verify("correct horsf") && !first.verify(""));
        let stored = PasswordHash::from_stored(first.as_str()).unwrap();
        assert!(stored.verify("correct horse"));
        assert!(!format!("{first:?}").contains("argon2id"));
    }

    #[test]
    fn nt_hash_is_the_one_of_the_specification() {
        // MS-NLMP §4.2.2.1.2: the password "Password".
        assert_eq!(nt_hash("Password"), "a4f49c406510bdcab6824ee7c30fd852");
        assert_eq!(nt_hash(""), "31d6cfe0d16ae931b73c59d7e0c089c0");
    }

    #[test]
    fn derived_key_depends_on_passphrase_salt_and_cost_and_a_hostile_cost_is_refused() {
        let cost = DerivationCost { memory_kib: 64, passes: 1, lanes: 1 };
        let key = derive_key("open sesame", b"saltsalt", cost).unwrap();
        assert_eq!(derive_key("open sesame", b"saltsalt", cost).unwrap(), key);
        assert_ne!(derive_key("open sesamE", b"saltsalt", cost).unwrap(), key);
        assert_ne!(derive_key("open sesame", b"saltsalT", cost).unwrap(), key);
        let dearer = DerivationCost { passes: 2, ..cost };
        assert_ne!(derive_key("open sesame", b"saltsalt", dearer).unwrap(), key);
        for hostile in [
            DerivationCost { memory_kib: u32::MAX, ..cost },
            DerivationCost { passes: u32::MAX, ..cost },
            DerivationCost { memory_kib: 0, ..cost },
        ] {
            assert_eq!(derive_key("open sesame", b"saltsalt", hostile), Err(PasswordError::Hash));
        }
    }

    #[test]
    fn password_of_wrong_length_is_refused() {
        let entropy = Counting(0.into());
        assert_eq!(PasswordHash::new("short", &entropy).unwrap_err(), PasswordError::TooShort);
        assert_eq!(PasswordHash::new(&"x".repeat(1025), &entropy).unwrap_err(), PasswordError::TooLong);
        assert!(PasswordHash::from_stored("$2b$10$abc").is_none());
        assert!(!PasswordHash("nonsense".into()).verify("nonsense"));
    }
}
