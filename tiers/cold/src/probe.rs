//! What a store is asked before it is trusted: every operation once, on objects of the probe's own, with the conditions that
//! safety rests on. Leaves nothing behind unless the store loses its voice in the middle; then one object under `probe/`.

use crate::error::{ColdErrorKind, ColdOp, ColdResult};
use crate::store::{ColdStore, DeleteOutcome, ListToken, PutOutcome};
use crate::{ColdError, Key, KeyPrefix, KeySpace, PermanentCause};
use bytes::Bytes;
use dfs_model::{Entropy, Timestamp};
use std::time::Duration;

/// Longest wait for one answer: long for a slow link, short for a person who waits at a prompt.
const STEP_TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes of the probe's object.
const BODY_LEN: usize = 64;
/// Most pages of the listing: other probes' leftovers are few.
const PAGES_MAX: usize = 10;

/// Something that is wrong with a store.
#[derive(Debug)]
pub struct ProbeFinding {
    /// Which operation showed it.
    pub op: ColdOp,
    /// What it means, in an operator's words.
    pub problem: String,
    /// What the store said, where it said something.
    pub error: Option<ColdError>,
}

/// What a probe found.
#[derive(Debug, Default)]
pub struct ProbeReport {
    /// Everything that is wrong; empty for a store that can be used.
    pub findings: Vec<ProbeFinding>,
    /// The store's clock when the probe wrote: the time that ages of objects are to be measured by.
    pub store_time: Option<Timestamp>,
}

impl ProbeReport {
    /// Whether the store can be used.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether the findings may go away by themselves (no answer, throttled): worth a later try, no fault of configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let transient = |finding: &ProbeFinding| {
            matches!(
                finding.error.as_ref().map(|error| error.kind),
                Some(ColdErrorKind::Retry | ColdErrorKind::Throttled { .. } | ColdErrorKind::Unknown)
            )
        };
        !self.findings.is_empty() && self.findings.iter().all(transient)
    }

    /// All findings, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |finding: &ProbeFinding| match &finding.error {
            Some(error) => match error.cause() {
                Some(cause) => format!("{}; {} ({error})", finding.problem, cause.advice()),
                None => format!("{}: {error}", finding.problem),
            },
            None => finding.problem.clone(),
        };
        self.findings.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn add(&mut self, op: ColdOp, problem: &str, error: Option<ColdError>) {
        self.findings.push(ProbeFinding { op, problem: problem.to_owned(), error });
    }
}

/// Tries every operation of a store below a prefix and reports what is wrong. Never fails itself: no answer is a finding too.
/// Wants the store without its retry layer, so that answers come at once ([`crate::ColdStack::base`]).
pub async fn probe(store: &dyn ColdStore, space: &KeySpace, entropy: &dyn Entropy) -> ProbeReport {
    let mut report = ProbeReport::default();
    let number = entropy.random_u128();
    let (object, owner) = (space.probe(number), space.probe(number ^ 1));
    let mut body = vec![0u8; BODY_LEN];
    entropy.fill(&mut body);
    let body = Bytes::from(body);
    if !probe_absent(store, &object, &mut report).await {
        return report;
    }
    if !probe_put(store, &object, &body, &mut report).await {
        return report;
    }
    probe_read(store, &object, &body, &mut report).await;
    probe_list(store, &object, &mut report).await;
    probe_owner(store, &owner, &mut report).await;
    probe_delete(store, &[object, owner], &mut report).await;
    report
}

/// Bounds one step's wait.
async fn step<T>(
    store: &dyn ColdStore,
    op: ColdOp,
    call: impl Future<Output = ColdResult<T>>,
) -> ColdResult<T> {
    match tokio::time::timeout(STEP_TIME_MAX, call).await {
        Ok(result) => result,
        Err(_) => {
            let detail = format!("no answer within {} s", STEP_TIME_MAX.as_secs());
            Err(ColdError::new(ColdErrorKind::Retry, op, &store.describe().location, detail))
        }
    }
}

/// Asks for what cannot be there before anything is written: some stores make a missing bucket on the first put, and a
/// mistyped name should not become a bucket. `false`: the store cannot be used at all.
async fn probe_absent(store: &dyn ColdStore, key: &Key, report: &mut ProbeReport) -> bool {
    match step(store, ColdOp::Head, store.head(key)).await {
        Ok(_) => report.add(ColdOp::Head, "the store says that a new random object exists already", None),
        // Where listing is not allowed an absent object looks denied; the put tells more.
        Err(error) if error.is_not_found() || error.cause() == Some(PermanentCause::AccessDenied) => {
            return true;
        }
        Err(error) => report.add(ColdOp::Head, "the store cannot be used", Some(error)),
    }
    false
}

/// `false`: nothing could be written, the rest would say the same again.
async fn probe_put(store: &dyn ColdStore, key: &Key, body: &Bytes, report: &mut ProbeReport) -> bool {
    match step(store, ColdOp::Put, store.put_if_absent(key, body.clone().into())).await {
        Ok(PutOutcome::Stored) => {}
        Ok(PutOutcome::Exists) => {
            report.add(ColdOp::Put, "the store says that a new random object exists already", None);
            return false;
        }
        Err(error) => {
            report.add(ColdOp::Put, "the store cannot be written", Some(error));
            return false;
        }
    }
    let other = Bytes::from_static(b"a second writer");
    match step(store, ColdOp::Put, store.put_if_absent(key, other.into())).await {
        Ok(PutOutcome::Exists) => {}
        Ok(PutOutcome::Stored) => {
            let problem = "the store overwrites an object although asked not to (it ignores If-None-Match): two gateways \
                           could destroy each other's data; use a store that supports conditional puts";
            report.add(ColdOp::Put, problem, None);
            return true;
        }
        Err(error) => report.add(ColdOp::Put, "the store cannot answer a conditional put", Some(error)),
    }
    true
}

async fn probe_read(store: &dyn ColdStore, key: &Key, body: &Bytes, report: &mut ProbeReport) {
    match step(store, ColdOp::Get, store.get_range(key, 8..24)).await {
        Ok(bytes) if bytes == body.slice(8..24) => {}
        Ok(_) => report.add(ColdOp::Get, "the store gives back other bytes than were written", None),
        Err(error) => report.add(ColdOp::Get, "a range of an object cannot be read", Some(error)),
    }
    match step(store, ColdOp::Head, store.head(key)).await {
        Ok(info) => {
            report.store_time = Some(info.modified);
            if info.len != BODY_LEN as u64 || info.version.0.is_empty() {
                report.add(ColdOp::Head, "the store tells a wrong length or no version of an object", None);
            }
        }
        Err(error) => report.add(ColdOp::Head, "an object cannot be asked about", Some(error)),
    }
}

async fn probe_list(store: &dyn ColdStore, key: &Key, report: &mut ProbeReport) {
    let folder = key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
    let prefix = KeyPrefix::folder(folder).unwrap_or_default();
    let mut after: Option<ListToken> = None;
    for _ in 0..PAGES_MAX {
        match step(store, ColdOp::List, store.list_page(&prefix, after.as_ref())).await {
            Ok(page) if page.objects.iter().any(|object| object.key == *key) => return,
            Ok(page) => after = page.next,
            Err(error) => return report.add(ColdOp::List, "objects cannot be listed", Some(error)),
        }
        if after.is_none() {
            let problem = "a new object is missing from the listing: the store's listings lag, and cleaning up would not be safe";
            return report.add(ColdOp::List, problem, None);
        }
    }
}

async fn probe_owner(store: &dyn ColdStore, key: &Key, report: &mut ProbeReport) {
    const NEEDED: &str = "the owner object that keeps two gateways apart cannot be kept";
    let put = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = match step(store, ColdOp::PutOwner, store.put_owner(key, put("1"), None)).await {
        Ok(version) => version,
        Err(error) => return report.add(ColdOp::PutOwner, NEEDED, Some(error)),
    };
    let unconditional = "the store replaces an object although its version is another (it ignores If-Match)";
    match step(store, ColdOp::PutOwner, store.put_owner(key, put("2"), None)).await {
        Err(error) if error.kind == ColdErrorKind::Conflict => {}
        Ok(_) => return report.add(ColdOp::PutOwner, unconditional, None),
        Err(error) => return report.add(ColdOp::PutOwner, NEEDED, Some(error)),
    }
    if let Err(error) = step(store, ColdOp::PutOwner, store.put_owner(key, put("three"), Some(&first))).await
    {
        return report.add(ColdOp::PutOwner, NEEDED, Some(error));
    }
    match step(store, ColdOp::PutOwner, store.put_owner(key, put("4"), Some(&first))).await {
        Err(error) if error.kind == ColdErrorKind::Conflict => {}
        Ok(_) => return report.add(ColdOp::PutOwner, unconditional, None),
        Err(error) => return report.add(ColdOp::PutOwner, NEEDED, Some(error)),
    }
    match step(store, ColdOp::GetOwner, store.get_owner(key)).await {
        Ok((bytes, _)) if bytes == put("three") => {}
        Ok(_) => report.add(ColdOp::GetOwner, "the store gives back other bytes than were written", None),
        Err(error) => report.add(ColdOp::GetOwner, NEEDED, Some(error)),
    }
}

async fn probe_delete(store: &dyn ColdStore, keys: &[Key; 2], report: &mut ProbeReport) {
    match step(store, ColdOp::Delete, store.delete_batch(keys)).await {
        Ok(outcomes) => {
            for outcome in outcomes {
                if let DeleteOutcome::Failed(error) = outcome {
                    return report.add(
                        ColdOp::Delete,
                        "objects cannot be deleted: dead packs would stay",
                        Some(error),
                    );
                }
            }
        }
        Err(error) => {
            return report.add(
                ColdOp::Delete,
                "objects cannot be deleted: dead packs would stay",
                Some(error),
            );
        }
    }
    match step(store, ColdOp::Head, store.head(&keys[0])).await {
        Err(error) if error.is_not_found() => {}
        Ok(_) => report.add(ColdOp::Delete, "a deleted object is still there", None),
        Err(error) if error.cause() == Some(PermanentCause::AccessDenied) => {
            let problem = "an absent object is answered with 'access denied': allow listing of the bucket";
            report.add(ColdOp::Head, problem, Some(error));
        }
        Err(error) => {
            report.add(ColdOp::Head, "an absent object is not answered with 'not found'", Some(error))
        }
    }
}
