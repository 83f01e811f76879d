//! Names of directory entries: any bytes but `/` and NUL, 1 to 255 of them.

use crate::FsError;
use bytes::Bytes;
use std::fmt;

/// One validated name in a directory. Holds bytes, not text: NFSv3 clients may store what is not UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Bytes);

impl Name {
    /// Longest name in bytes.
    pub const LEN_MAX: usize = 255;

    /// Validates a name that a client sent.
    ///
    /// *Errors:* [`FsError::NameTooLong`] above 255 bytes; [`FsError::InvalidName`] for an empty name, `.`, `..`,
    /// a slash or a NUL.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Name, FsError> {
        let bytes = bytes.into();
        if bytes.len() > Self::LEN_MAX {
            return Err(FsError::NameTooLong);
        }
        let reserved = bytes.is_empty() || bytes.as_ref() == b"." || bytes.as_ref() == b"..";
        if reserved || bytes.iter().any(|b| *b == b'/' || *b == 0) {
            return Err(FsError::InvalidName);
        }
        Ok(Name(bytes))
    }

    /// The bytes as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The key under which spellings that differ only in case meet: Unicode simple one-to-one lower-casing of what is
    /// UTF-8, other bytes as they are. Table version [`Name::FOLD_VERSION`].
    #[must_use]
    pub fn fold_key(&self) -> Bytes {
        if self.0.is_ascii() {
            return Bytes::from(self.0.to_ascii_lowercase());
        }
        let mut key = Vec::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for ch in chunk.valid().chars() {
                let mut lower = ch.to_lowercase();
                let folded = match (lower.next(), lower.next()) {
                    (Some(one), None) => one,
                    _ => ch,
                };
                key.extend_from_slice(folded.encode_utf8(&mut [0; 4]).as_bytes());
            }
            key.extend_from_slice(chunk.invalid());
        }
        Bytes::from(key)
    }

    /// Version of the folding table; stored in the share, a change is a reindex.
    pub const FOLD_VERSION: u16 = 1;
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

impl TryFrom<&str> for Name {
    type Error = FsError;

    fn try_from(text: &str) -> Result<Self, FsError> {
        Name::new(Bytes::copy_from_slice(text.as_bytes()))
    }
}
