//! Operations by name, and sets of them: what an administrator may block on a share.

use dfs_model::Rights;
use std::fmt;
use std::str::FromStr;

/// What a client does to a share, as far as it can be blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Reading bytes.
    Read = 0,
    /// Writing bytes, truncation included.
    Write = 1,
    /// Making files.
    Create = 2,
    /// Making directories.
    Mkdir = 3,
    /// Making symbolic links.
    Symlink = 4,
    /// Making devices, pipes and sockets.
    Mknod = 5,
    /// Adding a name to a file.
    Link = 6,
    /// Taking names away.
    Remove = 7,
    /// Moving names.
    Rename = 8,
    /// Changing mode, owner, times and DOS bits.
    SetAttr = 9,
    /// Changing ACLs.
    SetAcl = 10,
    /// Changing extended attributes.
    SetXattr = 11,
}

impl Operation {
    /// Every operation and its word in configuration, CLI and REST.
    pub const WORDS: [(&'static str, Operation); 12] = [
        ("read", Operation::Read),
        ("write", Operation::Write),
        ("create", Operation::Create),
        ("mkdir", Operation::Mkdir),
        ("symlink", Operation::Symlink),
        ("mknod", Operation::Mknod),
        ("link", Operation::Link),
        ("remove", Operation::Remove),
        ("rename", Operation::Rename),
        ("set_attr", Operation::SetAttr),
        ("set_acl", Operation::SetAcl),
        ("set_xattr", Operation::SetXattr),
    ];

    /// Rights that are of no use where the operation is blocked.
    fn rights(self, is_dir: bool) -> Rights {
        match (self, is_dir) {
            (Operation::Read, false) => Rights::READ_DATA.and(Rights::EXECUTE),
            (Operation::Write, false) => Rights::WRITE_DATA.and(Rights::APPEND_DATA),
            (Operation::Create, true) => Rights::ADD_FILE,
            (Operation::Mkdir, true) => Rights::ADD_SUBDIRECTORY,
            (Operation::Remove, true) => Rights::DELETE_CHILD.and(Rights::DELETE),
            (Operation::Remove, false) => Rights::DELETE,
            (Operation::SetAttr, _) => Rights::WRITE_ATTRIBUTES.and(Rights::WRITE_OWNER),
            (Operation::SetAcl, _) => Rights::WRITE_ACL,
            (Operation::SetXattr, _) => Rights::WRITE_NAMED_ATTRS,
            (Operation::Read | Operation::Write, true)
            | (Operation::Create | Operation::Mkdir, false)
            | (Operation::Symlink | Operation::Mknod | Operation::Link | Operation::Rename, _) => {
                Rights::NONE
            }
        }
    }
}

/// The word is none of [`Operation::WORDS`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an operation; known are {known}", known = Operation::WORDS.map(|(word, _)| word).join(", "))]
pub struct UnknownOperation(pub String);

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(word: &str) -> Result<Operation, UnknownOperation> {
        let found = Operation::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, operation)| *operation).ok_or_else(|| UnknownOperation(word.to_owned()))
    }
}

/// A set of operations. *Text form:* words with commas between, in the order of [`Operation::WORDS`]; empty for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OperationSet(u16);

impl OperationSet {
    /// The set as bits, to be kept where a number is kept.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set of these bits; bits that mean nothing are left out.
    #[must_use]
    pub fn from_bits(bits: u16) -> OperationSet {
        OperationSet(bits & ((1 << Operation::WORDS.len()) - 1))
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether an operation is in the set.
    #[must_use]
    pub fn has(self, operation: Operation) -> bool {
        self.0 >> operation as u8 & 1 != 0
    }

    /// Rights that are of no use where the set is blocked.
    #[must_use]
    pub fn rights(self, is_dir: bool) -> Rights {
        let blocked = Operation::WORDS.iter().filter(|(_, operation)| self.has(*operation));
        blocked.fold(Rights::NONE, |rights, (_, operation)| rights.and(operation.rights(is_dir)))
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<T: IntoIterator<Item = Operation>>(operations: T) -> OperationSet {
        OperationSet(operations.into_iter().fold(0, |bits, operation| bits | 1 << operation as u8))
    }
}

impl FromStr for OperationSet {
    type Err = UnknownOperation;

    fn from_str(words: &str) -> Result<OperationSet, UnknownOperation> {
        words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for OperationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Operation::WORDS.iter().filter(|(_, operation)| self.has(*operation));
        f.write_str(&words.map(|(word, _)| *word).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_operation_and_sets_round_trip() {
        for (nth, (word, operation)) in Operation::WORDS.into_iter().enumerate() {
            assert_eq!((word.parse(), operation as usize), (Ok(operation), nth));
        }
        let set: OperationSet = "rename, write,, remove".parse().unwrap();
        assert_eq!(set.to_string(), "write,remove,rename");
        assert_eq!(set.to_string().parse(), Ok(set));
        assert_eq!(
            (OperationSet::from_bits(set.bits()), OperationSet::from_bits(0xf000).is_empty()),
            (set, true)
        );
        assert!(set.has(Operation::Write) && !set.has(Operation::Read));
        assert_eq!(OperationSet::default().to_string(), "");
        let unknown = "write,delete".parse::<OperationSet>().unwrap_err();
        assert!(unknown.to_string().contains("'delete' is not an operation; known are read, write"));
    }

    #[test]
    fn blocked_set_takes_the_rights_that_it_makes_useless() {
        let set: OperationSet = "write,create,remove".parse().unwrap();
        assert_eq!(set.rights(false), Rights::WRITE_DATA.and(Rights::APPEND_DATA).and(Rights::DELETE));
        assert_eq!(set.rights(true), Rights::ADD_FILE.and(Rights::DELETE_CHILD).and(Rights::DELETE));
    }
}
