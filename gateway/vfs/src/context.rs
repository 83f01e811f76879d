//! The context of a request and the shape of a refusal (SEAM §1, §5).

use dfs_model::{Activity, Actor, Credentials, FsError, Monotonic, ReplayKey, ShareId, Wcc};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything about a request but what it asks. Immutable, passed by reference.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Number for logs, unique in the process.
    pub request: u64,
    /// Key under which the outcome of a name operation is stored.
    pub replay: Option<ReplayKey>,
    /// The share.
    pub share: ShareId,
    /// Who asks, squashed already.
    pub credentials: Arc<Credentials>,
    /// Through which state the caller comes.
    pub actor: Actor,
    /// When waiting ends with [`FsError::Delay`]; `None` waits for ever.
    pub deadline: Option<Monotonic>,
    /// Set by the protocol when the caller is gone; looked at before the begin point only.
    pub cancel: CancelFlag,
    /// What kind of work this is.
    pub activity: Activity,
}

/// Tells a call that nobody waits for its answer any more.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Raises the flag.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A refusal, with the attributes of what the call looked at: on failure too clients learn them (RFC 1813 §3.3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub error: FsError,
    /// `[0]`: the object or the (source) directory; `[1]`: the second one (destination directory of a rename, directory
    /// of a link). `None` where the inode could not be read at all.
    pub wcc: Box<[Option<Wcc>; 2]>,
}

impl Failed {
    /// A refusal that knows one object.
    #[must_use]
    pub fn with(error: FsError, wcc: Option<Wcc>) -> Failed {
        Failed { error, wcc: Box::new([wcc, None]) }
    }

    /// A refusal that knows two objects.
    #[must_use]
    pub fn with_two(error: FsError, first: Option<Wcc>, second: Option<Wcc>) -> Failed {
        Failed { error, wcc: Box::new([first, second]) }
    }
}

impl From<FsError> for Failed {
    fn from(error: FsError) -> Failed {
        Failed { error, wcc: Box::new([None, None]) }
    }
}

/// Result of an operation of the seam.
pub type VfsResult<T> = Result<T, Failed>;

/// How the rights of a read, write or set_attr were proved (SEAM §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRule {
    /// At open: the claim's rights count.
    ByOpen,
    /// Now: mode or ACL; but the owner may read, write and truncate whatever the mode says (his client checked at open), and
    /// execute implies read.
    Stateless,
}

/// How a name is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCase {
    /// Byte by byte.
    Exact,
    /// Exact spelling wins, then any case, lowest cookie first.
    Fold,
}
