//! What was asked and answered: every version of the namespace and of each file.

use super::asked::Asked;
use dfs_model::{InodeId, InodeKind, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The ledger's own number of an inode.
pub type FileNumber = usize;

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub file: FileNumber,
    pub kind: InodeKind,
    pub mode: u16,
    pub owner: u32,
}

impl Entry {
    /// A new inode of the superuser's.
    pub fn new(file: FileNumber, kind: InodeKind, mode: u16) -> Entry {
        Entry { file, kind, mode, owner: 0 }
    }
}

/// Every path (below the root, `/`-separated) with what it leads to.
pub type Namespace = BTreeMap<String, Entry>;

/// A namespace that was, or may have become, true.
#[derive(Clone, Debug)]
pub struct NameVersion {
    pub names: Namespace,
    /// Files with the least data version that goes with it.
    pub floors: BTreeMap<FileNumber, usize>,
    /// When it was answered; `None`: never.
    pub answered: Option<Duration>,
    /// What led here, where it can be repeated.
    pub op: Option<Asked>,
}

/// A file's bytes and mtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataVersion {
    pub bytes: Vec<u8>,
    /// `None`: under way at the cut, its mtime was never told.
    pub mtime: Option<Timestamp>,
    pub answered: Option<Duration>,
}

/// Everything about one file.
#[derive(Clone, Debug, Default)]
pub struct FileHistory {
    pub versions: Vec<DataVersion>,
    /// The least version that a power cut must leave.
    pub stable: usize,
}

/// The history since the last opening.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub names: Vec<NameVersion>,
    pub files: Vec<FileHistory>,
    /// The least name version that a power cut must leave.
    pub stable: usize,
    /// Which file an inode is, as far as it was told since the last opening.
    pub ids: BTreeMap<InodeId, FileNumber>,
    /// Every inode that was ever told of.
    pub seen: BTreeSet<InodeId>,
    /// Transaction ids given out.
    pub xids: u32,
    /// Snapshots that are there.
    pub taken: super::snapshots::Taken,
}

impl Ledger {
    /// An empty share.
    pub fn new() -> Ledger {
        let first = NameVersion {
            names: Namespace::new(),
            floors: BTreeMap::new(),
            answered: Some(Duration::ZERO),
            op: None,
        };
        Ledger {
            names: vec![first],
            files: Vec::new(),
            stable: 0,
            ids: BTreeMap::new(),
            seen: BTreeSet::new(),
            xids: 0,
            taken: Default::default(),
        }
    }

    /// The namespace now.
    pub fn now(&self) -> &Namespace {
        &self.names.last().unwrap().names
    }

    /// A new, empty file. Directories and links have one version that is never looked at.
    pub fn new_file(&mut self, mtime: Option<Timestamp>, answered: Option<Duration>) -> FileNumber {
        let version = DataVersion { bytes: Vec::new(), mtime, answered };
        self.files.push(FileHistory { versions: vec![version], stable: 0 });
        self.files.len() - 1
    }

    /// The bytes of a file now.
    pub fn bytes(&self, file: FileNumber) -> &[u8] {
        &self.files[file].versions.last().unwrap().bytes
    }

    /// Notes a change of the namespace.
    pub fn push_names(
        &mut self,
        names: Namespace,
        floors: BTreeMap<FileNumber, usize>,
        answered: Option<Duration>,
    ) {
        let mut all = self.names.last().unwrap().floors.clone();
        all.extend(floors);
        super::tell(|| {
            let each = names.iter().map(|(path, entry)| format!("{path}={}", entry.file)).collect::<Vec<_>>();
            format!("names {}: {} answered {answered:?}", self.names.len(), each.join(" "))
        });
        self.names.push(NameVersion { names, floors: all, answered, op: None });
    }

    /// Notes which inode a file is.
    pub fn know(&mut self, inode: InodeId, file: FileNumber) {
        self.ids.insert(inode, file);
        self.seen.insert(inode);
    }

    /// The next transaction id.
    pub fn xid(&mut self) -> u32 {
        self.xids += 1;
        self.xids
    }

    /// Notes a change of a file.
    pub fn push_data(
        &mut self,
        file: FileNumber,
        bytes: Vec<u8>,
        mtime: Option<Timestamp>,
        answered: Option<Duration>,
    ) {
        super::tell(|| {
            let sum = xxhash_rust::xxh3::xxh3_64(&bytes) as u32;
            let version = self.files[file].versions.len();
            format!(
                "file {file} version {version}: {} bytes {sum:08x}, mtime {mtime:?}, answered {answered:?}",
                bytes.len()
            )
        });
        self.files[file].versions.push(DataVersion { bytes, mtime, answered });
    }

    /// A stable reply covers everything of the file so far.
    pub fn stabilize(&mut self, file: FileNumber) {
        super::tell(|| format!("file {file} is stable"));
        self.files[file].stable = self.files[file].versions.len() - 1;
    }

    /// A stable reply covers every name so far.
    pub fn stabilize_names(&mut self) {
        self.stable = self.names.len() - 1;
    }

    /// Forgets the history: the share is now at these versions.
    pub fn settle(&mut self, names: usize, data: &BTreeMap<FileNumber, usize>) {
        let version = NameVersion {
            names: self.names[names].names.clone(),
            floors: BTreeMap::new(),
            answered: Some(Duration::ZERO),
            op: None,
        };
        self.names = vec![version];
        self.stable = 0;
        self.ids.clear();
        for (number, history) in self.files.iter_mut().enumerate() {
            let kept = data
                .get(&number)
                .map_or_else(|| history.versions.last().unwrap().clone(), |at| history.versions[*at].clone());
            *history = FileHistory { versions: vec![kept], stable: 0 };
        }
    }
}
