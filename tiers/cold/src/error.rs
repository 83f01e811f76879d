//! The one error of the cold seam: what the caller would do differently, who said it, and what an operator can do.
//!
//! A backend decides the kind, because only it knows; layers above add nothing but patience.

use crate::Key;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Result of a cold operation.
pub type ColdResult<T> = Result<T, ColdError>;

/// The operations of a cold store, as metrics and messages name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum ColdOp {
    Put,
    PutOwner,
    GetOwner,
    Get,
    Head,
    List,
    Delete,
    Open,
}

impl ColdOp {
    /// The word in metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ColdOp::Put => "put",
            ColdOp::PutOwner => "put_owner",
            ColdOp::GetOwner => "get_owner",
            ColdOp::Get => "get",
            ColdOp::Head => "head",
            ColdOp::List => "list",
            ColdOp::Delete => "delete",
            ColdOp::Open => "open",
        }
    }

    /// Every operation.
    pub const ALL: [ColdOp; 8] = [
        ColdOp::Put,
        ColdOp::PutOwner,
        ColdOp::GetOwner,
        ColdOp::Get,
        ColdOp::Head,
        ColdOp::List,
        ColdOp::Delete,
        ColdOp::Open,
    ];
}

/// Why a store will go on refusing until somebody changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermanentCause {
    /// The bucket (or the folder) does not exist.
    BucketMissing,
    /// The credentials are good but may not do this.
    AccessDenied,
    /// The store does not know the key id, or the secret does not match, or there are no credentials.
    BadCredentials,
    /// The store thinks that our clock is wrong.
    ClockSkew,
    /// The endpoint answers, but it is another region or no such store.
    WrongEndpoint,
    /// The store's disk or quota is full.
    StoreFull,
    /// The folder or bucket takes no writes.
    ReadOnly,
    /// The request itself is wrong: a fault of this program.
    BadRequest,
    /// The store cannot do what is needed.
    Unsupported,
    /// The object has fewer bytes than the range asks for.
    OutOfRange,
    /// Something else that will not go away by itself.
    Other,
}

impl PermanentCause {
    /// The word in metrics, status and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PermanentCause::BucketMissing => "bucket_missing",
            PermanentCause::AccessDenied => "access_denied",
            PermanentCause::BadCredentials => "bad_credentials",
            PermanentCause::ClockSkew => "clock_skew",
            PermanentCause::WrongEndpoint => "wrong_endpoint",
            PermanentCause::StoreFull => "store_full",
            PermanentCause::ReadOnly => "read_only",
            PermanentCause::BadRequest => "bad_request",
            PermanentCause::Unsupported => "unsupported",
            PermanentCause::OutOfRange => "out_of_range",
            PermanentCause::Other => "other",
        }
    }

    /// What it takes away.
    #[must_use]
    pub fn scope(self) -> CauseScope {
        match self {
            PermanentCause::BucketMissing
            | PermanentCause::BadCredentials
            | PermanentCause::ClockSkew
            | PermanentCause::WrongEndpoint => CauseScope::Store,
            PermanentCause::AccessDenied | PermanentCause::StoreFull | PermanentCause::ReadOnly => {
                CauseScope::Operation
            }
            PermanentCause::BadRequest
            | PermanentCause::Unsupported
            | PermanentCause::OutOfRange
            | PermanentCause::Other => CauseScope::Request,
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            PermanentCause::BucketMissing => {
                "create the bucket or folder, or correct its name in the cold store's configuration"
            }
            PermanentCause::AccessDenied => {
                "allow these credentials to get, put, list and delete below the prefix"
            }
            PermanentCause::BadCredentials => "correct the access key id and secret of the cold store",
            PermanentCause::ClockSkew => "set the clock of this machine (NTP)",
            PermanentCause::WrongEndpoint => "correct the endpoint, region or path style of the cold store",
            PermanentCause::StoreFull => "free space or raise the quota of the cold store",
            PermanentCause::ReadOnly => "make the cold store writable for the gateway's user",
            PermanentCause::BadRequest => "report this: the request was not acceptable to the store",
            PermanentCause::Unsupported => "use a store that supports conditional puts and ranged reads",
            PermanentCause::OutOfRange => "the object was cut short in the store: restore it from a copy",
            PermanentCause::Other => "see the store's own message",
        }
    }
}

/// How much a permanent cause takes away: what alarms and back-pressure act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseScope {
    /// Every operation of the store.
    Store,
    /// This operation, on every object: rights and room are given operation by operation.
    Operation,
    /// One request or object.
    Request,
}

/// What a caller would do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdErrorKind {
    /// May succeed when asked again: no answer, connection lost, an internal error of the store, a short body.
    Retry,
    /// The store asks for less; after the time it names, if it names one.
    Throttled {
        /// What the store asked for.
        after: Option<Duration>,
    },
    /// A put whose outcome nobody knows: it may be there now, or later, or never. Abandon the id (JOURNAL §5.2).
    Unknown,
    /// The condition did not hold: somebody else wrote the object.
    Conflict,
    /// No such object.
    NotFound,
    /// Will not succeed until something is changed.
    Permanent(PermanentCause),
    /// This side gave up (shutdown).
    Cancelled,
}

/// The retry class of an error: all that the retry layer looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Ask again after a backoff.
    Retry,
    /// Ask again, not before this time.
    Throttled(Option<Duration>),
    /// Asking again is of no use.
    Never,
}

/// Why a cold operation failed.
#[derive(Debug)]
pub struct ColdError {
    /// What to do about it.
    pub kind: ColdErrorKind,
    /// Which operation.
    pub op: ColdOp,
    /// Which object or prefix, empty where it concerns none.
    pub key: String,
    /// Which store, for humans: bucket and endpoint, or folder. No secrets.
    pub store: String,
    /// The store's own words or the condition, on one line.
    pub detail: String,
    /// Whether a mutation may nevertheless have happened or still happen.
    pub in_doubt: bool,
    /// What lies beneath.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ColdError {
    /// Makes an error without source. It is in doubt when it is a [`ColdErrorKind::Retry`] or [`ColdErrorKind::Unknown`].
    #[must_use]
    pub fn new(kind: ColdErrorKind, op: ColdOp, store: &str, detail: impl Into<String>) -> ColdError {
        let in_doubt = matches!(kind, ColdErrorKind::Retry | ColdErrorKind::Unknown);
        ColdError {
            kind,
            op,
            key: String::new(),
            store: store.to_owned(),
            detail: detail.into(),
            in_doubt,
            source: None,
        }
    }

    /// With the object it is about.
    #[must_use]
    pub fn key(mut self, key: &Key) -> ColdError {
        key.as_str().clone_into(&mut self.key);
        self
    }

    /// With what lies beneath.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> ColdError {
        self.source = Some(source.into());
        self
    }

    /// Says that the request certainly had no effect (it never left, or was refused before it was looked at).
    #[must_use]
    pub fn certain(mut self) -> ColdError {
        self.in_doubt = false;
        self
    }

    /// Its retry class. *Guarantees:* an unknown put is never in a class that is tried again.
    #[must_use]
    pub fn class(&self) -> RetryClass {
        match self.kind {
            ColdErrorKind::Retry => RetryClass::Retry,
            ColdErrorKind::Throttled { after } => RetryClass::Throttled(after),
            ColdErrorKind::Unknown
            | ColdErrorKind::Conflict
            | ColdErrorKind::NotFound
            | ColdErrorKind::Permanent(_)
            | ColdErrorKind::Cancelled => RetryClass::Never,
        }
    }

    /// The cause, for a permanent error.
    #[must_use]
    pub fn cause(&self) -> Option<PermanentCause> {
        match self.kind {
            ColdErrorKind::Permanent(cause) => Some(cause),
            _ => None,
        }
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == ColdErrorKind::NotFound
    }

    /// The word in metrics: `retry`, `throttled`, `unknown`, `conflict`, `not_found`, `cancelled` or the permanent cause's.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self.kind {
            ColdErrorKind::Retry => "retry",
            ColdErrorKind::Throttled { .. } => "throttled",
            ColdErrorKind::Unknown => "unknown",
            ColdErrorKind::Conflict => "conflict",
            ColdErrorKind::NotFound => "not_found",
            ColdErrorKind::Permanent(cause) => cause.name(),
            ColdErrorKind::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ColdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cold store {}: {}", self.store, self.op.name())?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}", self.detail)?;
        match self.cause() {
            Some(cause) => write!(f, " ({}: {})", cause.name(), cause.advice()),
            None => write!(f, " ({})", self.outcome()),
        }
    }
}

impl Error for ColdError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_store_key_and_advice() {
        let key = Key::new("a/b").expect("plain");
        let kind = ColdErrorKind::Permanent(PermanentCause::BucketMissing);
        let error = ColdError::new(kind, ColdOp::Put, "s3://box at http://h", "NoSuchBucket").key(&key);
        assert_eq!(
            error.to_string(),
            "cold store s3://box at http://h: put a/b: NoSuchBucket (bucket_missing: create the bucket or folder, or correct its name \
             in the cold store's configuration)"
        );
        assert_eq!((error.class(), error.in_doubt), (RetryClass::Never, false));
        assert!(ColdError::new(ColdErrorKind::Retry, ColdOp::Put, "x", "y").in_doubt);
    }
}
