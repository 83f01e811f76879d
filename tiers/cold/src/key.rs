//! Names of objects in a cold store, and where a share keeps what.
//!
//! ```text
//! <prefix>/<share-id>/packs/<2 hex>/<pack-id>     packs: written once, under a random id, never again
//! <prefix>/<share-id>/owner                       who may delete: the one object that is overwritten, by conditional put
//! <prefix>/probe/<random>                         what the probe writes and removes
//! ```
//! Keys are plain ASCII of a few characters, so that every store, URL and file system takes them as they are.

use dfs_model::{PackId, ShareId};
use std::fmt;

/// Longest key: leaves room below the 1,024 bytes of S3 and fits a path.
pub const KEY_LEN_MAX: usize = 512;

/// Name of one object. *Guarantees:* 1 … [`KEY_LEN_MAX`] bytes of letters, digits, `-`, `_`, `.`, `/`; no empty, `.` or
/// `..` segment, none that starts with a dot, so a folder store may keep its own dot files beside them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Start of the keys that a listing wants: empty, or whole segments with their `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyPrefix(String);

/// The text cannot name an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable key or prefix for a cold store: {0:?}; use letters, digits, '-', '_', '.' and '/'")]
pub struct BadKey(pub String);

fn is_plain(text: &str) -> bool {
    let segment = |s: &str| {
        !s.is_empty()
            && !s.starts_with('.')
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    text.len() <= KEY_LEN_MAX && text.split('/').all(segment)
}

impl Key {
    /// Makes a key. *Errors:* [`BadKey`].
    pub fn new(text: impl Into<String>) -> Result<Key, BadKey> {
        let text = text.into();
        if is_plain(&text) { Ok(Key(text)) } else { Err(BadKey(text)) }
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyPrefix {
    /// Every key of the store.
    #[must_use]
    pub fn everything() -> KeyPrefix {
        KeyPrefix::default()
    }

    /// Keys below a folder, given without its closing `/`. *Errors:* [`BadKey`].
    pub fn folder(text: &str) -> Result<KeyPrefix, BadKey> {
        if is_plain(text) { Ok(KeyPrefix(format!("{text}/"))) } else { Err(BadKey(text.to_owned())) }
    }

    /// The prefix's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key is below it.
    #[must_use]
    pub fn covers(&self, key: &Key) -> bool {
        key.0.starts_with(&self.0)
    }
}

/// The layout of one configured prefix of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpace {
    /// Empty, or the prefix with its closing `/`.
    root: String,
}

impl KeySpace {
    /// Longest prefix: what [`KEY_LEN_MAX`] leaves after the longest name below it.
    pub const PREFIX_LEN_MAX: usize = KEY_LEN_MAX - 80;

    /// The layout below a prefix; slashes at its ends are ignored and it may be empty. *Errors:* [`BadKey`].
    pub fn new(prefix: &str) -> Result<KeySpace, BadKey> {
        let plain = prefix.trim_matches('/');
        match plain {
            "" => Ok(KeySpace { root: String::new() }),
            _ if is_plain(plain) && plain.len() <= Self::PREFIX_LEN_MAX => {
                Ok(KeySpace { root: format!("{plain}/") })
            }
            _ => Err(BadKey(prefix.to_owned())),
        }
    }

    /// Key of a pack.
    #[must_use]
    pub fn pack(&self, share: ShareId, pack: PackId) -> Key {
        let id = pack.to_string();
        Key(format!("{}{share}/packs/{}/{id}", self.root, id.get(..2).unwrap_or_default()))
    }

    /// Key of a share's owner object.
    #[must_use]
    pub fn owner(&self, share: ShareId) -> Key {
        Key(format!("{}{share}/owner", self.root))
    }

    /// Where a share's packs are.
    #[must_use]
    pub fn packs(&self, share: ShareId) -> KeyPrefix {
        KeyPrefix(format!("{}{share}/packs/", self.root))
    }

    /// Where everything of a share is.
    #[must_use]
    pub fn share(&self, share: ShareId) -> KeyPrefix {
        KeyPrefix(format!("{}{share}/", self.root))
    }

    /// Key of a probe's object.
    #[must_use]
    pub fn probe(&self, number: u128) -> Key {
        Key(format!("{}probe/{number:032x}", self.root))
    }

    /// The pack that a key names, `None` for any other key: what a sweep does not understand it leaves alone.
    #[must_use]
    pub fn parse_pack(&self, share: ShareId, key: &Key) -> Option<PackId> {
        let id: PackId = key.0.rsplit('/').next()?.parse().ok()?;
        (self.pack(share, id) == *key).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn key_with_odd_segments_is_refused() {
        for bad in ["", "/", "a//b", "a/", "/a", "a/../b", ".x", "a/.b", "a b", "ä", "a\0", &"x".repeat(513)]
        {
            assert_eq!(Key::new(bad), Err(BadKey(bad.to_owned())), "{bad:?}");
        }
        assert_eq!(Key::new("a/b-c_D.9").unwrap().as_str(), "a/b-c_D.9");
    }

    #[test]
    fn pack_key_goes_there_and_back() {
        let space = KeySpace::new("/office/berlin/").unwrap();
        let (share, pack) = (ShareId(1), PackId(0xab << 120));
        let key = space.pack(share, pack);
        assert_eq!(
            key.as_str(),
            "office/berlin/00000000000000000000000000000001/packs/ab/ab000000000000000000000000000000"
        );
        assert_eq!(Key::new(key.as_str()).unwrap(), key);
        assert_eq!(space.parse_pack(share, &key), Some(pack));
        assert_eq!(space.parse_pack(ShareId(2), &key), None);
        assert_eq!(space.parse_pack(share, &space.owner(share)), None);
        assert!(space.packs(share).covers(&key) && !space.packs(ShareId(2)).covers(&key));
        assert!(KeySpace::new("").unwrap().owner(share).as_str().starts_with("0000"));
        assert!(KeySpace::new(&"p".repeat(433)).is_err());
        let longest = KeySpace::new(&"p".repeat(KeySpace::PREFIX_LEN_MAX)).unwrap();
        assert!(Key::new(longest.pack(share, pack).as_str()).is_ok());
    }
}
